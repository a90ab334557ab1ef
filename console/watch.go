package console

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// member is one process with a bus.
// Its methods may be called concurrently. An inspection or a catalogue that it returns is the
// caller's, and not changed later.
type member interface {
	name() string
	inspect(context.Context) (*eventbus.Inspection, error)
	catalog(context.Context) (*catalog.Document, error)
	order(context.Context, *order) error
	replay(context.Context, *replayOrder) (*replayReport, error)
}

// How often members are asked: seldom, for the history, and often while somebody
// looks.
// A page is of members' answers that are at most two looked periods old, if they answer in
// time. An order is followed by a request of its own.
const (
	idlePeriod    = 10 * time.Second
	lookedPeriod  = time.Second
	askTimeout    = 5 * time.Second
	lookedFor     = 10 * time.Second // after a page was asked for
	catalogPeriod = time.Minute
)

// watch asks the members, again and again, and keeps their latest answers.
// members is fixed by newWatch. Each has a goroutine of its own, so that one that hangs holds
// up no other.
type watch struct {
	members []*watched
	history history
	looked  atomic.Int64 // when a page was last asked for, in Unix nanoseconds
}

// watched is a member with its latest answers.
// mu guards what follows it, and is not held during a request.
type watched struct {
	member
	watch *watch
	hurry chan struct{} // somebody looks

	mu        sync.Mutex
	fresh     chan struct{} // closed when it was asked the next time
	asked     time.Time
	state     sighting
	contract  *catalog.Document
	contracts time.Time
}

// sighting is what is known of a member.
type sighting struct {
	Member string
	// Seen is nil until the member has answered once. It is not changed.
	Seen  *eventbus.Inspection
	Heard time.Time     // when it last answered
	Took  time.Duration // its last answer
	Err   error         // of the last request; nil if it was answered
	at    int           // its place among the members
}

// Silent reports whether the member does not answer now.
func (s *sighting) Silent() bool { return s.Err != nil }

// newWatch returns a watch whose members have not been asked. The bus of this process is the
// first.
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
	// The first round begins at once, so that the first page has something to show.
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

// ask asks the member once.
// It may be called concurrently, by run and after an order. The later answer stays.
func (m *watched) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	begin := time.Now()
	seen, err := m.inspect(ctx)
	m.mu.Lock()
	// The last inspection stays after an error. Pages show since when it has been old.
	m.state.Err = err
	if err == nil {
		m.state.Seen, m.state.Heard, m.state.Took = seen, time.Now(), time.Since(begin)
	}
	old := time.Since(m.contracts) > catalogPeriod
	m.asked = time.Now()
	// All who wait for an answer go on, also after an error: there is nothing else to wait for.
	close(m.fresh)
	m.fresh = make(chan struct{})
	m.mu.Unlock()
	if err == nil {
		m.watch.history.add(m.state.at, seen, time.Now())
	}
	// The inspection comes first and is there for pages already: a catalogue may be large, and
	// changes only with a deployment. After an error it is asked for again with the next round.
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

// look returns what is known of the members, in their order. What is older than a page
// may be it has asked for again, and waits a moment for it.
func (w *watch) look(ctx context.Context) []sighting {
	// While somebody looks, members are asked every second anyway. The first page after a
	// while shows them as they are now, and not as they were up to two seconds ago.
	oldest := 2 * lookedPeriod
	if !w.isLooked() {
		oldest = lookedPeriod / 10
	}
	w.looked.Store(time.Now().UnixNano())
	// One second for all of them: a member that hangs must not hold up the page on it.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var fresh []<-chan struct{}
	for _, m := range w.members {
		m.mu.Lock()
		if time.Since(m.asked) > oldest {
			// Taken with the lock held, before the hurry: an answer in between would else be missed.
			fresh = append(fresh, m.fresh)
			select {
			// The channel has room for one: a request that is due already serves everyone.
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

// named returns a member by its name, of those that were configured: a form can name no
// other address.
func (w *watch) named(name string) (*watched, error) {
	for _, m := range w.members {
		if m.name() == name {
			return m, nil
		}
	}
	return nil, missing("there is no member " + clip(maxShown, name))
}

// catalogs returns the catalogues of the members that have told theirs.
// A member that is silent now keeps its catalogue: declarations do not become untrue by that.
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
