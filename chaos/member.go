package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// member is a process with buses that join and leave on command:
//
//	join SLOT INCARNATION    a new bus joins the group
//	leave SLOT               it is closed
//	down, up                 the dependency of dependent events
//	quit                     all are closed, and the process ends
//
// It prints a line when a bus has left. SIGTERM means quit.
type member struct {
	task   *task
	ledger *ledger
	log    *slog.Logger
	// down reports whether the dependency of dependent events is down.
	down atomic.Bool

	// mu guards out and buses.
	mu  sync.Mutex
	out io.Writer
	// buses has the members that run here, by slot.
	buses map[int]*eventbus.Bus
	// work waits for joins and leaves in the background.
	work sync.WaitGroup
}

// newMember returns a member without buses. The caller closes the ledger.
func newMember(t *task, l *ledger) *member {
	return &member{task: t, ledger: l, log: childLogger(), buses: make(map[int]*eventbus.Bus)}
}

// closePatience bounds a clean stop.
const closePatience = 30 * time.Second

// serve executes commands until quit, SIGTERM, or the end of the input.
func (m *member) serve(in io.Reader, out io.Writer) error {
	m.out = out
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	commands := make(chan string)
	// The reader ends with the process: nothing can interrupt it.
	go func() {
		defer close(commands)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			commands <- lines.Text()
		}
	}()
	for {
		select {
		case <-signals:
			m.quit()
			return nil
		case command, open := <-commands:
			// The input ends when the parent is gone; then, too, the buses leave in an orderly way.
			if !open || command == "quit" {
				m.quit()
				return nil
			}
			// An unknown command ends the process, since the stage would wait for its effect.
			if err := m.obey(command); err != nil {
				return fmt.Errorf("%q: %w", command, err)
			}
		}
	}
}

// obey executes one command.
// Joins and leaves go on in the background when it returns.
func (m *member) obey(command string) error {
	var slot int
	var incarnation uint16
	verb, rest, _ := strings.Cut(command, " ")
	switch verb {
	case "join":
		if _, err := fmt.Sscan(rest, &slot, &incarnation); err != nil {
			return err
		}
		return m.join(slot, incarnation)
	case "leave":
		if _, err := fmt.Sscan(rest, &slot); err != nil {
			return err
		}
		m.leave(slot)
		return nil
	case "down", "up":
		m.down.Store(verb == "down")
		return nil
	}
	return errors.New("no such command")
}

// join starts a bus in the background. Its handlers write into the ledger under
// the incarnation.
func (m *member) join(slot int, incarnation uint16) error {
	logger := m.log.With("slot", slot, "incarnation", incarnation)
	bus, err := m.task.bus(logger, func(t *kafka.Transport) transport.Transport {
		return &recorder{Transport: t, topic: m.task.Topic.topic(), ledger: m.ledger, log: logger}
	})
	if err != nil {
		return err
	}
	if err := m.subscribe(bus, incarnation); err != nil {
		return err
	}
	m.mu.Lock()
	// Before it is started, so that a leave that comes early finds it: Close ends Start.
	m.buses[slot] = bus
	m.mu.Unlock()
	m.work.Go(func() { m.start(bus, slot, incarnation) })
	return nil
}

// subscribe adds the handlers of the crew to a bus that has not been started.
func (m *member) subscribe(bus *eventbus.Bus, incarnation uint16) error {
	// With defaults there is one handler, and it always needs the dependency.
	if m.task.Crew.Defaults {
		return eventbus.Subscribe(bus, m.task.Topic.numbered(), func(ctx context.Context, e numbered) error {
			return m.handle(ctx, incarnation, e, m.unavailable())
		}, eventbus.Group(m.task.Topic.group()))
	}
	options := []eventbus.SubscribeOption{
		eventbus.Group(m.task.Topic.group()), eventbus.Concurrency(m.task.Crew.Concurrency),
	}
	if err := eventbus.Subscribe(bus, m.task.Topic.numbered(), func(ctx context.Context, e numbered) error {
		return m.handle(ctx, incarnation, e, cmp.Or(m.poisoned(e.Key), m.failingNow(e.Key)))
	}, append(options, eventbus.Retry(m.retry()))...); err != nil {
		return err
	}
	if m.task.Crew.Dependent {
		if err := eventbus.Subscribe(bus, m.task.Topic.dependent(), func(ctx context.Context, e dependent) error {
			return m.handle(ctx, incarnation, numbered(e), m.unavailable())
		}, append(options, eventbus.Breaker(resilience.BreakerConfig{OpenFor: 2 * time.Second}))...); err != nil {
			return err
		}
	}
	return nil
}

