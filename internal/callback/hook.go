package callback

import (
	"context"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// Hook is a hook that an option has made. The bus knows hooks only by these interfaces,
// which keeps this package out of programs without hooks.
type Hook interface {
	// Join adds the hook to a group's hooks, for a topic. Adding it again has no
	// effect. A nil group has no hooks.
	Join(to Group, topic string, of Owner) Group
}

// Owner is the group that hooks are called for.
type Owner struct {
	Name string
	Log  *slog.Logger
	// Missed counts calls that will never be made.
	Missed func(calls int)
}

// Group is the hooks of a consumer group.
type Group interface {
	// Moved calls the hooks for partitions that came or went. It returns when they have
	// returned, ctx has ended, or Patience has passed.
	Moved(ctx context.Context, partitions []transport.Partition, move engine.Move)
	// DeadLettered schedules the hooks for a dead letter. It returns at once, and keeps
	// nothing of f. topic is the one that the group handles.
	DeadLettered(topic string, f *engine.Failure, at transport.Position, signals *telemetry.GroupSignals)
	// Close waits for the hooks, within ctx and Patience. No hook begins after it has
	// returned.
	Close(ctx context.Context)
}

// Patience is how long a group waits for a hook, and the timeout of the hook's context.
const Patience = 5 * time.Second

// Bounds of the calls that wait for a slow hook.
const (
	maxLetters = 1000
	maxMoves   = 100
)

// Moves is a hook for partitions that come or go.
type Moves struct {
	Name string // of its option
	// Assigned selects the moves: assignments if true, all others if false.
	Assigned bool
	Call     func(ctx context.Context, partitions []transport.Partition, move engine.Move) error
}

// Join implements Hook.
func (m *Moves) Join(to Group, topic string, of Owner) Group {
	g := groupOf(to, of)
	for _, j := range g.moves {
		if j.hook == m {
			j.topics[topic] = true
			return g
		}
	}
	g.moves = append(g.moves, &joined[*Moves]{m, NewQueue(maxMoves), map[string]bool{topic: true}})
	return g
}

// Letters is a hook for dead letters.
type Letters struct {
	Name string // of its option
	Call func(context.Context, Letter) error
}

// Letter is the dead letter that a hook gets.
type Letter struct {
	Group         string
	Letter        transport.Position
	Event         transport.Position
	EventID, Type string
	Reason        string
	Attempts      int
	Err           error
}

// Join implements Hook.
func (l *Letters) Join(to Group, topic string, of Owner) Group {
	g := groupOf(to, of)
	for _, j := range g.letters {
		if j.hook == l {
			j.topics[topic] = true
			return g
		}
	}
	g.letters = append(g.letters, &joined[*Letters]{l, NewQueue(maxLetters), map[string]bool{topic: true}})
	return g
}

// hooks implements Group. It is complete before anything is called.
type hooks struct {
	Owner
	moves   []*joined[*Moves]
	letters []*joined[*Letters]
}

// joined is a hook in one group, with its queue and topics.
type joined[H any] struct {
	hook   H
	queue  *Queue
	topics map[string]bool
}

func groupOf(to Group, of Owner) *hooks {
	if g, ok := to.(*hooks); ok {
		return g
	}
	of.Log = of.Log.With("group", of.Name)
	return &hooks{Owner: of}
}

// Moved implements Group. The hooks of one move run concurrently, so that all have the
// same time.
func (g *hooks) Moved(ctx context.Context, partitions []transport.Partition, move engine.Move) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var running []<-chan struct{}
	for _, j := range g.moves {
		if j.hook.Assigned != (move == engine.Assigned) {
			continue
		}
		var of []transport.Partition // a copy, which the hook may keep
		for _, p := range partitions {
			if j.topics[p.Topic] {
				of = append(of, p)
			}
		}
		if len(of) == 0 {
			continue // of retry topics, or of topics without the hook
		}
		transport.SortPartitions(of)
		done, lost := j.queue.Add(func() { g.failed(j.hook.Name, j.hook.Call(ctx, of, move)) })
		if done == nil {
			g.Missed(1)
			g.Log.Error("a hook was not called: earlier calls of it have not returned, or the bus has closed", "hook", j.hook.Name, "partitions", len(of), "lost", lost)
			continue
		}
		running = append(running, done)
	}
	for i, done := range running {
		select {
		case <-done:
		case <-ctx.Done():
			g.Log.Warn("hooks about partitions take too long, and the group goes on without them", "hooks", len(running)-i, "after", Patience)
			return
		}
	}
}

// DeadLettered implements Group.
func (g *hooks) DeadLettered(topic string, f *engine.Failure, at transport.Position, signals *telemetry.GroupSignals) {
	var letter *Letter
	for _, j := range g.letters {
		if !j.topics[topic] {
			continue
		}
		if letter == nil {
			e, r := signals.EventOf(f.Record), f.Record
			letter = &Letter{
				Group: g.Name, Letter: at,
				Event:   transport.Position{Partition: transport.Partition{Topic: r.Topic, Partition: r.Partition}, Offset: r.Offset, Time: r.Time},
				EventID: telemetry.ClippedName(e.ID), Type: telemetry.ClippedName(e.Type),
				Reason: f.Reason, Attempts: f.Attempts, Err: f.Err,
			}
		}
		done, lost := j.queue.Add(func() { g.deadLettered(j.hook, *letter) })
		if done != nil {
			continue
		}
		g.Missed(1)
		// Log once: a hook that is behind usually misses many letters, and Close logs
		// their sum.
		if lost == 1 {
			g.Log.Warn("a hook is behind: it is not told of dead letters until it has caught up", "hook", j.hook.Name, "waiting", maxLetters)
		}
	}
}

func (g *hooks) deadLettered(hook *Letters, l Letter) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	g.failed(hook.Name, hook.Call(ctx, l))
}

// failed logs the error of a hook, if it has one.
func (g *hooks) failed(hook string, err error) {
	if err != nil {
		g.Log.Error("a hook failed", "hook", hook, telemetry.LogError, err)
	}
}

// Close implements Group.
func (g *hooks) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for _, j := range g.moves {
		_, left := j.queue.Close(ctx) // each that is lost was logged
		g.Missed(left)
	}
	for _, j := range g.letters {
		lost, left := j.queue.Close(ctx)
		g.Missed(left)
		if lost > 0 {
			g.Log.Warn("a hook was not told of all dead letters", "hook", j.hook.Name, "lost", lost)
		}
	}
}
