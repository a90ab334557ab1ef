package transporttest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// member is a consumer of the suite. Whatever the test is about, it holds the
// transport to what Consumer and Listener promise, and keeps what it got.
type member struct {
	r        *run
	consumer transport.Consumer
	joined   chan struct{} // closed when consumer is set
	polled   chan struct{} // closed when the loop that polls has ended; nil if nothing polls
	close    func(ctx context.Context) error

	// The test's part of these calls; nil if it has none. They are set before the consumer is
	// made and not changed after, and are called without mu.
	onAssigned func(assigned []transport.Assignment)
	onRevoked  func(ctx context.Context, revoked []transport.Partition)

	// mu guards all below. changed is closed and replaced whenever one of them has changed,
	// which wakes await; records only grow.
	mu        sync.Mutex
	changed   chan struct{}
	listening bool // the Listener runs
	polls     int  // calls of Poll begun
	stretches map[transport.Partition][]*stretch
	records   map[transport.Partition][]transport.Record
	revoked   []transport.Partition
	lost      []transport.Partition
	skipped   []skip
}

// stretch is one ownership of one partition. A partition that comes back begins another
// stretch, with a higher epoch.
type stretch struct {
	transport.Assignment
	next  int64           // where the next batch starts
	skips map[int64]int64 // moves of the position that no batch has come to yet
	over  bool            // Revoked or Lost was called
	at    int             // in which call of Poll
}

// skip is a call of Skipped.
type skip struct {
	p        transport.Partition
	from, to int64
	reason   error
}

// idle is the option of a member that does not poll by itself.
func idle(m *member) { m.polled = nil }

// member joins a group, and leaves it after the test.
func (r *run) member(config transport.ConsumerConfig, options ...func(*member)) *member {
	r.Helper()
	m := &member{
		r:         r,
		joined:    make(chan struct{}),
		polled:    make(chan struct{}),
		changed:   make(chan struct{}),
		stretches: make(map[transport.Partition][]*stretch),
		records:   make(map[transport.Partition][]transport.Record),
	}
	// Before NewConsumer: the listener's first call must find what the options set.
	for _, o := range options {
		o(m)
	}
	// The listener may be called before NewConsumer has returned: enter waits for joined.
	config.Listener = m
	c, err := r.NewConsumer(config)
	if err != nil {
		r.Fatalf("NewConsumer: %v", err)
	}
	m.consumer = c
	// From here on the listener may run: receiving from a closed channel never waits.
	close(m.joined)
	if m.polled != nil {
		go m.poll()
	}
	// The cleanup is registered after the transport's and so runs before it: a transport is
	// closed after its consumers. A test that closes the consumer itself keeps the first
	// error; the cleanup's call returns nil.
	var once sync.Once
	m.close = func(ctx context.Context) (err error) {
		once.Do(func() {
			err = c.Close(ctx)
			if m.polled != nil {
				<-m.polled
			}
		})
		return err
	}
	r.Cleanup(func() {
		ctx, cancel := r.patience()
		defer cancel()
		if err := m.close(ctx); err != nil {
			r.Errorf("closing a consumer: %v", err)
		}
	})
	return m
}

// leave closes the consumer. The cleanup of the test does so too, and finds it done.
func (m *member) leave() {
	m.r.Helper()
	m.r.within("closing a consumer", m.close)
}

// poll takes what comes, until the consumer is closed.
func (m *member) poll() {
	defer close(m.polled)
	for {
		// No deadline: a Poll that waits is as it should be, and Close ends it.
		if _, err := m.pollOnce(context.Background()); err != nil {
			if !errors.Is(err, transport.ErrClosed) {
				m.r.Errorf("Poll: %v, want ErrClosed when the consumer is closed", err)
			}
			return
		}
	}
}

