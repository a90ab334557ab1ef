package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// silentCluster is a cluster whose brokers don't answer: each call blocks until its
// context ends.
type silentCluster struct{ transport.Transport }

func (c silentCluster) Cluster(ctx context.Context) (transport.Cluster, error) {
	<-ctx.Done()
	return transport.Cluster{}, ctx.Err()
}

func (c silentCluster) Admin() transport.Admin { return silentAdmin{c.Transport.Admin()} }

type silentAdmin struct{ transport.Admin }

func (a silentAdmin) Topics(ctx context.Context, _ ...string) ([]transport.TopicInfo, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// within calls f, which must return an error once d has passed, by the fake clock.
func within(t *testing.T, what string, d time.Duration, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	begun := time.Now()
	err := f(ctx)
	if took := time.Since(begun); took != d {
		t.Errorf("%s returned after %v, want the end of its context after %v: %v", what, took, d, err)
	}
	return err
}

// TestPublishWaitsForItsContext: a publish that waits for another one's lookup of the
// topic waits no longer than its own context.
func TestPublishWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, topic := newBus(t, silentCluster{memory.New()}, config()), orders(t)
		p := eventbus.NewPublisher(bus, topic)
		patient, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() { first <- p.Publish(patient, order{"a", 1}) }()
		synctest.Wait()
		err := within(t, "Publish", time.Second, func(ctx context.Context) error { return p.Publish(ctx, order{"a", 2}) })
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, eventbus.ErrOutcomeUnknown) {
			t.Errorf("%v, want an error that is %v and has a known outcome", err, context.DeadlineExceeded)
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		closeBus(t, bus)
	})
}

// TestLifeWaitsForItsContext: Drain waits for a running Start no longer than its
// context allows, and Close ends the Start.
func TestLifeWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus(t, silentCluster{memory.New()}, config())
		started := make(chan error)
		go func() { started <- bus.Start(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		if err := within(t, "Drain", time.Second, bus.Drain); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for the bus") {
			t.Errorf("Drain: %v", err)
		}
		closed := make(chan error)
		go func() { closed <- bus.Close(t.Context()) }()
		if err := <-started; !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("Start: %v, want %v", err, eventbus.ErrClosed)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := bus.Start(t.Context()); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("Start afterwards: %v", err)
		}
	})
}

// TestCloseWaitsForItsContext: a Close that waits for a Drain waits no longer than
// its context, and can be called again.
func TestCloseWaitsForItsContext(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		release, running := make(chan struct{}), make(chan struct{})
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			close(running)
			<-release
			return nil
		}))
		must(t, bus.Start(t.Context()))
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		<-running
		drained := make(chan error)
		go func() { drained <- bus.Drain(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		if err := within(t, "Close", time.Second, bus.Close); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		close(release)
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		closeBus(t, bus)
	})
}

// A publish that no broker acknowledges holds up no drain: only what the handlers of
// the group published is waited for, and that for a bounded time.
func TestDrainWaitsForWhatHandlersPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		bus := newBus(t, cluster, config())
		topic := orders(t)
		publisher := eventbus.NewPublisher(bus, topic)
		audit := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "audit", Type: "Audit"}))
		var late eventbus.Receipt
		published := make(chan struct{})
		handler := func(ctx context.Context, o order) error {
			if o.ID == "late" {
				go func() {
					pass(time.Second)
					late = audit.PublishAsync(ctx, o.ID)
					close(published)
				}()
			}
			return nil
		}
		if err := eventbus.Subscribe(bus, topic, handler); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		if err := audit.Publish(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		release := cluster.HoldAcknowledgements("test.sales.public.audit.v1")
		unrelated := audit.PublishAsync(t.Context(), "unrelated")
		if err := publisher.Publish(t.Context(), order{ID: "late"}); err != nil {
			t.Fatal(err)
		}
		<-published
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := bus.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("drained in %v, want the 5s that a late event of a handler is waited for", took)
		}
		release()
		for _, r := range []eventbus.Receipt{late, unrelated} {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		closeBus(t, bus)
	})
}

