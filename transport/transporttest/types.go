package transporttest

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// typesTests check what members of a group know about each other's handlers.
var typesTests = []test{
	{"Told", testTypesTold},
	{"Remembered", testTypesRemembered},
	{"Any", testTypesAny},
}

// testTypesAny: a member that handles all types of a topic handles each, as the others
// know it, and each has lost its last handler when that member leaves.
func testTypesAny(r *run) {
	group, topic := r.name("group"), r.topic(1)
	member := func(types ...string) *member {
		config := subscription(group, topic, transport.Earliest())
		config.Types = map[string][]string{topic: types}
		return r.member(config)
	}
	one := member("one")
	one.awaitOwned(1)
	one.awaitType("of nobody", topic, "else", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true} })
	every := member("*")
	one.awaitType("of the member that handles any", topic, "else", func(s transport.TypeState) bool { return s.Live })
	one.awaitType("of another topic", topic+"x", "else", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true} })
	every.leave()
	one.awaitType("of the member that left", topic, "else", func(s transport.TypeState) bool { return s.Known && !s.Live && !s.Left.IsZero() })
	one.awaitType("of its own", topic, "one", func(s transport.TypeState) bool { return s.Live })
}

// testTypesTold: members of a group know which types the others handle, those
// without a partition too, and which have lost their last handler.
func testTypesTold(r *run) {
	group, topic := r.name("group"), r.topic(1)
	member := func(types ...string) *member {
		config := subscription(group, topic, transport.Earliest())
		config.Types = map[string][]string{topic: types}
		return r.member(config)
	}
	first := member("both", "first's")
	first.awaitOwned(1)
	// Known, and neither live nor left: a type that nobody handles may be passed over, one
	// that is not known yet may not.
	first.awaitType("of nobody", topic, "else", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true} })
	second := member("both", "second's") // a standby, or first is one now
	// Both directions, and one of them has no partition: what members tell each other does
	// not depend on who owns what.
	first.awaitType("of the second member", topic, "second's", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true, Live: true} })
	second.awaitType("of the first member", topic, "first's", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true, Live: true} })
	second.leave()
	// The time of leaving is set, by which a handler that is only being replaced is told from
	// one that is gone.
	first.awaitType("of the member that left", topic, "second's", func(s transport.TypeState) bool { return s.Known && !s.Live && !s.Left.IsZero() })
	// The first member itself still handles this one: leaving takes away its last handler only.
	first.awaitType("of both", topic, "both", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true, Live: true} })
	// Types are per topic: one of the same name on another topic is not handled.
	first.awaitType("of another topic", topic+"x", "both", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true} })
}

// testTypesRemembered: a member knows which types its group handled lately, though
// their last handler left before it joined: that other members were there meanwhile,
// or that nobody was, makes no difference.
func testTypesRemembered(r *run) {
	group, topic := r.name("group"), r.topic(1)
	member := func(types ...string) *member {
		config := subscription(group, topic, transport.Earliest())
		config.Types = map[string][]string{topic: types}
		return r.member(config)
	}
	left := func(s transport.TypeState) bool { return s.Known && !s.Live && !s.Left.IsZero() }
	newer := member("both", "newer's")
	newer.awaitOwned(1)
	older := member("both")
	older.awaitType("of the newer member", topic, "newer's", func(s transport.TypeState) bool { return s.Live })
	newer.leave()
	older.awaitType("that the newer member handled", topic, "newer's", left)
	older.awaitOwned(1)
	// It can only know from older, or from what the group keeps.
	second := member("both") // has never seen the newer one
	second.awaitType("that left before it joined", topic, "newer's", left)
	second.leave()
	older.leave()
	// Nobody is in the group now: what is remembered must be kept outside its members.
	third := member("both")
	third.awaitType("that left before all members were others", topic, "newer's", left)
	third.awaitType("that nobody ever handled", topic, "else", func(s transport.TypeState) bool { return s == transport.TypeState{Known: true} })
}

// awaitType polls until what the member knows about a type is as wanted: nothing signals a
// change.
func (m *member) awaitType(what, topic, typ string, ok func(transport.TypeState) bool) {
	m.r.Helper()
	deadline := time.After(m.r.suite.patience)
	for {
		state := m.consumer.TypeState(topic, typ)
		if ok(state) {
			return
		}
		select {
		case <-deadline:
			m.r.Fatalf("gave up waiting for a type %s: it is %+v", what, state)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
