package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// lifeSpan is how far apart the numbers of a publisher's lives begin: a new
// life need not know how far the one before came.
const lifeSpan = 1 << 20

// publish runs a publisher process. It publishes its share at a steady pace without waiting for
// acknowledgements, so that many events of one key are in flight at once. SIGTERM ends it early,
// in an orderly way.
func publish(t *task, l *ledger) error {
	logger := childLogger()
	bus, err := t.bus(logger, func(t *kafka.Transport) transport.Transport { return t })
	if err != nil {
		return err
	}
	p := &publisher{
		task: t, ledger: l, log: logger,
		plain: eventbus.NewPublisher(bus, t.Topic.numbered()),
		next:  make(map[uint32]uint32), pad: strings.Repeat("x", t.Load.Pad),
	}
	if t.Load.Dependent || t.Load.Alternating {
		p.other = eventbus.NewPublisher(bus, t.Topic.dependent())
	}
	for i := range p.collectors {
		// In all, more than the producer accepts without an outcome.
		p.collectors[i] = make(chan pending, 4096)
		p.work.Go(func() { p.collect(p.collectors[i]) })
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n := p.pace(ctx)
	for _, c := range p.collectors {
		close(c)
	}
	p.work.Wait()
	ending, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_, _ = fmt.Fprintln(os.Stdout, "published", n)
	return bus.Close(ending)
}

// publisher publishes from one goroutine and waits for outcomes in many.
// task, ledger and log are those of the process.
type publisher struct {
	task   *task
	ledger *ledger
	log    *slog.Logger
	// plain and other publish the two types; other is nil if there is one alone.
	plain *eventbus.Publisher[numbered]
	other *eventbus.Publisher[dependent]
	// pad fills events up to a realistic size.
	pad string
	// next is the number of each key's next event.
	next map[uint32]uint32
	// collectors get the events that wait, by key, so that outcomes of a key are
	// recorded in order.
	collectors [32]chan pending
	// work waits for the collectors.
	work sync.WaitGroup
}

// pending is an event that waits for its outcome.
type pending struct {
	key, seq uint32
	receipt  eventbus.Receipt
}

// pace publishes what is due every few milliseconds, and catches up after it
// was delayed. It returns how many events it published.
func (p *publisher) pace(ctx context.Context) (n int) {
	s, load := p.task.Shift, p.task.Load
	random := rand.New(rand.NewPCG(s.Seed, uint64(s.Index)<<32|uint64(s.Life))) //nolint:gosec // not for secrets
	rate := float64(load.Rate) / float64(load.Processes)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); n < s.Events; {
		select {
		case <-ctx.Done():
			return n
		case <-ticker.C:
		}
		// What is due is computed from the start: a delayed tick publishes more at
		// once.
		due := min(int(time.Since(began).Seconds()*rate), s.Events)
		for ; n < due && ctx.Err() == nil; n++ {
			// The publisher has the keys that leave its index as the remainder:
			// no two publish the same key.
			key := uint32(random.IntN(load.Keys/load.Processes)*load.Processes + s.Index) //nolint:gosec // small
			p.publish(key)
		}
	}
	return n
}

// publish publishes the next event of a key. It goes into the ledger before the bus: a kill in
// between leaves an event without an outcome, never an event that the ledger doesn't have.
func (p *publisher) publish(key uint32) {
	// A life's numbers begin above those of the life before.
	seq, ok := p.next[key]
	if !ok {
		seq = uint32(p.task.Shift.Life * lifeSpan) //nolint:gosec // small
	}
	// Count it whatever the outcome: a refused number is not used again.
	p.next[key] = seq + 1
	p.ledger.add(entry{deed: offered, key: key, seq: seq})
	e := numbered{Key: key, Seq: seq, Pad: p.pad}
	// No deadline: waiting for the producer's buffer is part of what is measured.
	ctx := context.Background()
	var r eventbus.Receipt
	if p.other != nil && (isAlternate(key, seq) || !p.task.Load.Alternating && isDependent(key)) {
		r = p.other.PublishAsync(ctx, dependent(e))
	} else {
		r = p.plain.PublishAsync(ctx, e)
	}
	p.collectors[int(key)/p.task.Load.Processes%len(p.collectors)] <- pending{key, seq, r}
}

// collect waits for outcomes and records them.
// It ends when c is closed. A wait has no bound of its own: the producer's delivery
// timeout gives every record an outcome.
func (p *publisher) collect(c <-chan pending) {
	for e := range c {
		position, err := e.receipt.Wait(context.Background())
		line := entry{deed: acked, key: e.key, seq: e.seq, partition: position.Partition.Partition, offset: position.Offset}
		if err != nil {
			_, ok := errors.AsType[*eventbus.Error](err)
			if !ok {
				p.log.Error("a failure that tells no outcome", "key", e.key, "seq", e.seq, "error", err)
				continue
			}
			// It counts as refused unless the error says otherwise, as the library promises.
			line.deed, line.partition, line.offset = refused, 0, 0
			if errors.Is(err, eventbus.ErrOutcomeUnknown) {
				line.deed = unknown
			}
		}
		p.ledger.add(line)
	}
}
