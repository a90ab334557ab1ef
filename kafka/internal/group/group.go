package group

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// inconsistentGroupProtocol is a code of group membership, in addition to those of package kerr.
const inconsistentGroupProtocol kerr.Error = 23

// errClosing ends run's loop if Close was called during a join. Nobody else sees it.
var errClosing = errors.New("the consumer is being closed")

// membership is a consumer's place in its group, by Kafka's classic group protocol: JoinGroup,
// SyncGroup, Heartbeat, LeaveGroup.
//
// Three goroutines serve it. The first, run, lives the member's life: it joins, releases what
// now belongs to others, begins what is new, and rests until something happens. It calls the
// Listener, and may be held up there for as long as that takes. The second sends heartbeats
// meanwhile, whatever the first waits for, and records what the coordinator says about the
// member. The third watches the topics.
type membership struct {
	// newConsumer sets these fields, and they never change.
	client *cluster.Client
	cfg    transport.ConsumerConfig
	// topics are those that the member subscribes to, sorted, without companions.
	topics []string
	// balancer plans if this member leads; classic protocol only.
	balancer *balance.Balancer
	rack     string
	// fetch knows what is assigned: a partition is owned from Add to Remove.
	fetch    *fetch.Fetcher
	listener *fetch.Listener
	log      *slog.Logger
	// types has its own lock, which may be acquired while holding mu.
	types    *groupTypes
	clientID string // of heartbeats in the consumer protocol

	ctx     context.Context // ends once the member has left
	work    *sync.WaitGroup
	closing chan struct{}   // closed when Close is called
	patient context.Context // ends when the context of Close does
	// closeContext is Close's. It is set before closing is closed.
	closeContext context.Context
	news         chan struct{} // something happened that run should look at
	heartbeatNow chan struct{} // send a heartbeat now
	commits      chan struct{} // held while a commit is in flight: commits take effect in order

	// mu guards the fields below. No request is sent and no Listener is called under it.
	mu sync.Mutex
	// id is the member ID: in the classic protocol the coordinator assigns it, and it is empty
	// before; with KIP-848 the member chooses it.
	id string
	// generation fences commits and heartbeats. With KIP-848 it is the member epoch.
	generation int32 // −1: not in the group
	// joining is set from JoinGroup to the response to SyncGroup.
	joining     bool
	reconciling bool // run is calling the Listener or looking up offsets
	leads       bool
	// planned is nil unless the member leads. Topics that do not exist yet count 0.
	planned map[string]int32 // numbers of partitions in this leader's plan
	state   memberState
	reason  error // for the state; nil for a member
	// lastAck is when the last request was sent to which the coordinator answered that the
	// member is in the group. The session counts from then.
	lastAck time.Time
	// heartbeatWait is the time until the next heartbeat while they come faster than their
	// interval; otherwise zero.
	heartbeatWait time.Duration
	// failure is why the coordinator does not count the member in, or did not answer; nil once
	// it has acknowledged the member again.
	failure error
	// unbegun are the partitions that are assigned and not read yet, with the reason, nil at first.
	unbegun    map[transport.Partition]error
	logged     map[string]loggedFailure // when each error text was last logged
	rebalances int64                    // number of assignments received
	// epoch is that of the last assigned partition: each gets a larger one.
	epoch   uint64
	changed chan struct{} // closed and replaced at each change of id, generation or state
	// expelled ends a running call of Revoked; otherwise nil.
	expelled context.CancelFunc
	replaced map[string]bool // topics that were created again
	// seen has the topic that each name meant when it was begun, so that another one is recognized.
	seen map[string]remembered
	kept keptCommits
	// left is set at the end of the member's life.
	left bool

	epochs *byEpochs // in the consumer protocol, otherwise nil

	companions *companions

	begins *beginning // used by run only; nil if nothing is being begun

	abandonJoin func() // used by run only: ends a join that continues after Close was called
}

// memberState is what the coordinator last said about the member, from best to worst. Until the
// member joins again, a state is only replaced by a worse one.
type memberState int8

const (
	stateMember memberState = iota
	stateRejoin             // the group rebalances
	stateLost               // the member is not in the group any more
	stateFenced             // another consumer has taken over the instance id
)

