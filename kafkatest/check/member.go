package check

import (
	"context"
	"log/slog"
	"time"
)

// silent is the members' logger. Trials cause warnings on purpose.
var silent = slog.New(slog.DiscardHandler)

// member is one member of the group. A replacement is a new member.
type member struct {
	// id counts from 1 and is never reused.
	id int
	// old says that it is of the version that Deployment replaces.
	old  bool
	line *line
	// stop ends the member in an orderly way within its context; ends cancels its
	// context.
	stop func(context.Context) error
	ends context.CancelFunc
}

// enter starts a member in a slot, of the service's old or new version.
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

// leave stops the member in an orderly way. It returns an error if that takes more
// than a minute.
func (m *member) leave() error {
	defer m.ends()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.stop(ctx)
}

// crash ends the member like a killed process: the group expels it, so that it can't
// commit any more, and it gets no time to stop.
func (m *member) crash(t *trial) {
	t.history.crashed(m.id)
	if m.line.consumer != nil {
		// It may not have joined yet.
		_ = t.cluster.Expel(t.group, m.line.consumer.Status().MemberID)
	}
	m.ends()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// The error only says that there was no time.
	_ = m.stop(ctx)
}
