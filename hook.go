package eventbus

import (
	"context"

	"github.com/eventbus-go/eventbus/internal/callback"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/transport"
)

// OnAssigned sets a hook that is called when this member is assigned partitions of the
// subscription's topic, before any of their events is handled: to load state for them, say.
// Partitions of the group's retry topic are assigned along with the topic's, and not listed.
//
// hook is called once per assignment of a group, with the partitions, sorted, of all topics
// whose subscriptions have this same option value (such as one of Config.Handling). It owns
// the slice. Within a group, calls of one option come in order and never overlap; hooks of
// other options and groups run beside them. Its context ends after five seconds; after that
// a warning is logged and the events are handled without it. A panic is logged and stops
// nothing. A replay assigns no partitions.
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

// OnRevoked sets a hook that is called when partitions of the subscription's topic move to
// another member or the bus closes: after their handlers have ended and the last commit, and
// before any other member handles them. lost means that they are already gone, such as after
// a session timeout: then nothing was committed, another member may own them, and handlers
// of this member may still run.
//
// It is called as OnAssigned's hook is. Its context ends earlier if the group waits less or
// the bus must close sooner; once the bus's time to close is over, the hook gets at most one
// second. If the process is killed, the hook is not called.
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

// DeadLetter describes an event that a group gave up, and the letter written for it.
type DeadLetter struct {
	Group string
	// Letter is the letter's position. Event is where the event was read: in the group's
	// retry topic, if it came back from an earlier letter.
	Letter, Event transport.Position
	EventID, Type string // shortened if long; empty if the record has none
	Reason        string // as in the letter
	Attempts      int
	Err           error // of the last attempt; the text may contain data of the event
}

var _ = DeadLetter(callback.Letter{})

// OnDeadLetter sets a hook that is called after a dead letter of the subscription's topic was
// acknowledged, to alert somebody, say. It is called for every letter of the topic in the
// group, also for records that no subscription handles and for replays that write letters.
//
// The hook is a notification without a guarantee: events don't wait for it. Up to 1,000
// letters are queued while it runs; further ones are not reported. Closing the bus waits up
// to five seconds, within its context, for the queue, and drops the rest. Dropped letters are
// logged, and counted in the metric eventbus.hooks.missed; a crash drops the queue too. The
// letters themselves are in the dead-letter topic regardless. Calls of a group come one after
// another, each in a context that ends after five seconds; a panic is logged.
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

// hooked returns the option that adds a hook. Subscriptions that share the option share the
// hook: this is how a group recognizes that they have the same one.
func hooked(option string, missing bool, h callback.Hook) SubscribeOption {
	return subscribeOption(func(s *subscribeSettings) {
		if missing {
			s.fault("%s: the function is nil: leave the option out", option)
			return
		}
		s.hooks = append(s.hooks, h)
	})
}
