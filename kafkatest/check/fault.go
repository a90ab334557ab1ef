package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// Fault is a kind of thing that goes wrong during a trial. The functions of this
// package make Faults; one may be used in several plans.
type Fault struct {
	name string
	// often is how many times the fault is injected. Zero means that trial.injected
	// injects it into attempts, by its name.
	often int
	// do injects the fault into the cluster or its members. An error fails the test.
	do func(*trial, *rand.Rand) error
}

// String returns the fault's name.
func (f Fault) String() string { return f.name }

// Faults returns all faults. They are Plan's default.
func Faults() []Fault {
	return []Fault{
		Crash(), Restart(), Rebalance(), BrokerLoss(), DeadLettersRefused(),
		Duplicate(), Timeout(), Failure(), Panic(), Poison(),
		GoroutineExit(), NilError(), PublishError(), AsyncPublish(), Deployment(),
	}
}

// Crash ends a member without warning and starts another in its place. Events that
// it was handling, or had handled since its last commit, may be handled again.
func Crash() Fault {
	return Fault{"crash", 2, func(t *trial, rng *rand.Rand) error {
		slot := rng.IntN(len(t.slots))
		t.history.note("member %d crashes", t.slots[slot].id)
		t.slots[slot].crash(t)
		pause(between(rng, 0, 3*time.Second))
		return t.enter(slot, t.slots[slot].old)
	}}
}

// Restart stops a member in an orderly way and starts another in its place.
// Nothing may be handled again.
func Restart() Fault {
	return Fault{"restart", 3, func(t *trial, rng *rand.Rand) error {
		slot := rng.IntN(len(t.slots))
		t.history.note("member %d stops", t.slots[slot].id)
		if err := t.slots[slot].leave(); err != nil {
			return err
		}
		pause(between(rng, 0, time.Second))
		return t.enter(slot, t.slots[slot].old)
	}}
}

// Rebalance takes all partitions from all members and assigns them again.
func Rebalance() Fault {
	return Fault{"rebalance", 3, func(t *trial, _ *rand.Rand) error {
		t.history.note("the group rebalances")
		t.cluster.Rebalance(t.group)
		return nil
	}}
}

// BrokerLoss makes the cluster unreachable for some seconds.
func BrokerLoss() Fault {
	return Fault{"broker loss", 1, func(t *trial, rng *rand.Rand) error {
		t.history.note("the cluster is unreachable")
		t.cluster.Disconnect()
		pause(between(rng, time.Second, 5*time.Second))
		t.history.note("the cluster is back")
		t.cluster.Reconnect()
		return nil
	}}
}

// DeadLettersRefused makes the dead-letter topic refuse all writes for some seconds.
func DeadLettersRefused() Fault {
	return Fault{"dead letters refused", 1, func(t *trial, rng *rand.Rand) error {
		t.history.note("the dead-letter topic refuses")
		t.cluster.FailProduces(t.letters, -1, errors.New("the dead-letter topic takes nothing"))
		pause(between(rng, 5*time.Second, 20*time.Second))
		t.history.note("the dead-letter topic works again")
		t.cluster.StopProduceFaults(t.letters)
		return nil
	}}
}

// Duplicate writes some events twice, like a producer that is not idempotent.
// Both copies are handled: a handler whose effects must not double recognizes them
// by the event's id.
func Duplicate() Fault {
	return Fault{"duplicate", 4, func(t *trial, rng *rand.Rand) error {
		n := 1 + rng.IntN(3)
		t.history.note("the next records, %d of them, are written twice", n)
		t.cluster.DuplicateProduces(t.topic, n)
		return nil
	}}
}

// Timeout makes some attempts hang until their time is up.
func Timeout() Fault { return Fault{name: "timeout"} }

// Failure makes some attempts fail, some of them after the handler has run. The
// handler has done its work then, and runs again.
func Failure() Fault { return Fault{name: "failure"} }

// Panic makes some attempts panic.
func Panic() Fault { return Fault{name: "panic"} }

// Poison makes one event of every fourth key fail each time. It must end as a dead
// letter, and the events behind it must be handled.
func Poison() Fault { return Fault{name: "poison"} }

// GoroutineExit makes some attempts exit their goroutine, as t.FailNow does in a
// handler. They count as failed and are retried.
func GoroutineExit() Fault { return Fault{name: "goroutine exit"} }

// NilError makes some attempts return a nil pointer as their error, a frequent mistake
// in Go. The error is not nil, its methods panic, and the attempt has failed.
func NilError() Fault { return Fault{name: "nil error"} }

// PublishError makes some attempts return the error of a batch that they published,
// or an error that marks events of a batch that they were not given. Its indexes say
// nothing about the event that is handled: the attempt has failed.
func PublishError() Fault { return Fault{name: "publish error"} }

// AsyncPublish makes some attempts publish, without waiting, an event that the cluster
// refuses. The handler returns nil, so the bus must report the failure to every
// middleware, or a middleware's transaction would commit although the event was never
// published.
func AsyncPublish() Fault { return Fault{name: "asynchronous publish"} }

// Deployment makes the trial begin in the middle of a rolling deployment: all
// members but the first run an older version of the service, which has no handler
// for the topic's type and has one for another type on it. They are replaced one by
// one.
func Deployment() Fault {
	const times = 2
	return Fault{"deployment", times, func(t *trial, _ *rand.Rand) error {
		t.deployments++
		for slot, m := range t.slots {
			if !m.old {
				continue
			}
			t.history.note("member %d, of the old version, is replaced", m.id)
			if err := m.leave(); err != nil {
				return err
			}
			if err := t.enter(slot, false); err != nil {
				return err
			}

			if t.deployments < times {
				return nil // the last occurrence replaces the rest
			}
		}
		return nil
	}}
}

