package group

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// brokerSession is Kafka's default for groups of KIP-848. It stands until the
	// brokers have named theirs, and for good where this client may not ask.
	brokerSession = 45 * time.Second
	// sessionAge is how often the group's session timeout is asked for: an operator
	// can change it while the group runs.
	sessionAge = 5 * time.Minute
	// sessionConfig names it among a group's configurations.
	sessionConfig = "consumer.session.timeout.ms"
)

// session returns the time without a heartbeat after which the group gives the
// member's partitions to others. A member that overestimates it handles records
// that another member has already been given.
func (m *membership) session() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessionLocked()
}

func (m *membership) sessionLocked() time.Duration {
	if m.epochs != nil {
		return m.epochs.session
	}
	return m.cfg.SessionTimeout
}

// watchSession keeps the session timeout of KIP-848, which the member does not
// choose, as the brokers have it. It returns when the member has left.
func (m *membership) watchSession() {
	for failures := 0; m.ctx.Err() == nil; {
		wait := sessionAge
		session, err := m.askSession(m.ctx)
		switch {
		case err == nil:
			failures = 0
			m.setSession(session)
		case m.ctx.Err() != nil:
			return
		case errors.Is(err, transport.ErrUnauthorized), errors.Is(err, kerr.UnsupportedVersion):
			m.log.Info("the group's session timeout is not known: without the right to describe its configuration the default of the brokers is assumed",
				"group", m.cfg.Group, "assumed", m.session(), "error", err)
		default:
			wait = cluster.Backoff(failures)
			failures++
		}
		cluster.Pause(m.ctx, wait)
	}
}

func (m *membership) setSession(session time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if session != m.epochs.session {
		m.log.Info("session timeout", "group", m.cfg.Group, "timeout", session)
	}
	m.epochs.session = session
}

// askSession asks for the group's session timeout.
func (m *membership) askSession(ctx context.Context) (time.Duration, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, m.cfg.Group
	resource.ConfigNames = []string{sessionConfig}
	req.Resources = append(req.Resources, resource)
	answer, err := m.client.AnyBroker(ctx, req)
	if err != nil {
		return 0, err
	}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		if r.ErrorCode != 0 {
			return 0, kerr.Error(r.ErrorCode)
		}
		for _, c := range r.Configs {
			if c.Name != sessionConfig || c.Value == nil {
				continue
			}
			ms, err := strconv.ParseInt(*c.Value, 10, 32)
			if err != nil || ms <= 0 {
				return 0, fmt.Errorf("%s of group %q is %q, want milliseconds", sessionConfig, m.cfg.Group, *c.Value)
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	// A broker that knows groups' configurations and not this one.
	return 0, fmt.Errorf("%s of group %q: %w", sessionConfig, m.cfg.Group, kerr.UnsupportedVersion)
}
