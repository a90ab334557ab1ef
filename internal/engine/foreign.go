package engine

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// foreignTypes decides about events whose type no subscription here handles. They are held if
// another member of the group handles the type and, for a while, if its last handler has left:
// during a rolling deployment old members have partitions with events that only new members
// know, and after a restart of all members the old ones may come up first.
//
// It is called while holding locks of partitions, and acquires only its own and those of the
// transport's TypeState.
type foreignTypes struct {
	state func(topic, typ string) transport.TypeState
	grace time.Duration // how long events are held whose last handler left

	mu        sync.Mutex
	met       map[typeName]*foreignType
	forgotten map[typeName]bool // by an operator; whether the type was handled then
}

// typeName is a type of event on a topic.
type typeName struct{ topic, typ string }

// foreignType is a type whose events were held.
type foreignType struct {
	typeName
	unknown time.Time // since when the member has been finding out; zero if it knows
	noted   bool      // the log says that events are held
}

// maxMet bounds the known types without held events: while the member is finding out who
// handles what, there may be as many as a producer likes.
const maxMet = 4096

// newForeignTypes returns foreignTypes that have met no type yet. Start sets state.
func newForeignTypes(grace time.Duration) *foreignTypes {
	return &foreignTypes{grace: grace, met: make(map[typeName]*foreignType), forgotten: make(map[typeName]bool)}
}

// hold is the decision about a type.
type hold struct {
	holds bool
	live  bool      // a member handles it
	asks  bool      // the member is finding out
	until time.Time // when holding ends unless somebody handles the type by then
}

// decide returns whether events of a type are held now. It calls state before acquiring mu:
// state acquires the transport's locks.
func (f *foreignTypes) decide(t *foreignType, now time.Time) hold {
	state := f.state(t.topic, t.typ)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.judge(t, state, now)
}

// keeps reports whether an event at the head of its lane is held. If there is no room for more,
// only an event that somebody can handle is.
func (f *foreignTypes) keeps(t *foreignType, full bool) bool {
	d := f.decide(t, time.Now())
	return d.holds && (d.live || d.asks || !full)
}

// judge is decide for a given state. The caller holds mu.
func (f *foreignTypes) judge(t *foreignType, state transport.TypeState, now time.Time) hold {
	if !state.Known {
		if t.unknown.IsZero() {
			t.unknown = now
		}
		asking := until(t.unknown.Add(f.grace), now)
		asking.asks = asking.holds
		return asking
	}
	t.unknown = time.Time{}
	if live, forgotten := f.forgotten[t.typeName]; forgotten {
		if state.Live == live || live {
			f.forgotten[t.typeName] = state.Live
			return hold{live: state.Live}
		}
		delete(f.forgotten, t.typeName) // a new handler has come since
	}
	switch {
	case state.Live:
		return hold{holds: true, live: true}
	case state.Left.IsZero():
		return hold{}
	}
	return until(state.Left.Add(f.grace), now)
}

// until returns a decision that ends at a time.
func until(end, now time.Time) hold { return hold{holds: now.Before(end), until: end} }

// arrived returns the type of an event that has arrived, if it is to be held, and whether that
// is worth a line in the log. Events of types that nobody handles may be most of a topic, so
// they cost no memory.
func (f *foreignTypes) arrived(topic, typ string, now time.Time) (t *foreignType, decision hold, news bool) {
	state := f.state(topic, typ)
	f.mu.Lock()
	defer f.mu.Unlock()
	name := typeName{topic, typ}
	t = f.met[name]
	if t == nil {
		if state.Known && !state.Live && state.Left.IsZero() {
			return nil, hold{}, false
		}
		if len(f.met) >= maxMet {
			clear(f.met) // held events keep theirs
		}
		t = &foreignType{typeName: name.clone()}
		f.met[t.typeName] = t
	}
	if decision = f.judge(t, state, now); !decision.holds {
		delete(f.met, name)
		return nil, decision, false
	}
	news = state.Known && !t.noted
	t.noted = t.noted || news
	return t, decision, news
}

// clone copies the names out of fetched memory.
func (n typeName) clone() typeName {
	return typeName{string([]byte(n.topic)), string([]byte(n.typ))}
}

// forget stops holding events of a type, until a member that handles it comes.
func (f *foreignTypes) forget(topic, typ string) {
	state := f.state(topic, typ)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.forgotten) >= maxMet {
		clear(f.forgotten)
	}
	f.forgotten[typeName{topic, typ}] = state.Live
}
