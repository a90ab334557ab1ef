package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// reader is a consumer of the topic "events" that reads all records, commits about
// once a second and in Revoked, and records the calls of its Listener.
type reader struct {
	*Consumer
	bed    *bed.Bed
	ledger *ledger
	polled chan struct{} // closed when the loop that polls has ended

	mu     sync.Mutex
	change chan struct{} // closed and replaced at each change
	heard  []string      // the calls of the Listener
	owned  map[transport.Partition]*share
	drain  func(ctx context.Context) // runs in Revoked, before the commit
	onLost func()
	idle   bool // it commits no partition at offset 0: the engine commits only what it has read
}

// share is the state of a partition that a reader owns.
type share struct {
	epoch uint64
	next  int64
}

// ledger has the values that all readers of a test have read, by the partition's
// number, whatever the topic.
type ledger struct {
	mu     sync.Mutex
	change chan struct{}
	taken  map[int32][]string
}

// startReader starts a reader, which is closed at the end of the test.
func startReader(b *bed.Bed, l *ledger, change ...func(*transport.ConsumerConfig)) *reader {
	b.T.Helper()
	return readerOn(b, bedclient.Of(b), l, change...)
}

// readerOn is startReader on a client.
func readerOn(b *bed.Bed, client *cluster.Client, l *ledger, change ...func(*transport.ConsumerConfig)) *reader {
	b.T.Helper()
	r := &reader{
		bed: b, ledger: l, polled: make(chan struct{}),
		change: make(chan struct{}), owned: make(map[transport.Partition]*share),
	}
	cfg := transport.ConsumerConfig{Group: "group", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: r}
	for _, f := range change {
		f(&cfg)
	}
	r.mu.Lock() // until r.Consumer is set: the Listener may be called before
	c, err := NewConsumer(client, cfg, *membershipOf(b))
	if err != nil {
		b.T.Fatal(err)
	}
	r.Consumer = c
	r.mu.Unlock()
	go r.poll()
	b.T.Cleanup(r.close)
	return r
}

// close closes the consumer, which leaves the group.
func (r *reader) close() {
	r.bed.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.bed.T.Errorf("Close: %v", err)
	}
	<-r.polled
}

func (r *reader) poll() {
	defer close(r.polled)
	for committed := time.Now(); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		batches, err := r.Poll(ctx)
		cancel()
		if errors.Is(err, transport.ErrClosed) {
			return
		}
		for i := range batches {
			r.take(&batches[i])
		}
		if time.Since(committed) >= time.Second {
			committed = time.Now()
			// A partition that is moving to another member is fenced. The others are stored.
			_ = r.commit(context.Background(), func(transport.Partition) bool { return true })
		}
	}
}

func (r *reader) take(b *transport.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.Release != nil {
		defer b.Release()
	}
	s := r.owned[b.Partition]
	if s == nil || s.epoch != b.Epoch {
		return
	}
	if b.From != s.next {
		r.bed.T.Errorf("%v: a batch of [%d, %d), want one from %d", b.Partition, b.From, b.Next, s.next)
	}
	s.next = b.Next
	r.ledger.add(b)
}

// commit commits the positions in the partitions that of selects.
func (r *reader) commit(ctx context.Context, of func(transport.Partition) bool) error {
	var commits []transport.Commit
	r.mu.Lock()
	for p, s := range r.owned {
		if of(p) && (s.next > 0 || !r.idle) {
			commits = append(commits, transport.Commit{Partition: p, Epoch: s.epoch, Offset: s.next, LeaderEpoch: -1})
		}
	}
	r.mu.Unlock()
	return r.Commit(ctx, commits...)
}

// changed wakes await. The caller holds r.mu.
func (r *reader) changed() {
	close(r.change)
	r.change = make(chan struct{})
}

func (r *reader) note(event string, partitions []transport.Partition) {
	for _, p := range partitions {
		event += fmt.Sprint(" ", p.Partition)
	}
	r.heard = append(r.heard, event)
	r.changed()
}