// injection is a fault of a single attempt.
type injection int8

const (
	noFault injection = iota
	hangs
	failsBefore
	failsAfter
	panics
	exits
	returnsNil
	returnsPublishError
	publishes
	poisoned
)

// injected returns the fault of an attempt. It depends only on the event and the
// attempt's number, not on which goroutine comes first.
func (t *trial) injected(key, n, attempt int) injection {
	has := func(name string) bool {
		return slices.ContainsFunc(t.faults, func(f Fault) bool { return f.name == name })
	}
	if has("poison") && key%4 == 3 && n == t.perKey/2 {
		return poisoned
	}
	if attempt > 2 {
		// Attempts beyond the second succeed, so that the retry budget is never
		// used up by chance.
		return noFault
	}
	// The ranges do not overlap, so leaving out one fault does not change the others.
	rng := rand.New(rand.NewPCG(t.seed, uint64(key)<<32|uint64(n)<<8|uint64(attempt))) //nolint:gosec // not for secrets
	switch chance := rng.IntN(100); {
	case has("timeout") && chance < 2:
		return hangs
	case has("failure") && chance >= 10 && chance < 14:
		return failsBefore
	case has("failure") && chance >= 20 && chance < 24:
		return failsAfter
	case has("panic") && chance >= 30 && chance < 32:
		return panics
	case has("goroutine exit") && chance >= 40 && chance < 44:
		return exits
	case has("nil error") && chance >= 50 && chance < 54:
		return returnsNil
	case has("publish error") && chance >= 60 && chance < 64:
		return returnsPublishError
	case has("asynchronous publish") && chance >= 70 && chance < 74:
		return publishes
	}
	return noFault
}

// Errors of injected failures. Reports show them.
var (
	errInjected = errors.New("injected failure")
	errAfter    = errors.New("injected failure, after the handler had run")
	errPoison   = errors.New("injected poison")
)

// nilError is an error whose Error method panics on a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// publishErrors are the errors that PublishError injects, in turn.
var publishErrors = []error{
	&eventbus.PublishBatchError{Errors: map[int]error{1: errInjected}},
	fmt.Errorf("publishing what follows: %w", &eventbus.PublishBatchError{Errors: map[int]error{1: errInjected, 3: errInjected}}),
	errors.Join(errInjected, &eventbus.BatchError{Errors: map[int]error{1: errInjected}}),
	&eventbus.BatchError{Errors: map[int]error{7: errInjected}},
}

// run runs an attempt with the fault. n is the event's number; handle calls the
// handler.
func (s injection) run(ctx context.Context, n int, handle func(context.Context) error) error {
	switch s {
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case failsBefore:
		return errInjected
	case failsAfter:
		// A handler's own error is kept.
		return errors.Join(handle(ctx), errAfter)
	case panics:
		panic(errInjected)
	case exits:
		// Deferred functions run; nothing after this line does.
		runtime.Goexit()
	case returnsNil:
		return (*nilError)(nil)
	case returnsPublishError:
		return publishErrors[n%len(publishErrors)]
	case publishes:
		return publishAndHandle(ctx, handle)
	case poisoned:
		return errPoison
	}
	return handle(ctx)
}

// publishAndHandle publishes an event that the cluster refuses, does not wait for the
// outcome, and runs the handler. An engine without a publisher, as some tests of this
// package have, can't report the refusal: the attempt fails without it.
func publishAndHandle(ctx context.Context, handle func(context.Context) error) error {
	publish, ok := ctx.Value(refused{}).(func(context.Context))
	if !ok {
		return errInjected
	}
	publish(ctx)
	if err := handle(ctx); err != nil {
		return err
	}
	return errNotJoined
}

// errNotJoined is the error that an attempt returns if its handler succeeded and its
// publish was refused. The bus must replace it by the refusal; if the middleware sees
// errNotJoined, it does not know of the refusal.
var errNotJoined = errors.New("the handler published an event, the cluster refused it, and the middleware was told of success")

// pause waits on the bubble's clock.
func pause(d time.Duration) { <-time.After(d) }

// between returns a duration from least to most, both included.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// occurrence is a fault and when it is injected, counted from the beginning of the
// trial.
type occurrence struct {
	at    time.Duration
	fault Fault
}

// schedule spreads the faults over the time in which events are published, except its
// first tenth. The result is in order of time.
func schedule(rng *rand.Rand, faults []Fault, length time.Duration) (occurrences []occurrence) {
	for _, f := range faults {
		for range f.often {
			occurrences = append(occurrences, occurrence{between(rng, length/10, length), f})
		}
	}
	slices.SortStableFunc(occurrences, func(x, y occurrence) int { return int(min(max(x.at-y.at, -1), 1)) })
	return occurrences
}

// String returns the line that reports show.
func (d occurrence) String() string { return fmt.Sprintf("%7.2fs %s", d.at.Seconds(), d.fault) }

// line is one member's transport. It keeps the consumer, so that crash can expel the
// member.
type line struct {
	transport.Transport
	consumer transport.Consumer
}

// NewConsumer implements transport.Transport.
func (l *line) NewConsumer(config transport.ConsumerConfig) (transport.Consumer, error) {
	c, err := l.Transport.NewConsumer(config)
	l.consumer = c
	return c, err
}

// Close leaves the cluster open.
func (l *line) Close(context.Context) error { return nil }
