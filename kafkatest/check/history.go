package check

import (
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// place is where an event is.
type place struct {
	partition int32
	offset    int64
}

// attempt is one time that an event was given to the handler.
type attempt struct {
	member     int
	begun      time.Time
	ended      time.Time // zero: never
	err        error
	afterCrash bool // it ended when its member was dead already
}

// story is what became of the record at one place.
type story struct {
	place
	key, n   int
	attempts []*attempt
	letters  int // dead letters of it
}

// history is all that happened in a trial. It is safe for concurrent use.
type history struct {
	mu      sync.Mutex
	begun   time.Time
	events  []string // what was done to the cluster, and when
	stories map[place]*story
	crashes map[int]time.Time // by member
}

func newHistory() *history {
	return &history{begun: time.Now(), stories: make(map[place]*story), crashes: make(map[int]time.Time)}
}

func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf("%8.3fs  "+format, append([]any{time.Since(h.begun).Seconds()}, args...)...))
}

func (h *history) crashed(member int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashes[member] = time.Now()
}

// begin notes that a member gives a record to the handler, and tells how often
// that was so before.
func (h *history) begin(member int, r *transport.Record, key, n int) (*attempt, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := place{r.Partition, r.Offset}
	s := h.stories[at]
	if s == nil {
		s = &story{place: at, key: key, n: n}
		h.stories[at] = s
	}
	a := &attempt{member: member, begun: time.Now()}
	s.attempts = append(s.attempts, a)
	return a, len(s.attempts)
}

func (h *history) end(a *attempt, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.ended, a.err = time.Now(), err
	_, a.afterCrash = h.crashes[a.member]
}

// finished is when a record came to its end: it was handled, or, if it became a
// dead letter, when the attempt before that ended. Zero if it did not.
func (s *story) finished() (at time.Time) {
	for _, a := range s.attempts {
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

// handled is how often the record was handled, and how often of that a crash
// may have made it so: of a member that crashed, while or soon after it handled
// the record, before it can have committed that.
func (s *story) handled(crashes map[int]time.Time) (times, excused int) {
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

// uncommitted is how long what was handled may wait for its commit: the interval
// of commits, and a broker that is lost in between.
const uncommitted = 10 * time.Second
