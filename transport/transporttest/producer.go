package transporttest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/transport"
)

// result is the outcome that a completion received. position counts if err is nil; with an error
// its offset is −1.
type result struct {
	position transport.Position
	err      error
}

// hearing is a completion that keeps its result, and fails the test if it gets a second one. calls
// is read without waiting where an outcome has to be there already, or must not be.
type hearing struct {
	r     *run
	calls atomic.Int32
	heard chan result
}

// hear returns a completion for one record.
func (r *run) hear() *hearing { return &hearing{r: r, heard: make(chan result, 1)} }

// Done implements transport.Completion. It never blocks: the first result has room in the
// channel, and there must be no second.
func (h *hearing) Done(p transport.Position, err error) {
	if h.calls.Add(1) > 1 {
		h.r.Errorf("a completion was called twice: now with %v, %v", p, err)
		return
	}
	h.heard <- result{p, err}
}

// wait waits for the result, and ends the test if none comes. The result is taken out: a second wait finds none.
func (h *hearing) wait() (transport.Position, error) {
	h.r.Helper()
	got := receive(h.r, "a completion", h.heard)
	return got.position, got.err
}

// producer opens a producer, which the test's cleanup closes.
func (r *run) producer(config transport.ProducerConfig) transport.Producer {
	r.Helper()
	p, err := r.NewProducer(config)
	if err != nil {
		r.Fatalf("NewProducer: %v", err)
	}
	r.Cleanup(func() {
		ctx, cancel := r.patience()
		defer cancel()
		if err := p.Close(ctx); err != nil {
			r.Errorf("closing a producer: %v", err)
		}
	})
	return p
}

// send produces without waiting for the outcome.
func (r *run) send(p transport.Producer, record transport.Record) *hearing {
	r.Helper()
	h := r.hear()
	// The context ends with this call, before the outcome: an accepted record does not depend
	// on it.
	r.within("Produce", func(ctx context.Context) error { return p.Produce(ctx, &record, h) })
	return h
}

// produce produces and waits for the acknowledgement.
func (r *run) produce(p transport.Producer, record transport.Record) transport.Position {
	r.Helper()
	position, err := r.send(p, record).wait()
	if err != nil {
		r.Fatalf("producing: %v", err)
	}
	return position
}

// fill produces n records "0", "1", … to one partition.
// They begin at the log's end, so the first fill of a partition gives each record the
// value of its offset. All are in the log when it returns.
func (r *run) fill(topic string, partition int32, n int) {
	r.Helper()
	r.fillWith(r.producer(transport.ProducerConfig{}), topic, partition, n)
}

// fillWith is fill by a given producer. All records are on their way at once, as far as
// its buffer allows.
func (r *run) fillWith(p transport.Producer, topic string, partition int32, n int) {
	r.Helper()
	sent := make([]*hearing, n)
	for i := range n {
		sent[i] = r.send(p, transport.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i)})
	}
	for i, h := range sent {
		if _, err := h.wait(); err != nil {
			r.Fatalf("record %d: %v", i, err)
		}
	}
}