// run runs the member from its first join until it has left.
func (m *membership) run() {
	// failures counts consecutive joins that failed for reasons that may pass. The wait grows
	// with it.
	failures := 0
	for !m.isClosing() && m.ctx.Err() == nil {
		m.stopBeginning()
		if !m.balancer.Cooperative {
			// A member that joins by an eager protocol owns nothing.
			m.revoke(m.patient, m.fetch.Owned())
		}
		// Up to here the member claims the partitions that it has; from here on it has what it
		// is assigned.
		assigned, err := m.join()
		if err == nil {
			failures = 0
			// A member that has released something joins again at once, or the rebalance would
			// wait for its next heartbeat. Others rest.
			if again := m.reconcile(assigned); !again {
				m.rest()
			}
			err = m.stateError()
		}
		switch {
		case err == nil || errors.Is(err, errClosing):
		// How a rest usually ends: join again.
		case errors.Is(err, kerr.RebalanceInProgress):
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.GroupIDNotFound):
			m.lose(err)
			// Rejoin at once, unless the coordinator gives this answer to join after join.
			if failures > 0 {
				m.wait(cluster.RetryCoordinator(err, failures))
			}
			failures++
		case m.fenced(err):
			m.lose(err)
			m.log.Error("another consumer has taken the instance id over; this one stays out of the group",
				"group", m.cfg.Group, "instance", m.cfg.InstanceID)
			// A static member whose id was taken over would take it back, and so on.
			m.wait(forever)
		default:
			m.reportFailure(err)
			m.wait(cluster.RetryCoordinator(err, failures+1))
			failures++
		}
	}
	m.end()
}

// fenced reports whether err means that another consumer has this one's instance id. A member
// without one can't be fenced; the error is then retried.
func (m *membership) fenced(err error) bool {
	return m.cfg.InstanceID != "" && errors.Is(err, kerr.FencedInstanceID)
}

// end ends the member's life. It leaves the group if there is time: not if the transport was
// closed before the consumer.
func (m *membership) end() {
	m.stopBeginning()
	// Without Close the connections are gone, and the group notices by the session timeout.
	if m.isClosing() {
		m.finish()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = true
	m.changeLocked()
}

const forever time.Duration = math.MaxInt64

// isClosing reports whether Close was called.
func (m *membership) isClosing() bool {
	select {
	case <-m.closing:
		return true
	default:
		return false
	}
}

// wait waits for d, unless the consumer or its transport is closed.
func (m *membership) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.closing:
	case <-m.ctx.Done():
	}
}

// rest waits until the member must join again, or for Close, and handles other events meanwhile.
func (m *membership) rest() {
	for {
		m.mu.Lock()
		if m.state != stateMember || m.isClosing() || m.ctx.Err() != nil {
			m.mu.Unlock()
			return
		}
		replaced, align := m.replaced, m.takeCompanionsChanged()
		m.replaced = nil
		m.mu.Unlock()
		// Companions first: if any is released, the member joins anyway.
		if align && m.align() {
			m.rejoin()
			return
		}
		for topic := range replaced {
			m.restart(topic)
		}
		select {
		case <-m.news:
		case <-m.closing:
		case <-m.ctx.Done():
		}
	}
}

// stateError returns why the member must join again or is out of the group, or nil for a member.
func (m *membership) stateError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason
}

// setState records what the coordinator said, and wakes run. It never replaces a worse state by
// a better one: only the next join does.
func (m *membership) setState(s memberState, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s <= m.state {
		return
	}
	m.state, m.reason = s, err
	// Only then: in a rebalance the partitions are still owned, and Revoked is worth the time.
	if s >= stateLost {
		m.failure = err
		if m.expelled != nil {
			m.expelled() // Revoked has nothing left to save
		}
	}
	m.changeLocked()
	fetch.Signal(m.news)
}

// changeLocked wakes everyone waiting for a change.
func (m *membership) changeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// ask sends a request to the group's coordinator. If that can't be reached, the next request
// looks the coordinator up again.
func (m *membership) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	// The client remembers the coordinator, so this is a request only after it was forgotten.
	broker, err := m.client.Coordinator(ctx, m.cfg.Group)
	if err != nil {
		return nil, err
	}
	within, deposed := context.WithCancelCause(ctx)
	defer deposed(nil)
	// A frozen coordinator keeps the connection open, and some requests may legitimately take
	// minutes. So after a while the cluster is asked whether another broker has taken over.
	watch := time.AfterFunc(cluster.CoordinatorPatience, func() {
		m.client.Spawn(func() { m.client.WatchCoordinator(within, m.cfg.Group, broker, deposed) })
	})
	defer watch.Stop()
	resp, err := m.client.Request(within, broker, req)
	// WatchCoordinator ended the wait: its cause says more than a cancelled context.
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = context.Cause(within)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		m.client.ForgetCoordinator(m.cfg.Group)
	}
	return resp, err
}

// refusedBy returns the error of a code in the coordinator's answer. If the broker is no longer
// the coordinator, the next request looks the coordinator up again.
//
//go:noinline
func (m *membership) refusedBy(code int16) error {
	switch kerr.Error(code) {
	case 0:
		return nil
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable:
		m.client.ForgetCoordinator(m.cfg.Group)
	}
	return kerr.Error(code)
}
