package fxmodule_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/transport"
)

// story records what happened, in order.
type story struct {
	mu     sync.Mutex
	events []string
}

func (s *story) tell(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *story) expect(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.events, want) {
		t.Errorf("%s\nwant %s", strings.Join(s.events, ", "), strings.Join(want, ", "))
	}
}

// database is a service that handlers use, with a life of its own.
type database struct{ story *story }

func newDatabase(s *story, life fx.Lifecycle) *database {
	life.Append(fx.StartStopHook(func() { s.tell("database opens") }, func() { s.tell("database closes") }))
	return &database{s}
}

// ledger handles orders, each until it is released, whatever its context says.
type ledger struct {
	db      *database
	release chan struct{}
}

func (l *ledger) Book(context.Context, order) error {
	l.db.story.tell("handler begins")
	<-l.release
	l.db.story.tell("handler writes")
	return nil
}

// bookkeeping returns an application whose handler is running, a publisher, the story,
// and a channel that lets the handler continue.
func bookkeeping(t *testing.T) (*fx.App, *eventbus.Publisher[order], *story, chan struct{}) {
	t.Helper()
	s, release := new(story), make(chan struct{})
	var publisher *eventbus.Publisher[order]
	app := start(t, testConfig, fx.Decorate(inMemory), fx.Supply(s),
		fxmodule.Subscribe(orders, (*ledger).Book),
		fx.Provide(newDatabase, func(db *database) *ledger { return &ledger{db, release} }),
		fxmodule.Publisher(orders), fx.Populate(&publisher),
		fx.Invoke(func(bus *eventbus.Bus, life fx.Lifecycle) {
			life.Append(fx.StartStopHook(func() { s.tell("application runs") }, func() { s.tell("application stops") }))
		}))
	if err := publisher.Publish(t.Context(), order{ID: "o-1"}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	s.expect(t, "database opens", "application runs", "handler begins")
	return app, publisher, s, release
}

// TestHandlersDrainBeforeTheirDatabaseCloses stops an application while a handler
// is in the middle of its work.
func TestHandlersDrainBeforeTheirDatabaseCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, publisher, s, release := bookkeeping(t)
		go stop(t, app)
		synctest.Wait() // the stop can't go on until the handler does
		s.expect(t, "database opens", "application runs", "handler begins", "application stops")
		if err := publisher.Publish(t.Context(), order{ID: "o-2"}); err != nil {
			t.Errorf("publishing while handlers drain: %v", err)
		}
		close(release)
		synctest.Wait()
		s.expect(t, "database opens", "application runs", "handler begins", "application stops", "handler writes", "database closes")
		if err := publisher.Publish(t.Context(), order{ID: "o-3"}); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("publishing after the stop: %v", err)
		}
	})
}

// TestHandlerThatNeverEnds uses up the drain's time: the hooks after it still run.
func TestHandlerThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, publisher, s, release := bookkeeping(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		err := app.Stop(ctx)
		if took := time.Since(began); err == nil || took > 16*time.Second {
			t.Errorf("stopped after %v with error %v", took, err)
		}
		s.expect(t, "database opens", "application runs", "handler begins", "application stops", "database closes")
		if err := publisher.Publish(t.Context(), order{ID: "o-3"}); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("publishing after the stop: %v", err)
		}
		close(release)
	})
}

// TestDrainTimeout bounds the drain by configuration within fx's own bound.
func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, began := make(chan struct{}), make(chan struct{})
		var publisher *eventbus.Publisher[order]
		app := start(t, fx.Supply(eventbus.Config{Service: "billing", Environment: "Test", DrainTimeout: 4 * time.Second}),
			fx.Decorate(inMemory), fxmodule.Publisher(orders), fx.Populate(&publisher),
			fxmodule.SubscribeFunc(orders, func(context.Context, order) error { close(began); <-release; return nil }))
		if err := publisher.Publish(t.Context(), order{ID: "o-1"}); err != nil {
			t.Fatal(err)
		}
		<-began
		stopping := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := app.Stop(ctx); err == nil || time.Since(stopping) > 5*time.Second {
			t.Errorf("stopped after %v with error %v", time.Since(stopping), err)
		}
		close(release)
	})
}

// TestHooksWithFx: hooks are options like others, and the last of them ends before the
// services that it uses close.
func TestHooksWithFx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cluster := new(story), newCluster(t)
		partitions := func(what string) func(context.Context, []transport.Partition) {
			return func(_ context.Context, p []transport.Partition) { s.tell(what) }
		}
		app := start(t, testConfig, on(cluster), fx.Supply(s), fx.Provide(newDatabase),
			fxmodule.Subscribe(orders, func(db *database, _ context.Context, _ order) error {
				db.story.tell("handler")
				return eventbus.Permanent(errors.New("no"))
			},
				eventbus.OnAssigned(partitions("assigned")),
				eventbus.OnRevoked(func(ctx context.Context, p []transport.Partition, _ bool) { partitions("revoked")(ctx, p) }),
				eventbus.OnDeadLetter(func(context.Context, eventbus.DeadLetter) { s.tell("dead letter") })))
		synctest.Wait()
		publish(t, cluster, 1)
		synctest.Wait()
		stop(t, app)
		s.expect(t, "database opens", "assigned", "handler", "dead letter", "revoked", "database closes")
	})
}
