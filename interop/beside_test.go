//go:build integration

package interop

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

// TestBesideJava: a member and a Java consumer share a group, as in a migration from
// Java, member by member. Each gets its share of the partitions, although only the
// member reads the group's retry topic, and every event is handled once by one of them.
func TestBesideJava(t *testing.T) {
	needJava(t)
	for _, c := range []struct {
		name   string
		driver kafka.Config
		java   []string // properties of its consumer
	}{
		{"cooperative-sticky", kafka.Config{}, []string{"partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}},
		{"range", kafka.Config{Balancer: "range"}, []string{"partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor"}},
		{"KIP-848", kafka.Config{ConsumerProtocol: true}, []string{"group.protocol=consumer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := newClusterOver(t, c.driver, eventbus.Config{HeartbeatInterval: 500 * time.Millisecond})
			if c.driver.ConsumerProtocol {
				needConsumerProtocol(t, cluster)
			}
			h := handledBy{by: make(map[string][]string), change: make(chan struct{}, 1)}
			err := eventbus.Subscribe(cluster.bus, customers, func(_ context.Context, event CustomerCreated) error {
				h.note(event.Name, "ours")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := cluster.bus.Start(deadline(t)); err != nil {
				t.Fatal(err)
			}
			group := func() eventbus.GroupInspection { return cluster.bus.Operator().Inspect().Groups[0] }
			owned := func() (partitions []int32) {
				for _, p := range group().Partitions {
					if p.Topic == cluster.topic {
						partitions = append(partitions, p.Partition)
					}
				}
				return partitions
			}
			h.await(t, "all partitions", func() bool { return len(owned()) == 6 })
			java := startJava(t, cluster, group().Name, c.java, func(value string) { h.note(nameIn(value), "java") })
			h.await(t, "half of the partitions each", func() bool {
				return group().State == "stable" && len(owned()) == 3 && java.owns(t, cluster, group().Name) == 3
			})

			const events = 1200
			publisher := eventbus.NewPublisher(cluster.bus, customers)
			var batch []CustomerCreated
			for i := range events {
				batch = append(batch, CustomerCreated{CustomerID: "c-" + strconv.Itoa(i%97), Name: strconv.Itoa(i)})
			}
			if err := publisher.PublishBatch(deadline(t), batch); err != nil {
				t.Fatal(err)
			}
			h.await(t, "all events", func() bool { return h.count() == events })
			// The Java consumer hands over its partitions with its commits.
			java.stop(t)
			h.await(t, "all partitions again", func() bool { return group().State == "stable" && len(owned()) == 6 })
			if err := publisher.Publish(deadline(t), CustomerCreated{CustomerID: "c-0", Name: "last"}); err != nil {
				t.Fatal(err)
			}
			h.await(t, "the last event", func() bool { return h.count() == events+1 })
			shares := h.shares()
			t.Logf("handled %v", shares)
			if shares["ours"] < events/4 || shares["java"] < events/4 || shares["ours"]+shares["java"] != events+1 {
				t.Errorf("of %d events, handled %v", events+1, shares)
			}
		})
	}
}

// handledBy records who handled which event, by the event's name.
type handledBy struct {
	mu     sync.Mutex
	by     map[string][]string
	change chan struct{}
}

func (h *handledBy) note(event, who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[event] = append(h.by[event], who)
	select {
	case h.change <- struct{}{}:
	default:
	}
}

// count returns how many events were handled at least once.
func (h *handledBy) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.by)
}

// shares returns how often each handled an event: those handled twice count twice.
func (h *handledBy) shares() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	shares := make(map[string]int)
	for _, by := range h.by {
		for _, who := range by {
			shares[who]++
		}
	}
	return shares
}

// await polls until done returns true, since a rebalance does not signal a test.
func (h *handledBy) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !done() {
		select {
		case <-h.change:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("gave up waiting for %s: %d events handled, %v", what, h.count(), h.shares())
		}
	}
}

// nameIn returns the name in an event in JSON, and ignores everything else.
func nameIn(value string) string {
	_, name, _ := strings.Cut(value, `"name":"`)
	name, _, _ = strings.Cut(name, `"`)
	return name
}

// javaMember is a Java consumer that is a member of a group.
type javaMember struct {
	command *exec.Cmd
	ended   chan struct{}
	errors  strings.Builder
}

const javaClient = "java-member"

// startJava starts a consumer with properties that hands the value of each record to
// handle.
func startJava(t *testing.T, c *cluster, group string, properties []string, handle func(value string)) *javaMember {
	t.Helper()
	args := []string{
		"tool", "org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", c.brokers, "--topic", c.topic, "--group", group,
	}
	for _, p := range append(slices.Clone(properties), "client.id="+javaClient) {
		args = append(args, "--command-property", p)
	}
	j := &javaMember{command: exec.CommandContext(t.Context(), "../scripts/kafka.sh", args...), ended: make(chan struct{})}
	j.command.Env = append(os.Environ(), "KAFKA_VERSION=4.4.0")
	j.command.Stderr = &j.errors
	output, err := j.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(j.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			handle(lines.Text())
		}
	}()
	t.Cleanup(func() { j.stop(t) })
	return j
}

// stop asks the consumer to commit and leave, and waits until it has. Further calls do
// nothing.
func (j *javaMember) stop(t *testing.T) {
	t.Helper()
	if j.command.ProcessState != nil {
		return
	}
	if err := j.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stopping the Java consumer: %v", err)
	}
	<-j.ended
	if err := j.command.Wait(); err != nil && j.command.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("the Java consumer: %v\n%s", err, j.errors.String())
	}
}

// owns returns how many partitions the consumer has, according to the group.
func (j *javaMember) owns(t *testing.T, c *cluster, group string) int {
	t.Helper()
	driver := kafka.New(kafka.Config{Brokers: strings.Split(c.brokers, ",")})
	defer func() { _ = driver.Close(context.Background()) }()
	g, err := kafka.NewAdmin(driver).Group(deadline(t), group)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Members {
		if g.Members[i].ClientID == javaClient {
			return len(g.Members[i].Assigned)
		}
	}
	return 0
}

// needConsumerProtocol skips a test on brokers without the group protocol of KIP-848.
func needConsumerProtocol(t *testing.T, c *cluster) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(deadline(t), client)
	if err != nil {
		t.Fatal(fmt.Errorf("asking what the brokers can do: %w", err))
	}
	has := func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == int16(kmsg.ConsumerGroupHeartbeat) }
	if !slices.ContainsFunc(resp.ApiKeys, has) {
		t.Skip("the brokers are older than Apache Kafka 4.0")
	}
}
