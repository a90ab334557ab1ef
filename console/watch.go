package console

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// member is one process with a bus. Its methods are safe for concurrent use. The inspections
// and catalogues that it returns belong to the caller.
type member interface {
	name() string
	inspect(context.Context) (*eventbus.Inspection, error)
	catalog(context.Context) (*catalog.Document, error)
	order(context.Context, *order) error
	replay(context.Context, *replayOrder) (*replayReport, error)
}

// Members are asked seldom for the history, and often while somebody looks at a page. The
// answers on a page are at most two looked periods old, if members answer in time. After an
// order its member is asked at once.
const (
	idlePeriod    = 10 * time.Second
	lookedPeriod  = time.Second
	askTimeout    = 5 * time.Second
	lookedFor     = 10 * time.Second // after a page was asked for
	catalogPeriod = time.Minute
)

// watch asks the members periodically and keeps their latest answers. newWatch fixes the
// members. Each has its own goroutine, so that one that hangs does not hold up the others.
type watch struct {
	members []*watched
	history history
	looked  atomic.Int64 // when a page was last asked for, in Unix nanoseconds
}

// watched is a member with its latest answers. mu guards the fields below it, and is not
// held during a request.
type watched struct {
	member
	watch *watch
	hurry chan struct{} // asks for a request at once

	mu        sync.Mutex
	fresh     chan struct{} // closed after the next request
	asked     time.Time
	state     sighting
	contract  *catalog.Document
	contracts time.Time
}

// sighting is what is known of a member.
type sighting struct {
	Member string
	// Seen is nil until the member has answered once. It must not be changed.
	Seen  *eventbus.Inspection
	Heard time.Time     // time of its last answer
	Took  time.Duration // duration of its last answer
	Err   error         // of the last request; nil if it was answered
	at    int           // index of the member
}

// Silent reports whether the member does not answer now.
func (s *sighting) Silent() bool { return s.Err != nil }

// newWatch returns a watch that has not asked its members yet. The bus of this process is
// the first.
func newWatch(config *Config) *watch {
	w := &watch{}
	w.history.groups = make(map[string]*record)
	add := func(m member) {
		w.members = append(w.members, &watched{
			member: m, watch: w, fresh: make(chan struct{}), hurry: make(chan struct{}, 1), state: sighting{Member: m.name(), at: len(w.members)},
		})
	}
	if config.Bus != nil {
		add(local{config.Bus})
	}
	for _, m := range config.Members {
		add(newRemote(m))
	}
	return w
}

// run asks the member until ctx ends.
func (m *watched) run(ctx context.Context) {
	// The first request is made at once, so that the first page has something to show.
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.hurry:
		}
		m.ask(ctx)
		period := idlePeriod
		if m.watch.isLooked() {
			period = lookedPeriod
		}
		timer.Reset(period)
	}
}

// ask asks the member once. It may be called concurrently, by run and after an order; the
// later answer stays.
func (m *watched) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	begin := time.Now()
	seen, err := m.inspect(ctx)
	m.mu.Lock()
	// The last inspection stays after an error. Pages show how old it is.
	m.state.Err = err
	if err == nil {
		m.state.Seen, m.state.Heard, m.state.Took = seen, time.Now(), time.Since(begin)
	}
	old := time.Since(m.contracts) > catalogPeriod
	m.asked = time.Now()
	// Everyone who waits for an answer goes on, even after an error: no other answer will come.
	close(m.fresh)
	m.fresh = make(chan struct{})
	m.mu.Unlock()
	if err == nil {
		m.watch.history.add(m.state.at, seen, time.Now())
	}
	// The catalogue comes second, since pages can show the inspection already. It may be large,
	// and changes only with a deployment. After an error, the next round asks again.
	if err == nil && old {
		if d, err := m.catalog(ctx); err == nil {
			m.mu.Lock()
			m.contract, m.contracts = d, time.Now()
			m.mu.Unlock()
		}
	}
}

func (w *watch) isLooked() bool {
	return time.Since(time.Unix(0, w.looked.Load())) < lookedFor
}

// look returns what is known of the members, in their order. It asks those again whose
// answers are too old for a page, and waits for them briefly.
func (w *watch) look(ctx context.Context) []sighting {
	// While somebody looks, members are asked every second anyway. The first page after a pause
	// shows their current state rather than one that may be ten seconds old.
	oldest := 2 * lookedPeriod
	if !w.isLooked() {
		oldest = lookedPeriod / 10
	}
	w.looked.Store(time.Now().UnixNano())
	// One second for all: a member that hangs must not hold up the page that reports it.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var fresh []<-chan struct{}
	for _, m := range w.members {
		m.mu.Lock()
		if time.Since(m.asked) > oldest {
			// Taken under the lock and before the request: otherwise an answer in between would be
			// missed.
			fresh = append(fresh, m.fresh)
			select {
			// The channel has room for one, since one pending request serves everyone.
			case m.hurry <- struct{}{}:
			default:
			}
		}
		m.mu.Unlock()
	}
	for _, f := range fresh {
		select {
		case <-f:
		case <-ctx.Done():
		}
	}
	all := make([]sighting, 0, len(w.members))
	for _, m := range w.members {
		m.mu.Lock()
		all = append(all, m.state)
		m.mu.Unlock()
	}
	return all
}

// named returns the configured member with a name, so that a form can't name any other
// address.
func (w *watch) named(name string) (*watched, error) {
	for _, m := range w.members {
		if m.name() == name {
			return m, nil
		}
	}
	return nil, missing("there is no member " + clip(maxShown, name))
}

// catalogs returns the catalogues of the members that have sent theirs. A member that is
// silent now keeps its catalogue: its declarations are still true.
func (w *watch) catalogs() (all []*catalog.Document) {
	for _, m := range w.members {
		m.mu.Lock()
		if m.contract != nil {
			all = append(all, m.contract)
		}
		m.mu.Unlock()
	}
	return all
}
