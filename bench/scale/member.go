package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// membersTask runs a process with members of a group. It restarts the members whose
// numbers it reads from standard input, and closes all at the end of input.
type membersTask struct {
	Brokers, Stems []string
	Group          string
	// The members have the numbers from First on.
	First, Members   int
	ConsumerProtocol bool
}

// report is a line of a process's standard output: partitions that a member got or
// released, the number of a restarted member, or handled events.
type report struct {
	// At is the time in Unix nanoseconds, by the machine's clock, which all processes
	// share.
	At         int64                 `json:",omitempty"`
	Member     int                   `json:",omitempty"`
	Got        []transport.Partition `json:",omitempty"`
	GivenUp    []transport.Partition `json:",omitempty"`
	Restarted  bool                  `json:",omitempty"`
	Handled    []int64               `json:",omitempty"`
	ClosedIn   time.Duration         `json:",omitempty"`
	CPU        time.Duration         `json:",omitempty"`
	ResidentMB float64               `json:",omitempty"`
}

// reporter writes reports, from several goroutines.
type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
	// handled has the numbers of events that are not reported yet.
	handled []int64
}

// say writes a report. It ignores an error: the parent is then gone, which ends this
// process too.
func (r *reporter) say(said report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(said)
}

// count records an event, and reports a thousand at a time.
func (r *reporter) count(number int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handled = append(r.handled, number); len(r.handled) == 1000 {
		r.flush()
	}
}

// flush reports the events that are not reported yet. r.mu is held.
func (r *reporter) flush() {
	_ = r.out.Encode(report{Handled: r.handled})
	r.handled = r.handled[:0]
}

// watchedTransport reports the partitions that its consumers get and release.
type watchedTransport struct {
	transport.Transport
	member  int
	reports *reporter
}

// NewConsumer returns a consumer whose listener is watched.
func (w watchedTransport) NewConsumer(c transport.ConsumerConfig) (transport.Consumer, error) {
	c.Listener = watchedListener{c.Listener, w}
	return w.Transport.NewConsumer(c)
}

// watchedListener reports a partition before it is assigned, and once it is revoked: if
// two members' times overlap, both had it.
type watchedListener struct {
	transport.Listener
	watchedTransport
}

func (w watchedListener) Assigned(assigned []transport.Assignment) {
	said := report{At: time.Now().UnixNano(), Member: w.member}
	for i := range assigned {
		said.Got = append(said.Got, assigned[i].Partition)
	}
	w.reports.say(said)
	w.Listener.Assigned(assigned)
}

func (w watchedListener) Revoked(ctx context.Context, revoked []transport.Partition) {
	w.Listener.Revoked(ctx, revoked)
	w.reports.say(report{At: time.Now().UnixNano(), Member: w.member, GivenUp: revoked})
}

func (w watchedListener) Lost(lost []transport.Partition) {
	w.Listener.Lost(lost)
	w.reports.say(report{At: time.Now().UnixNano(), Member: w.member, GivenUp: lost})
}

// serve runs the members until standard input ends.
func (t *membersTask) serve(ctx context.Context) error {
	reports := &reporter{out: json.NewEncoder(os.Stdout)}
	buses := make([]*eventbus.Bus, t.Members)
	errs := make([]error, t.Members)
	var starting sync.WaitGroup
	for n := range buses {
		starting.Go(func() { buses[n], errs[n] = t.member(ctx, t.First+n, reports) })
	}
	starting.Wait()
	err := errors.Join(errs...)
	var restart int
	for commands := json.NewDecoder(os.Stdin); err == nil && commands.Decode(&restart) == nil; {
		begin := time.Now()
		if err = closeBus(ctx, buses[restart-t.First]); err == nil {
			closed := time.Since(begin)
			buses[restart-t.First], err = t.member(ctx, restart, reports)
			reports.say(report{At: time.Now().UnixNano(), Member: restart, Restarted: true, ClosedIn: closed})
		}
	}
	// Report what the members have used before they close.
	reports.say(used())
	var closing sync.WaitGroup
	for n, bus := range buses {
		if bus != nil {
			closing.Go(func() { errs[n] = closeBus(ctx, bus) })
		}
	}
	closing.Wait()
	reports.mu.Lock()
	defer reports.mu.Unlock()
	reports.flush()
	return errors.Join(append(errs, err)...)
}

// closeBus closes a bus within half a minute.
func closeBus(ctx context.Context, bus *eventbus.Bus) error {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return bus.Close(ending)
}

// member starts a member.
func (t *membersTask) member(ctx context.Context, number int, reports *reporter) (*eventbus.Bus, error) {
	to := kafka.New(kafka.Config{Brokers: t.Brokers, ClientID: fmt.Sprintf("member-%d", number), ConsumerProtocol: t.ConsumerProtocol})
	bus, err := newBus(watchedTransport{to, number, reports})
	if err != nil {
		return nil, err
	}
	for _, stem := range t.Stems {
		err = errors.Join(err, eventbus.Subscribe(bus, topicOf(stem), func(_ context.Context, o event.Order) error {
			reports.count(o.Number)
			return nil
		}, eventbus.Group(t.Group)))
	}
	if err == nil {
		err = bus.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("member %d: %w", number, err), closeBus(ctx, bus))
	}
	return bus, nil
}