// pollOnce takes what comes next, and returns the partitions of the batches.
// Of a member that polls by itself only its own loop may call it: Poll belongs to one
// goroutine.
func (m *member) pollOnce(ctx context.Context) ([]transport.Partition, error) {
	m.mu.Lock()
	// Counted before the call, so that Revoked, on another goroutine, sees the number of the
	// call that may be running.
	m.polls++
	m.mu.Unlock()
	batches, err := m.consumer.Poll(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	// Batches count also if there is an error beside them: they are the caller's.
	var partitions []transport.Partition
	for i := range batches {
		if slices.Contains(partitions, batches[i].Partition) {
			m.r.Errorf("Poll returned two batches of %v", batches[i].Partition)
		}
		partitions = append(partitions, batches[i].Partition)
		m.take(&batches[i])
	}
	m.change()
	return partitions, err
}

// take checks one batch and keeps its records.
func (m *member) take(b *transport.Batch) {
	// Released when the records have been cloned. What a test sees later is then its own, and
	// a transport that hands the memory out too early is caught by the values.
	if b.Release != nil {
		defer b.Release()
	}
	i := slices.IndexFunc(m.stretches[b.Partition], func(s *stretch) bool { return s.Epoch == b.Epoch })
	if i < 0 {
		m.r.Errorf("%v: a batch of epoch %d, which Assigned has not returned from", b.Partition, b.Epoch)
		return
	}
	s := m.stretches[b.Partition][i]
	if s.over {
		// A Poll that was running when Revoked was called may have had the batch
		// in its hands. One that began later may not.
		if s.at < m.polls {
			m.r.Errorf("%v: a batch of epoch %d after it was revoked", b.Partition, b.Epoch)
		}
		return
	}
	// The position may have moved several times since the last batch. A move that is not
	// needed to get to this batch belongs to a later one.
	for to, moved := s.skips[s.next]; moved && s.next != b.From; to, moved = s.skips[s.next] {
		delete(s.skips, s.next)
		s.next = to
	}
	// Batches join without a gap: an offset that no batch and no Skipped accounts for is a
	// record that nobody will handle, while the commits go past it.
	if b.From != s.next || b.Next < b.From {
		m.r.Errorf("%v: a batch of [%d, %d), want one from %d", b.Partition, b.From, b.Next, s.next)
	}
	s.next = b.Next
	// Only replicated records are delivered, so a batch ends at or before the high watermark,
	// and the last stable offset lies at or before it too. −1 is unknown.
	if b.HighWatermark >= 0 && b.HighWatermark < b.Next || b.LastStable >= 0 && b.LastStable > b.HighWatermark {
		m.r.Errorf("%v: batch to %d, last stable offset %d, high watermark %d", b.Partition, b.Next, b.LastStable, b.HighWatermark)
	}
	// Offsets rise within the batch, possibly with gaps where compaction or a transaction
	// left nothing.
	last := b.From - 1
	for _, record := range b.Records {
		if record.Offset <= last || record.Offset >= b.Next || record.Topic != b.Topic || record.Partition != b.Partition.Partition {
			m.r.Errorf("%v: record %s/%d@%d after offset %d in [%d, %d)", b.Partition, record.Topic, record.Partition, record.Offset, last, b.From, b.Next)
		}
		last = record.Offset
		m.records[b.Partition] = append(m.records[b.Partition], clone(record))
	}
}

// clone copies a record out of the transport's memory.
func clone(record transport.Record) transport.Record {
	// bytes.Clone and slices.Clone keep nil apart from empty.
	record.Key, record.Value = bytes.Clone(record.Key), bytes.Clone(record.Value)
	record.Headers = slices.Clone(record.Headers)
	for i := range record.Headers {
		h := &record.Headers[i]
		// The transport may have made the string from memory that it uses again.
		h.Key, h.Value = string([]byte(h.Key)), bytes.Clone(h.Value)
	}
	return record
}

// change wakes await. m.mu is held.
func (m *member) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits until ok, which is called with m.mu held, is true.
func (m *member) await(what string, ok func() bool) {
	m.r.Helper()
	deadline := time.NewTimer(m.r.suite.patience)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		// Both under one lock: a change after ok has looked closes this very channel.
		done, changed := ok(), m.changed
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			m.mu.Lock()
			// What came so far says where it stopped, which the failure alone does not.
			got := make(map[transport.Partition]int)
			for p, records := range m.records {
				got[p] = len(records)
			}
			m.mu.Unlock()
			m.r.Fatalf("gave up waiting: %s\nassigned %v\nrecords %v\nstatus %+v", what, m.owned(), got, m.consumer.Status())
		}
	}
}
