//go:build integration

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// control sends a command to the registry that scripts/registry.sh started.
func control(t *testing.T, command string) {
	t.Helper()
	name := os.Getenv("EVENTBUS_TEST_REGISTRY_NAME")
	if name == "" {
		t.Skip("the registry is not ours to " + command)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../scripts/registry.sh", command)
	cmd.Env = append(os.Environ(), "REGISTRY_NAME="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", command, err, out) // also from another goroutine
	}
}

// bed is a bus on a cluster in memory.
type bed struct {
	*eventbus.Bus
	cluster *memory.Cluster
	service string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{cluster: memory.New(), service: fmt.Sprintf("svc%d", time.Now().UnixNano())}
	var err error
	if b.Bus, err = eventbus.New(b.cluster, eventbus.Config{Service: b.service, Environment: "Development"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// dead returns the records of all dead-letter topics.
func (b *bed) dead() (letters []transport.Record) {
	for _, topic := range b.cluster.Topics() {
		if strings.HasSuffix(topic, ".dlq") {
			letters = append(letters, b.cluster.Records(topic)...)
		}
	}
	return letters
}

// customers returns a topic that is new in each run.
func customers(c eventbus.Codec, name string) *eventbus.Topic[customer] {
	return eventbus.NewTopic(eventbus.TopicConfig[customer]{Domain: "interop", Name: name, Type: "Customer", Key: func(c customer) string { return c.ID }, Codec: c})
}

// tally counts handled events.
type tally struct {
	mu   sync.Mutex
	seen map[int64]int
	more chan struct{}
}

func newTally() *tally { return &tally{seen: make(map[int64]int), more: make(chan struct{}, 1)} }

func (c *tally) handle(_ context.Context, e customer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[e.Count]++
	select {
	case c.more <- struct{}{}:
	default:
	}
	return nil
}

// wait returns when n different events have been handled.
func (c *tally) wait(t *testing.T, n int, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		c.mu.Lock()
		have := len(c.seen)
		c.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-c.more:
		case <-ctx.Done():
			t.Fatalf("%d of %d events were handled", have, n)
		}
	}
}

// The registry is paused, or killed and restarted, while events are published and
// handled: none is lost, and none becomes a dead letter. The readers do not know the
// schemas yet, so they have to wait.
func TestRegistryOutage(t *testing.T) {
	for _, way := range [][2]string{{"pause", "resume"}, {"kill", "restart"}} {
		t.Run(way[0], func(t *testing.T) {
			b := newBed(t)
			name := fmt.Sprintf("out-%d", time.Now().UnixNano())
			got := newTally()
			// Writer and reader each have a Registry, as in two processes; the two
			// writers have two schemas.
			old := customers(avro.Codec[customer](open(t), registry.Header, customerAvro, registry.Register()), name)
			wider := strings.Replace(customerAvro, `]}`, `,{"name":"added","type":"string","default":"x"}]}`, 1)
			type customer2 struct {
				customer `avro:",inline"`
				Added    string `avro:"added"`
			}
			now := eventbus.NewTopic(eventbus.TopicConfig[customer2]{Domain: "interop", Name: name, Type: "Customer", Key: func(c customer2) string { return c.ID },
				Codec: avro.Codec[customer2](open(t), registry.Prefix, wider, registry.Register())})
			read := customers(avro.Codec[customer](open(t), registry.Header, customerAvro, registry.Register()), name)

			writers, err := eventbus.New(b.cluster, eventbus.Config{Service: b.service + "w", Environment: "Development"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = writers.Close(context.Background()) })
			publishOld := eventbus.NewPublisher(writers, old)
			if err := writers.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			newer, err := eventbus.New(b.cluster, eventbus.Config{Service: b.service + "n", Environment: "Development"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = newer.Close(context.Background()) })
			publishNew := eventbus.NewPublisher(newer, now)
			if err := newer.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := eventbus.Subscribe(b.Bus, read, got.handle); err != nil {
				t.Fatal(err)
			}
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			const events = 400
			publish := func(i int64) {
				c := customer{ID: fmt.Sprint("c-", i%20), Count: i}
				if i%2 == 0 {
					err = publishOld.Publish(t.Context(), c)
				} else {
					err = publishNew.Publish(t.Context(), customer2{c, "y"})
				}
				if err != nil {
					t.Fatalf("event %d: %v", i, err) // known ids need no registry
				}
			}
			control(t, way[0])
			t.Cleanup(func() { // leave it running for the next test, whatever happens here
				if t.Failed() {
					control(t, way[1])
				}
			})
			for i := range int64(events / 2) {
				publish(i)
			}
			back := make(chan struct{})
			go func() { control(t, way[1]); close(back) }()
			for i := int64(events / 2); i < events; i++ {
				publish(i)
			}
			<-back
			got.wait(t, events, 2*time.Minute)
			if letters := b.dead(); len(letters) > 0 {
				t.Errorf("%d events are dead letters, as %q", len(letters), letters[0].Headers)
			}
		})
	}
}

// An event with an unknown id waits, and becomes a dead letter whose error names the
// id. If the schema is registered in the meantime, the event is handled. Events of
// other keys go on.
func TestUnknownIDs(t *testing.T) {
	r, err := registry.New(registry.Config{URLs: []string{address(t)}, UnknownFor: 8 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	name := fmt.Sprintf("unknown-%d", time.Now().UnixNano())
	topic := customers(avro.Codec[customer](r, registry.Header, customerAvro, registry.Register()), name)
	got := newTally()
	publisher := eventbus.NewPublisher(b.Bus, topic)
	if err := eventbus.Subscribe(b.Bus, topic, got.handle); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The ids of a registry are consecutive, so the next one belongs to a schema that
	// is not registered yet.
	subject := topic.In("Development") + "-next"
	first, err := r.Register(t.Context(), subject, registry.Definition{Type: registry.Avro, Text: fmt.Sprintf(`{"type":"fixed","name":"F%d","size":1}`, time.Now().UnixNano())}, false)
	if err != nil {
		t.Fatal(err)
	}
	withID := func(key string, count int64, id int) {
		e, err := publisher.Envelope(t.Context(), customer{ID: key, Count: count})
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range e.Headers {
			if h.Key == registry.HeaderName {
				e.Headers[i].Value = registry.AppendPrefix(nil, id, nil)
			}
		}
		if err := b.PublishEnvelope(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	withID("late", 1, first.ID+1)
	withID("never", 2, 999_999)
	if err := publisher.Publish(t.Context(), customer{ID: "good", Count: 3}); err != nil {
		t.Fatal(err)
	}
	got.wait(t, 1, 30*time.Second) // the good one
	second, err := r.Register(t.Context(), topic.In("Development")+"-later", registry.Definition{Type: registry.Avro, Text: strings.Replace(customerAvro, `"Customer"`, `"Customer","doc":"`+name+`"`, 1)}, false)
	if err != nil || second.ID != first.ID+1 {
		t.Fatalf("%+v, %v", second, err)
	}
	got.wait(t, 2, 30*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(b.dead()) == 0 {
		changed := b.cluster.Changed()
		if len(b.dead()) > 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("the event with an unknown id is no dead letter")
		}
	}
	if waited := time.Since(began); waited < 7*time.Second {
		t.Errorf("given up after %v", waited)
	}
	letters := b.dead()
	text := fmt.Sprintf("%s", letters[0].Headers)
	if len(letters) != 1 || string(letters[0].Key) != "never" || !strings.Contains(text, "schema id 999999 has been unknown for") {
		t.Errorf("%d dead letters, of %q: %s", len(letters), letters[0].Key, text)
	}
}
