package group

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// logAgain is how often a persistent error is logged.
	logAgain = time.Minute
	// settles is how long brokers may take until all of them know a new topic.
	settles = 5 * time.Second
	// maxLogged bounds the remembered errors: a text may contain something that changes each time.
	maxLogged = 64
)

// reportFailure records why the member can't join or stay, until the coordinator acknowledges
// it again, and logs it.
func (m *membership) reportFailure(err error) {
	m.mu.Lock()
	m.failure = err
	m.mu.Unlock()
	m.logFailure(err)
}

// logFailure logs an error unless it was logged within the last minute: while no broker answers
// there are several attempts a second. What brokers say of a topic until all of them know it is a
// warning once it has lasted.
func (m *membership) logFailure(err error) {
	level := slog.LevelWarn
	if errors.Is(err, kerr.NotCoordinator) || errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) {
		level = slog.LevelInfo // in a group's first moments on a cluster, and at every move of its coordinator
	}
	now, text := time.Now(), err.Error()
	m.mu.Lock()
	last, known := m.logged[text]
	known = known && now.Sub(last.at) < 2*logAgain
	lasts := known && last.early && now.Sub(last.at) >= settles
	repeated := known && !lasts && now.Sub(last.at) < logAgain
	early := !known && ofNewTopic(err)
	if early {
		level = slog.LevelDebug
	}
	if !repeated {
		maps.DeleteFunc(m.logged, func(_ string, l loggedFailure) bool { return now.Sub(l.at) >= 2*logAgain })
		// Forgetting all of them costs a few more log lines, but no bookkeeping.
		if m.logged == nil || len(m.logged) >= maxLogged {
			m.logged = make(map[string]loggedFailure)
		}
		m.logged[text] = loggedFailure{now, early}
	}
	m.mu.Unlock()
	if !repeated {
		m.log.Log(m.ctx, level, "group membership", "group", m.cfg.Group, "error", err)
	}
}

// loggedFailure is when an error was logged last, and whether that was only for debugging.
type loggedFailure struct {
	at    time.Time
	early bool
}

// ofNewTopic reports whether an error is one that brokers return while a topic is being created,
// or a partition gets another leader.
func ofNewTopic(err error) bool {
	code, ok := errors.AsType[kerr.Error](err)
	if !ok {
		return errors.Is(err, transport.ErrTopicMissing)
	}
	switch code {
	case kerr.NotLeaderOrFollower, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID:
		return true
	}
	return false
}

// lastErrorLocked returns why the member does less than it should: it is not in the group, or
// has not begun what it was assigned. An answered heartbeat ends only the former.
func (m *membership) lastErrorLocked() error {
	// The membership comes first: without it nothing else works.
	if m.failure != nil {
		return m.failure
	}
	waiting := slices.Collect(maps.Keys(m.unbegun))
	transport.SortPartitions(waiting)
	// In order, so that the same trouble always shows the same text.
	for _, p := range waiting {
		if err := m.unbegun[p]; err != nil {
			return err
		}
	}
	return nil
}

// alive reports whether the group still counts the member in.
func (m *membership) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation >= 0 && m.state < stateLost && !m.left && time.Since(m.lastAck) < m.sessionLocked()
}

// status returns a snapshot, without the fetcher's part.
func (m *membership) status() transport.ConsumerStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := transport.ConsumerStatus{
		Joined: m.generation >= 0 && m.state < stateLost && !m.left,
		State:  "stable", MemberID: m.id, Generation: m.generation, LastHeartbeat: m.lastAck,
		Rebalances: m.rebalances, LastError: m.lastErrorLocked(), Unread: slices.Clone(m.companions.unread),
	}
	switch {
	case m.left:
		s.State = "closed"
	case !s.Joined:
		s.State = "joining"
	// It is in the group, and does not do all of its work yet.
	case m.joining || m.reconciling || len(m.unbegun) > 0 || m.state != stateMember:
		s.State = "rebalancing"
	}
	return s
}
