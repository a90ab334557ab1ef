package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Status is a snapshot of a view, for people, consoles and metrics.
type Status struct {
	// Topic is the topic's full name.
	Topic string
	// Phase is what the view is doing.
	Phase Phase
	// Err is why the view does not follow the topic now, nil if it does. Since is when
	// that began.
	Err   error
	Since time.Time
	// Keys and Bytes are the size of the table that serves, or of the first one while it
	// is being read.
	Keys, Bytes int64
	// Read counts the records read since Start, Rebuilds how often the topic was read
	// again from its start.
	Read, Rebuilds int64
	// ReadyAfter is how long the first table took from Start; 0 if it is not complete.
	ReadyAfter time.Duration
	// Behind is how many offsets the table is behind the last known ends of its
	// partitions.
	Behind int64
	// Partitions lists the partitions by number.
	Partitions []PartitionStatus
}

// PartitionStatus says how far a view is in one partition.
type PartitionStatus struct {
	Partition int32
	// Next is the offset after the last one applied; End is the last stable offset as
	// last known.
	Next, End int64
}

// Phase is what a view is doing.
type Phase string

// The phases of a view. The phase is empty before Start.
const (
	Reading    Phase = "reading"    // the topic is read for the first time: Get returns ErrNotReady
	Following  Phase = "following"  // the table is complete and follows the topic
	Rebuilding Phase = "rebuilding" // a complete table serves while the topic is read into another
	Failed     Phase = "failed"     // the view has given up: Get returns why
	Closed     Phase = "closed"     // the view was closed
)

// state is what the follower shares with the callers of the view. It is safe for
// concurrent use.
type state struct {
	// mu guards the fields down to readyAfter.
	mu sync.Mutex
	// live is the table that serves, nil before the first is complete; reading is the
	// one being filled.
	live, reading Table
	next, ends    map[int32]int64
	phase         Phase
	err           error
	since         time.Time
	read          int64
	rebuilds      int64
	started       time.Time
	readyAfter    time.Duration

	// ready is closed when the first table is complete, over when the view has failed or
	// was closed.
	ready, over chan struct{}
	position    position
}

func newState() *state { return &state{ready: make(chan struct{}), over: make(chan struct{})} }

// start reports whether this is the first start.
func (s *state) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != "" {
		return false
	}
	s.phase, s.started = Reading, time.Now()
	return true
}

// mayResume reports whether a Store's table may be resumed. It returns false once a
// table was found to belong to another log.
func (s *state) mayResume() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rebuilds == 0
}

// rebuild records that the follower starts over with a new table.
func (s *state) rebuild() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rebuilds++
	s.reading = nil
	if s.phase == Following {
		s.phase = Rebuilding
	}
}

// began records the table being filled, its positions, and the ends of the topic.
func (s *state) began(t Table, next map[int32]int64, ends map[transport.Partition]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading, s.next, s.ends = t, maps.Clone(next), make(map[int32]int64, len(ends))
	for p, end := range ends {
		s.ends[p.Partition] = end
	}
}

// applied records that a batch is in the table.
func (s *state) applied(p int32, b *transport.Batch, records int, live bool) {
	s.mu.Lock()
	s.read += int64(records)
	s.next[p] = b.Next
	s.ends[p] = max(b.LastStable, b.Next)
	s.mu.Unlock()
	if live {
		s.position.advance(p, b.Next)
	}
}

// complete makes a table the one that serves.
func (s *state) complete(t Table, next map[int32]int64) {
	s.mu.Lock()
	s.live = t
	if s.phase == Reading || s.phase == Rebuilding {
		s.phase = Following
	}
	first := s.readyAfter == 0
	if first {
		s.readyAfter = max(time.Since(s.started), 1)
	}
	s.mu.Unlock()
	// Before ready is closed: a WaitFor that follows Start finds the position.
	s.position.set(next)
	if first {
		close(s.ready)
	}
}

// fail records why the topic can't be followed, and reports whether it was followed
// until now. After a final failure nothing more is read.
func (s *state) fail(err error, final bool) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news = s.err == nil
	if news {
		s.since = time.Now()
	}
	s.err = err
	// If the phase is Closed, close has already closed over.
	if final && s.phase != Closed {
		s.phase = Failed
		close(s.over)
	}
	return news
}

// well records that the topic is being followed.
func (s *state) well() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = nil
}

// close ends the view, and reports whether it was started.
func (s *state) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.phase
	s.phase = Closed
	// If the view has failed, fail has already closed over. View.end calls close only
	// once.
	if was != Failed {
		close(s.over)
	}
	return was != ""
}

// table returns the table that serves, or why none does.
func (s *state) table() (Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase == Closed:
		return nil, ErrClosed
	case s.phase == Failed:
		return nil, s.err
	case s.live == nil && s.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotReady, s.err)
	case s.live == nil:
		return nil, ErrNotReady
	}
	// Also while the topic can't be followed: an old answer is better than none, and
	// Health says so.
	return s.live, nil
}

// errEnded ends a wait: the view has failed or was closed, and table says why.
var errEnded = errors.New("the view has ended")

// ending returns why the view has ended.
func (s *state) ending() error {
	if _, err := s.table(); err != nil {
		return err
	}
	return errEnded
}

// status returns a snapshot.
func (s *state) status(topic string) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := Status{Topic: topic, Phase: s.phase, Err: s.err, Read: s.read, Rebuilds: s.rebuilds, ReadyAfter: s.readyAfter}
	if s.err != nil {
		x.Since = s.since
	}
	for p, next := range s.next {
		x.Behind += max(s.ends[p]-next, 0)
		x.Partitions = append(x.Partitions, PartitionStatus{p, next, s.ends[p]})
	}
	slices.SortFunc(x.Partitions, func(a, b PartitionStatus) int { return int(a.Partition - b.Partition) })
	serving := s.live
	if serving == nil {
		serving = s.reading
	}
	if serving != nil {
		x.Keys, x.Bytes = serving.Size()
	}
	return x
}

// Health returns nil while the view serves and follows its topic, and otherwise the
// reason why not. It is a check for health.Check and does no I/O.
func (v *View[T]) Health(context.Context) error {
	s := v.Status()
	switch {
	case s.Phase == Following && s.Err == nil:
		return nil
	case s.Err != nil:
		return fmt.Errorf("the view of %s has not followed its topic for %v: %w", s.Topic, time.Since(s.Since).Round(time.Second), s.Err)
	case s.Phase == Reading || s.Phase == Rebuilding:
		return fmt.Errorf("the view of %s is reading its topic: %d records read, %d to go", s.Topic, s.Read, s.Behind)
	case s.Phase == "":
		return fmt.Errorf("the view of %s was not started", s.Topic)
	}
	return fmt.Errorf("the view of %s is %s", s.Topic, s.Phase)
}
