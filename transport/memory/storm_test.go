package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// ledger counts what all members of a group handled, by place.
type ledger struct {
	mu      sync.Mutex
	handled map[transport.Partition]map[int64]int
	total   int
	done    chan struct{} // closed at the wanted total
	want    int
}

func (l *ledger) handle(r *transport.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := transport.Partition{Topic: r.Topic, Partition: r.Partition}
	if l.handled[p] == nil {
		l.handled[p] = make(map[int64]int)
	}
	l.handled[p][r.Offset]++
	if l.total++; l.total == l.want {
		close(l.done)
	}
}

// worker handles what it polls and commits when partitions are revoked.
type worker struct {
	t        *testing.T
	ledger   *ledger
	consumer transport.Consumer
	joined   chan struct{}

	mu   sync.Mutex
	held map[transport.Partition]transport.Commit // the next offset and the epoch
}

func (w *worker) Assigned(assigned []transport.Assignment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range assigned {
		w.held[a.Partition] = transport.Commit{Partition: a.Partition, Epoch: a.Epoch, Offset: a.Offset}
	}
}

func (w *worker) Revoked(ctx context.Context, revoked []transport.Partition) {
	<-w.joined
	w.mu.Lock()
	var commits []transport.Commit
	for _, p := range revoked {
		commits = append(commits, w.held[p])
		delete(w.held, p)
	}
	w.mu.Unlock()
	if err := w.consumer.Commit(ctx, commits...); err != nil {
		w.t.Errorf("Commit in Revoked: %v", err)
	}
}

func (w *worker) Lost(lost []transport.Partition) { w.t.Errorf("lost %v", lost) }

func (w *worker) Skipped(p transport.Partition, from, to int64, reason error) {
	w.t.Errorf("%v skipped from %d to %d: %v", p, from, to, reason)
}

func (w *worker) run() {
	for {
		batches, err := w.consumer.Poll(context.Background())
		if errors.Is(err, transport.ErrClosed) {
			return
		}
		for _, b := range batches {
			w.mu.Lock()
			// A batch that Poll was returning when the partition was revoked
			// belongs to the next owner.
			if c, held := w.held[b.Partition]; held && c.Epoch == b.Epoch {
				for i := range b.Records {
					w.ledger.handle(&b.Records[i])
				}
				c.Offset = b.Next
				w.held[b.Partition] = c
			}
			w.mu.Unlock()
		}
	}
}

// TestStorm: members come and go while records are written, on all processors, and
// every record is handled exactly once.
func TestStorm(t *testing.T) {
	const partitions, records, rounds = 12, 6000, 60
	c := memory.New(memory.DefaultPartitions(partitions))
	create(t, c, "t")
	l := &ledger{handled: make(map[transport.Partition]map[int64]int), done: make(chan struct{}), want: records}

	var running sync.WaitGroup
	start := func() *worker {
		w := &worker{t: t, ledger: l, joined: make(chan struct{}), held: make(map[transport.Partition]transport.Commit)}
		var err error
		w.consumer, err = c.NewConsumer(transport.ConsumerConfig{Group: "g", Topics: []transport.TopicStart{{Topic: "t"}}, Listener: w})
		check(t, err)
		close(w.joined)
		running.Go(w.run)
		return w
	}
	running.Go(func() {
		p, err := c.NewProducer(transport.ProducerConfig{})
		if err != nil {
			t.Error(err)
			return
		}
		for i := range records {
			r := transport.Record{Topic: "t", Partition: int32(i % partitions)}
			if err := p.Produce(context.Background(), &r, new(outcomes)); err != nil {
				t.Error(err)
			}
		}
	})

	var members []*worker
	for round := range rounds {
		members = append(members, start())
		if round%3 == 0 {
			c.Rebalance("g")
		}
		if len(members) > 5 {
			check(t, members[round%5].consumer.Close(t.Context()))
			members = append(members[:round%5], members[round%5+1:]...)
		}
	}
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-l.done:
	case <-deadline.Done():
		t.Errorf("the group stands still: %+v", c.Members("g"))
	}
	check(t, c.Close(t.Context()))
	running.Wait()
	for p, offsets := range l.handled {
		for o, n := range offsets {
			if n != 1 {
				t.Errorf("%v: offset %d was handled %d times", p, o, n)
			}
		}
	}
}
