package check

import (
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// place is a record's position in the topic of the trial.
type place struct {
	partition int32
	offset    int64
}

// attempt is one call of the handler with an event.
type attempt struct {
	// member is the id of the member that made it.
	member int
	begun  time.Time
	// ended is zero for an attempt that never ended.
	ended time.Time
	err   error
	// afterCrash says that the member had crashed before the attempt ended.
	afterCrash bool
}

// recordHistory is what happened to the record at one place. The history's mu guards
// it.
type recordHistory struct {
	place
	// key and n identify the event; copies share them.
	key, n int
	// attempts are in the order in which they began.
	attempts []*attempt
	// letters counts the dead letters of the record.
	letters int
}

// history is all that happened in a trial. It is safe for concurrent use.
type history struct {
	// mu guards the fields below. begun does not change.
	mu    sync.Mutex
	begun time.Time
	// events has a line, with the time, for each thing that was done to the cluster.
	events []string
	// records has every record that was given to a handler.
	records map[place]*recordHistory
	// crashes has the time of each crash, by member.
	crashes map[int]time.Time
}

// newHistory returns an empty history that begins now.
func newHistory() *history {
	return &history{begun: time.Now(), records: make(map[place]*recordHistory), crashes: make(map[int]time.Time)}
}

// note adds a line with the time since the beginning.
func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf("%8.3fs  "+format, append([]any{time.Since(h.begun).Seconds()}, args...)...))
}

// crashed notes that a member crashes now.
func (h *history) crashed(member int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashes[member] = time.Now()
}

// begin notes that a member gives a record to the handler, and returns the attempt
// and its number, from 1.
func (h *history) begin(member int, r *transport.Record, key, n int) (*attempt, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := place{r.Partition, r.Offset}
	s := h.records[at]
	if s == nil {
		s = &recordHistory{place: at, key: key, n: n}
		h.records[at] = s
	}
	a := &attempt{member: member, begun: time.Now()}
	s.attempts = append(s.attempts, a)
	return a, len(s.attempts)
}

// end notes how an attempt ended.
func (h *history) end(a *attempt, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.ended, a.err = time.Now(), err
	_, a.afterCrash = h.crashes[a.member]
}

// finished returns when the record was finished: when it was handled or, if it became
// a dead letter, when its last attempt ended. It returns zero if the record is not
// finished.
func (s *recordHistory) finished() (at time.Time) {
	for _, a := range s.attempts {
		// The group does not learn what a crashed member finishes.
		if a.ended.IsZero() || a.afterCrash {
			continue
		}
		if a.err == nil {
			return a.ended
		}
		at = a.ended
	}
	if s.letters == 0 {
		return time.Time{}
	}
	return at
}

// handled returns how often the record was handled, and how many of these times a
// crash excuses: the member crashed while it handled the record, or so soon after that
// it may not have committed.
func (s *recordHistory) handled(crashes map[int]time.Time) (times, excused int) {
	for _, a := range s.attempts {
		if a.ended.IsZero() || a.err != nil {
			continue
		}
		times++
		if crash, dead := crashes[a.member]; dead && crash.Sub(a.ended) <= uncommitted {
			excused++
		}
	}
	return times, excused
}

// uncommitted bounds how long a handled record may wait for its commit: the commit
// interval plus a loss of the broker.
const uncommitted = 10 * time.Second
