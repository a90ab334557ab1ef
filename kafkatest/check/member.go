package check

import (
	"context"
	"log/slog"
	"time"
)

var silent = slog.New(slog.DiscardHandler)

// member is one member of the group.
type member struct {
	id   int
	old  bool // of the version that Deployment replaces
	line *line
	stop func(context.Context) error
	ends context.CancelFunc
}

// enter starts a member, of the old version of the service or the new.
func (t *trial) enter(slot int, old bool) error {
	t.members++
	m := &member{id: t.members, old: old, line: &line{Transport: t.cluster}}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if m.stop, err = t.engine(ctx, m.line, t.watched(m.id), old); err != nil {
		cancel()
		return err
	}
	m.ends = cancel
	t.slots[slot] = m
	return nil
}

// leave ends the member in an orderly way.
func (m *member) leave() error {
	defer m.ends()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.stop(ctx)
}

// crash ends the member as a killed process: the group throws it out, so that
// nothing of it is committed any more, and it is given no time.
func (m *member) crash(t *trial) {
	t.history.crashed(m.id)
	if m.line.consumer != nil {
		_ = t.cluster.Expel(t.group, m.line.consumer.Status().MemberID) // it may not have joined yet
	}
	m.ends()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.stop(ctx) // it says that it was not given the time
}