// start starts a bus, and tries again while the brokers do not answer.
func (m *member) start(bus *eventbus.Bus, slot int, incarnation uint16) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := bus.Start(ctx)
		if err == nil || errors.Is(err, eventbus.ErrClosed) {
			return
		}
		if ctx.Err() != nil {
			// The other buses of the process go on.
			m.say("failed %d %d %v", slot, incarnation, err)
			return
		}
		m.log.Warn("start failed", "slot", slot, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// leave closes a bus in the background, and prints the result.
func (m *member) leave(slot int) {
	m.mu.Lock()
	bus := m.buses[slot]
	// Deleted first: a join of the same slot may follow at once, as another incarnation.
	delete(m.buses, slot)
	m.mu.Unlock()
	if bus == nil {
		return
	}
	m.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		began := time.Now()
		err := bus.Close(ctx)
		abandoned := int64(0)
		// An abandoned handler's event is repeated, so the parent should see it.
		for _, g := range bus.Operator().Inspect().Groups {
			abandoned += g.Abandoned
		}
		m.say("left %d in %s, %d abandoned, error %v", slot, time.Since(began).Round(time.Millisecond), abandoned, err)
	})
}

// quit closes all buses and waits for that.
func (m *member) quit() {
	m.mu.Lock()
	slots := make([]int, 0, len(m.buses))
	for slot := range m.buses {
		slots = append(slots, slot)
	}
	m.mu.Unlock()
	for _, slot := range slots {
		m.leave(slot)
	}
	m.work.Wait()
}

// say writes a line to the parent and to the log.
func (m *member) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	m.log.Info(line)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = fmt.Fprintln(m.out, line)
}

// The errors of handlers that are meant to fail.
var (
	errPoisoned    = errors.New("this key fails always")
	errUnavailable = errors.New("the dependency is down")
)

// poisoned returns an error for a key that always fails.
func (m *member) poisoned(key uint32) error {
	if n := m.task.Crew.Poison; n > 0 && key%n == 0 {
		return errPoisoned
	}
	return nil
}

// handlerAttempts is how often a key that always fails is tried.
const handlerAttempts = 4

// retry returns the policy of the handlers: it gives up soon on keys that
// always fail, and lasts longer than keys that fail for a while.
// With Failing, a hundred attempts of at most 250 ms outlast failingFor many times.
func (m *member) retry() resilience.Retry {
	r := resilience.Retry{Attempts: handlerAttempts, Initial: cmp.Or(m.task.Crew.Backoff, 50*time.Millisecond), Max: time.Second}
	if m.task.Crew.Failing > 0 {
		r.Attempts, r.Max = 100, 250*time.Millisecond
	}
	return r
}

// failingFor is how long a key fails at a time, in a crew with Failing.
const failingFor = 2 * time.Second

// failingNow returns an error for half of the time, in turns, for a key that
// fails for a while.
func (m *member) failingNow(key uint32) error {
	// By the host's clock, which all members share: a key that moves to another member goes on
	// failing. Neighbouring keys take turns.
	if n := m.task.Crew.Failing; n > 0 && key%n == 0 && (time.Now().UnixNano()/int64(failingFor)+int64(key/n))%2 == 0 {
		return errPoisoned
	}
	return nil
}

// unavailable returns an error while the dependency is down.
// It is one switch for the process, whatever the key.
func (m *member) unavailable() error {
	if m.down.Load() {
		return errUnavailable
	}
	return nil
}

// handle is every handler: it records its start, works, and records its end.
// fault is what it fails with.
func (m *member) handle(ctx context.Context, incarnation uint16, e numbered, fault error) error {
	envelope, ok := eventbus.EnvelopeFrom(ctx)
	if !ok {
		return errors.New("no envelope")
	}
	// The attempt's number shows what progress carried over from another owner.
	delivery, _ := eventbus.DeliveryFrom(ctx)
	if envelope.Redeliveries > 0 {
		// The cause of its failure is gone by now.
		m.ledger.add(entry{
			deed: redelivered, owner: incarnation, partition: envelope.Origin.Partition.Partition, offset: envelope.Origin.Offset, key: e.Key, seq: e.Seq,
		})
		return nil
	}
	// The start is recorded before the work: a kill in between leaves a start
	// without an end.
	line := entry{
		deed: started, attempt: uint8(min(delivery.Attempt, 255)), owner: incarnation, //nolint:gosec // bounded
		partition: envelope.Partition, offset: envelope.Offset, key: e.Key, seq: e.Seq, epoch: envelope.AssignmentEpoch,
	}
	m.ledger.add(line)
	if m.task.Crew.Work > 0 {
		timer := time.NewTimer(m.task.Crew.Work)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			fault = ctx.Err()
		}
	}
	line.deed = handled
	if fault != nil {
		line.deed = failed
	}
	m.ledger.add(line)
	return fault
}
