package eventbus

import (
	"context"

	"github.com/eventbus-go/eventbus/internal/callback"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/transport"
)

// OnAssigned has hook called when this member gets partitions of the subscription's
// topic, before any event of them is handled: to load what belongs to them, say. The
// group's retry topic goes with its topic, partition by partition, and is not named.
//
// hook is called once for each assignment of a group, with the partitions of all topics
// whose subscriptions have this very option (as of Config.Handling), sorted; the slice is
// its own. Its calls come in order and never at once; those of other options run beside
// them. It has five seconds, with its context: then it is logged, and the events are
// handled without it. Its panic is logged, and stops nothing. A replay assigns nothing.
func OnAssigned(hook func(ctx context.Context, partitions []transport.Partition)) SubscribeOption {
	return hooked("OnAssigned", hook == nil, &callback.Moves{
		Name: "OnAssigned", Assigned: true,
		Call: func(ctx context.Context, partitions []transport.Partition, _ engine.Move) (err error) {
			defer rescue(&err, "the hook OnAssigned")
			hook(ctx, partitions)
			return nil
		},
	})
}

// OnRevoked has hook called when partitions of the subscription's topic go to another
// member, or the bus closes: after their handlers have ended and the last commit, and
// before any other member handles them. lost says that they are gone already, as after
// the session has timed out: then nothing was committed, another member may have them,
// and handlers of this one may still run.
//
// It is called as OnAssigned's hook is. Its context ends earlier where the group waits
// for less, or the bus is to close sooner: a bus whose time to close is over gives it one
// second at most. A process that is killed calls nothing.
func OnRevoked(hook func(ctx context.Context, partitions []transport.Partition, lost bool)) SubscribeOption {
	return hooked("OnRevoked", hook == nil, &callback.Moves{
		Name: "OnRevoked",
		Call: func(ctx context.Context, partitions []transport.Partition, move engine.Move) (err error) {
			defer rescue(&err, "the hook OnRevoked")
			hook(ctx, partitions, move == engine.Lost)
			return nil
		},
	})
}

// DeadLetter describes an event that a group gave up, and its letter.
type DeadLetter struct {
	Group string
	// Letter is where the letter lies, and Event where the event was read: in the
	// group's retry topic, if it came back from an earlier letter.
	Letter, Event transport.Position
	EventID, Type string // shortened if they are long; empty if the record has none
	Reason        string // as in the letter
	Attempts      int
	Err           error // of the last attempt; its text may have data of the event
}

var _ = DeadLetter(callback.Letter{})

// OnDeadLetter has hook called after a dead letter of the subscription's topic was
// acknowledged, to alert somebody, say. That is any letter of the topic in the group:
// also of records that no subscription handles, and of a replay that writes letters.
//
// It is told, not relied on: events don't wait for it. Up to 1,000 letters wait while it
// runs; what comes beyond is lost, as is what was not told when the bus closes, which waits
// for it five seconds within its time: both are logged, and counted in the metric
// eventbus.hooks.missed. A crash loses what waits. The
// letters themselves are in the dead-letter topic, whatever becomes of the hook. Its
// calls come one after another, in a context that ends after five seconds; its panic is
// logged.
func OnDeadLetter(hook func(ctx context.Context, l DeadLetter)) SubscribeOption {
	return hooked("OnDeadLetter", hook == nil, &callback.Letters{
		Name: "OnDeadLetter",
		Call: func(ctx context.Context, l callback.Letter) (err error) {
			defer rescue(&err, "the hook OnDeadLetter")
			l.Err = withCause(l.Err)
			hook(ctx, DeadLetter(l))
			return nil
		},
	})
}

// hooked returns the option that adds a hook. Subscriptions that share the option share
// the hook: that is how a group knows that it is one.
func hooked(option string, missing bool, h callback.Hook) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if missing {
			s.fault("%s: the function is nil: leave the option out", option)
			return
		}
		s.hooks = append(s.hooks, h)
	})
}
