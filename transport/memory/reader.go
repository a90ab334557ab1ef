package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// reader is a transport.Reader. The cluster's mutex guards the fields below the blank line.
type reader struct {
	cluster *Cluster
	limit   int
	wake    chan struct{} // a token for Poll: there may be something to read

	positions []*position // sorted by topic and number
	cursor    int         // index of the position that the next Poll starts with
	closed    bool
}

// position is a reader's place in one partition. NewReader sets end even if To has none.
type position struct {
	transport.Partition
	reader *reader
	log    *log // nil until Poll has found it
	next   int64
	end    int64 // exclusive
	paused bool
	begun  bool // records were read, so next is within the log and not beyond its end
}

// NewReader returns a reader. A missing partition is noticed by Poll: like a driver, NewReader
// makes no request.
func (c *Cluster) NewReader(config transport.ReaderConfig) (transport.Reader, error) {
	if len(config.From) == 0 {
		return nil, errors.New("reader config: no From: name the partitions to read, and where each begins")
	}
	if config.FetchBytes < 0 {
		return nil, fmt.Errorf("reader config: FetchBytes %d is negative", config.FetchBytes)
	}
	r := &reader{cluster: c, limit: config.WithDefaults().FetchBytes, wake: make(chan struct{}, 1)}
	for _, p := range sortedPartitions(maps.Keys(config.From)) {
		end, bounded := config.To[p]
		if !bounded {
			end = math.MaxInt64
		}
		r.positions = append(r.positions, &position{Partition: p, reader: r, next: max(config.From[p], 0), end: end})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("memory transport: %w", transport.ErrClosed)
	}
	c.clients = append(c.clients, r)
	return r, nil
}

// Poll returns io.EOF once every position has reached its end. A position without a To never does.
func (r *reader) Poll(ctx context.Context) ([]transport.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if batches, err := r.read(); len(batches) > 0 || err != nil {
			return batches, err
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
	}
}

// read takes records from the partitions in turn, up to the limit.
func (r *reader) read() ([]transport.Batch, error) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("reader: %w", transport.ErrClosed)
	}
	// Not an error: a driver retries until the broker answers, so Poll waits.
	if !r.cluster.cutAt.IsZero() {
		return nil, nil
	}
	// Look before taking anything: an error must not drop batches already passed.
	for _, p := range r.positions {
		if err := p.find(); err != nil {
			return nil, err
		}
	}
	// After find, which moves a position past its end if retention has.
	if !slices.ContainsFunc(r.positions, func(p *position) bool { return p.next < p.end }) {
		return nil, io.EOF
	}
	var batches []transport.Batch
	// In turn, as a consumer does.
	first, room := r.cursor%len(r.positions), r.limit
	for i := range r.positions {
		if room <= 0 && len(batches) > 0 {
			break
		}
		at := (first + i) % len(r.positions)
		b, size := r.positions[at].fetch(min(room, fetchLimit))
		if b == nil {
			continue
		}
		room -= size
		batches = append(batches, *b)
		r.cursor = at + 1
	}
	return batches, nil
}

// find finds the log on the first Poll, and later checks that it is still the topic's.
func (p *position) find() error {
	l, err := p.reader.cluster.log(p.Topic, p.Partition.Partition)
	switch {
	case err != nil:
		return err
	case p.log == nil:
		p.log = l
		l.followers = append(l.followers, p)
	// The old topic's offsets mean nothing on the new one, so refuse to continue.
	case p.log != l:
		return fmt.Errorf("%s: %w: %w", p.Partition, transport.ErrTopicMissing, errRecreated)
	}
	// Retention has removed the records before the start: continue there.
	p.next = max(p.next, l.start)
	return nil
}

// wake implements follower.
func (p *position) wake() { p.reader.wakePoll() }

// noteFetch implements follower. Readers don't report when they fetched.
func (p *position) noteFetch() {}

// reposition follows a truncated log. A position that has read nothing yet may wait beyond the end.
func (p *position) reposition() {
	if p.begun {
		p.next = min(p.next, p.log.end)
	}
}

// fetch returns the next batch and its size, nil if there is none now.
func (p *position) fetch(limit int) (*transport.Batch, int) {
	if p.paused || p.log.holds > 0 || p.next >= min(p.log.end, p.end) {
		return nil, 0
	}
	b, size := p.log.batch(p.next, limit)
	// The batch was limited by size, not by end. Its memory is lent as a whole, so that of dropped
	// records is released with the rest.
	if b.Next > p.end {
		b.Next = p.end
		b.Records = slices.DeleteFunc(b.Records, func(r transport.Record) bool { return r.Offset >= p.end })
	}
	p.next, p.begun = b.Next, true
	return b, size
}

func (r *reader) Pause(partitions ...transport.Partition)  { r.pause(true, partitions) }
func (r *reader) Resume(partitions ...transport.Partition) { r.pause(false, partitions) }

func (r *reader) pause(paused bool, partitions []transport.Partition) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	for _, p := range r.positions {
		if slices.Contains(partitions, p.Partition) {
			p.paused = paused
		}
	}
	r.wakePoll()
}

// reconnected implements client.
func (r *reader) reconnected() { r.wakePoll() }

// wakePoll makes Poll look again.
func (r *reader) wakePoll() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close does not wait: a running Poll sees closed and returns. A second call does nothing.
func (r *reader) Close(context.Context) error {
	c := r.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	r.closed = true
	r.wakePoll()
	c.forget(r)
	for _, p := range r.positions {
		if p.log != nil {
			// Otherwise the log would keep the reader alive and wake it.
			p.log.unfollow(p)
		}
	}
	return nil
}