func (r *reader) Assigned(assigned []transport.Assignment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var partitions []transport.Partition
	for _, a := range assigned {
		r.owned[a.Partition] = &share{a.Epoch, a.Offset}
		partitions = append(partitions, a.Partition)
	}
	r.note("assigned", partitions)
}

func (r *reader) Revoked(ctx context.Context, revoked []transport.Partition) {
	if r.drain != nil {
		r.drain(ctx)
	}
	if err := r.commit(ctx, func(p transport.Partition) bool { return slices.Contains(revoked, p) }); err != nil {
		r.bed.T.Errorf("commit in Revoked: %v", err)
	}
	r.forget("revoked", revoked)
}

func (r *reader) Lost(lost []transport.Partition) {
	if r.onLost != nil {
		r.onLost()
	}
	r.forget("lost", lost)
}

func (r *reader) forget(event string, partitions []transport.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range partitions {
		delete(r.owned, p)
	}
	r.note(event, partitions)
}

func (r *reader) Skipped(p transport.Partition, from, to int64, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.owned[p]; s != nil {
		s.next = to
	}
	r.heard = append(r.heard, fmt.Sprintf("skipped %d from %d to %d: %v", p.Partition, from, to, reason))
	r.changed()
}

// await waits until ok returns true, for at most a minute. It calls ok with r.mu
// held.
func (r *reader) await(what string, ok func() bool) {
	r.bed.T.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		done, change := ok(), r.change
		heard := strings.Join(r.heard, ", ")
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-deadline:
			r.bed.T.Fatalf("gave up waiting for %s; heard %q, status %+v", what, heard, r.Status())
		}
	}
}

func (r *reader) awaitOwned(n int) {
	r.bed.T.Helper()
	r.await(fmt.Sprint(n, " partitions"), func() bool { return len(r.owned) == n })
}

// awaitHeard waits until the last calls of the Listener are want.
func (r *reader) awaitHeard(want ...string) {
	r.bed.T.Helper()
	r.await(strings.Join(want, ", "), func() bool {
		return len(r.heard) >= len(want) && slices.Equal(r.heard[len(r.heard)-len(want):], want)
	})
}

func newLedger() *ledger {
	return &ledger{change: make(chan struct{}), taken: make(map[int32][]string)}
}

func (l *ledger) add(b *transport.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.Records {
		p := b.Partition.Partition
		l.taken[p] = append(l.taken[p], string(b.Records[i].Value))
	}
	close(l.change)
	l.change = make(chan struct{})
}

// await waits until at least n records were read, for at most a minute.
func (l *ledger) await(t testing.TB, n int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		total, change := 0, l.change
		for _, values := range l.taken {
			total += len(values)
		}
		l.mu.Unlock()
		if total >= n {
			return
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("took %d records, want %d", total, n)
		}
	}
}

// equals checks that each record in the log was read once, in order.
func (l *ledger) equals(b *bed.Bed, partitions int32) {
	b.T.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range partitions {
		if want := b.Log(p); !slices.Equal(l.taken[p], want) {
			b.T.Errorf("partition %d: took %d records, the log has %d: %.200v", p, len(l.taken[p]), len(want), l.taken[p])
		}
	}
}

// assigns is a Listener that does nothing.
type assigns struct{}

func (*assigns) Assigned([]transport.Assignment) {}

func (*assigns) Revoked(context.Context, []transport.Partition) {}

func (*assigns) Lost([]transport.Partition) {}

func (*assigns) Skipped(transport.Partition, int64, int64, error) {}

// startPolled starts a consumer that the test polls itself.
func startPolled(b *bed.Bed, l transport.Listener, change ...func(*transport.ConsumerConfig)) *Consumer {
	b.T.Helper()
	cfg := transport.ConsumerConfig{Group: "group", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: l}
	for _, f := range change {
		f(&cfg)
	}
	c, err := NewConsumer(bedclient.Of(b), cfg, *membershipOf(b))
	if err != nil {
		b.T.Fatal(err)
	}
	b.T.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			b.T.Errorf("Close: %v", err)
		}
	})
	return c
}