// If no handler has an unacknowledged publish, a drain waits for no acknowledgement.
func TestDrainWaitsForNoOtherPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		bus := newBus(t, cluster, config())
		topic := orders(t)
		publisher := eventbus.NewPublisher(bus, topic)
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		release := cluster.HoldAcknowledgements(ordersName)
		unrelated := publisher.PublishAsync(t.Context(), order{ID: "a"})
		pass(time.Second)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := bus.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("drained in %v", took)
		}
		release()
		if _, err := unrelated.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		closeBus(t, bus)
	})
}

// countingCluster counts the requests to describe topics and to create them.
type countingCluster struct {
	transport.Transport
	asked, created *int
}

// Close leaves the cluster to the next bus.
func (countingCluster) Close(context.Context) error { return nil }

func (c countingCluster) Admin() transport.Admin { return countingAdmin{c.Transport.Admin(), c} }

type countingAdmin struct {
	transport.Admin
	cluster countingCluster
}

func (a countingAdmin) Topics(ctx context.Context, names ...string) ([]transport.TopicInfo, error) {
	*a.cluster.asked++
	return a.Admin.Topics(ctx, names...)
}

func (a countingAdmin) CreateTopics(ctx context.Context, specs ...transport.TopicSpec) error {
	*a.cluster.created++
	return a.Admin.CreateTopics(ctx, specs...)
}

// forgetfulCluster does not know a topic the first two times that it is asked, like
// brokers that do not know yet that it was created.
type forgetfulCluster struct {
	transport.Transport
	asked *int
}

func (c forgetfulCluster) Admin() transport.Admin {
	return forgetfulAdmin{c.Transport.Admin(), c.asked}
}

type forgetfulAdmin struct {
	transport.Admin
	asked *int
}

func (a forgetfulAdmin) Topics(ctx context.Context, names ...string) ([]transport.TopicInfo, error) {
	infos, err := a.Admin.Topics(ctx, names...)
	if *a.asked++; *a.asked <= 2 {
		for i := range infos {
			infos[i] = transport.TopicInfo{Name: infos[i].Name, Err: transport.ErrTopicMissing}
		}
	}
	return infos, err
}

// TestCreationIsLoggedOnce: if a publish and Start both create a topic, that is logged
// once.
func TestCreationIsLoggedOnce(t *testing.T) {
	run(t, func(t *testing.T, memory *memory.Cluster) {
		var book logbook
		var asked int
		c := config()
		c.Logger = book.logger(slog.LevelInfo)
		bus, topic := newBus(t, forgetfulCluster{memory, &asked}, c), orders(t)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"k", 1}))
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
		must(t, bus.Start(t.Context()))
		closeBus(t, bus)
		if n := len(book.records(t, "topic", ordersName)); n != 1 || asked < 2 {
			t.Errorf("logged %d times after %d questions", n, asked)
		}
	})
}

// TestStartAsksOnce: Start asks about all existing topics with one request, and creates
// all topics of a new group with one.
func TestStartAsksOnce(t *testing.T) {
	run(t, func(t *testing.T, memory *memory.Cluster) {
		var asked, created int
		start := func(group string) {
			asked, created = 0, 0
			bus := newBus(t, countingCluster{memory, &asked, &created}, config())
			must(t, eventbus.Subscribe(bus, orders(t), func(context.Context, order) error { return nil }, eventbus.Group(group)))
			must(t, bus.Start(t.Context()))
			closeBus(t, bus)
		}
		start("first")
		for _, test := range []struct {
			group string
			want  int
		}{{"first", 0}, {"second", 1}} {
			if start(test.group); asked != 1 || created != test.want {
				t.Errorf("group %s: %d questions and %d requests to create topics, want 1 and %d", test.group, asked, created, test.want)
			}
		}
	})
}

// A handler that closes its own bus waits for itself, but not beyond its timeout: the bus
// closes without an error.
func TestCloseInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, topic := newBus(t, memory.New(), config()), orders(t)
		closed := make(chan error, 1)
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			closed <- bus.Close(context.Background())
			return nil
		}, eventbus.Timeout(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(20 * time.Second)
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("the bus is still closing")
		}
	})
}
