package eventbus

import (
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/inspect"
)

func init() {
	inspect.Look = func(bus any) inspect.Bus { return bus.(*Bus).look() }
}

// look is the state of the bus for the test kit. It never waits.
func (b *Bus) look() inspect.Bus {
	if !b.life.TryLock() {
		return inspect.Bus{Changing: true}
	}
	defer b.life.Unlock()
	state := b.state.Load()
	s := inspect.Bus{Started: state == stateStarted, Ended: state > stateStarted}
	b.mu.Lock()
	groups := slices.Collect(maps.Values(b.groups))
	b.mu.Unlock()
	for _, g := range groups {
		seen := inspect.Group{Name: g.name, Topics: slices.Sorted(maps.Keys(g.topics))}
		if e := g.engine.Load(); e != nil {
			seen.Snapshot = e.Snapshot()
		}
		s.Groups = append(s.Groups, seen)
	}
	return s
}
