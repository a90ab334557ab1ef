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

// inconsistentGroupProtocol is a code of group membership, beside those of errors.go.
const inconsistentGroupProtocol kerr.Error = 23

// errClosing ends run's loop where Close was called in the middle of a join. Nobody else
// sees it.
var errClosing = errors.New("the consumer is being closed")

// membership is a consumer's place in its group, by Kafka's classic group
// protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//
// Three goroutines serve it. One (run) goes through the member's life: join,
// hand over what is another's now, begin what is new, rest until something
// happens. It calls the Listener, and may be held up there for as long as that
// takes. Another sends heartbeats all the while, whatever the first waits for,
// and notes what the coordinator says of the member. The third watches the topics.
type membership struct {
	// These fields are set by newConsumer and not changed afterwards.
	client *cluster.Client
	cfg    transport.ConsumerConfig
	// topics are those that the member subscribes to, sorted, without companions.
	topics []string
	// balancer plans where this member leads, in the classic protocol alone.
	balancer *balance.Balancer
	rack     string
	// fetch knows what is assigned: a partition is owned from Add to Remove.
	fetch    *fetch.Fetcher
	listener *fetch.Listener
	log      *slog.Logger
	// types has a lock of its own, which may be taken under mu.
	types    *groupTypes
	clientID string // of heartbeats in the consumer protocol

	ctx     context.Context // ends when the member has left
	work    *sync.WaitGroup
	closing chan struct{}   // closed when Close is called
	patient context.Context // ends when the context of Close has ended
	// closeContext is that of Close. It is there when closing is closed.
	closeContext context.Context
	news         chan struct{} // something happened that run should look at
	heartbeatNow chan struct{} // send a heartbeat now
	commits      chan struct{} // held while a commit is under way: they take effect in order

	// mu guards what follows. No request is sent and no Listener called under it.
	mu sync.Mutex
	// id is the member ID: given by the coordinator in the classic protocol and empty before,
	// the member's own choice in that of KIP-848.
	id string
	// generation fences commits and heartbeats. In the protocol of KIP-848 it is the member
	// epoch.
	generation int32 // −1: not in the group
	// joining is set from JoinGroup to the answer to SyncGroup.
	joining     bool
	reconciling bool // run calls the Listener, or looks up offsets
	leads       bool
	// planned is nil in a member that does not lead. Topics that do not exist yet count 0.
	planned map[string]int32 // how many partitions topics had when this leader made its plan
	state   memberState
	reason  error // of the state; nil for a member
	// lastAck is when the request was sent to which the coordinator last answered that the
	// member is in the group: from then on the session lasts.
	lastAck time.Time
	// heartbeatWait is the time until the next heartbeat while they come sooner than
	// at their interval; zero once they do not.
	heartbeatWait time.Duration
	// failure is why the coordinator does not count the member in, or did not
	// answer; nil once it has acknowledged the member again.
	failure error
	// unbegun are the partitions that are assigned and not read yet, with the reason,
	// nil at first.
	unbegun    map[transport.Partition]error
	logged     map[string]time.Time // when an error was logged last, by its text
	rebalances int64                // assignments that were received
	// epoch is that of the last assignment of a partition: each gets a larger one.
	epoch   uint64
	changed chan struct{} // closed and replaced at each change of id, generation or state
	// expelled ends the Listener's Revoked while it runs; nil otherwise.
	expelled context.CancelFunc
	replaced map[string]bool // topics that were created again
	// seen has which topic each name meant when it was begun, so that another is recognised.
	seen map[string]remembered
	kept keptCommits
	// left is set at the end of the member's life.
	left bool

	epochs *byEpochs // in the consumer protocol, else nil

	companions *companions

	begins *beginning // of run alone; nil if nothing is to be begun

	abandonJoin func() // of run alone: ends the join that goes on after Close was called
}

// memberState is what the coordinator last said of the member, from best to worst: a
// state is only replaced by a worse one, until the member joins again.
type memberState int8

const (
	stateMember memberState = iota
	stateRejoin             // the group rebalances
	stateLost               // the member is not in the group any more
	stateFenced             // another has taken the instance id over
)

// run is the member's life.
func (m *membership) run() {
	// failures counts joins in a row that failed for reasons that may pass, and with them the
	// wait.
	failures := 0
	for !m.isClosing() && m.ctx.Err() == nil {
		m.stopBeginning()
		if !m.balancer.Cooperative {
			// A member that joins by an eager protocol owns nothing.
			m.revoke(m.patient, m.fetch.Owned())
		}
		// Until here the member's partitions are what it claims; from here on what it was given.
		assigned, err := m.join()
		if err == nil {
			failures = 0
			// Only a member that has nothing to hand over rests. The others join at once, or the
			// rebalance would wait for their next heartbeat.
			if again := m.reconcile(assigned); !again {
				m.rest()
			}
			err = m.stateError()
		}
		switch {
		case err == nil || errors.Is(err, errClosing):
		// The usual end of rest: join again.
		case errors.Is(err, kerr.RebalanceInProgress):
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.GroupIDNotFound):
			m.lose(err)
			// At once, unless the coordinator goes on to say so of every join.
			if failures > 0 {
				m.wait(cluster.RetryCoordinator(err, failures))
			}
			failures++
		case m.fenced(err):
			m.lose(err)
			m.log.Error("another consumer has taken the instance id over; this one stays out of the group",
				"group", m.cfg.Group, "instance", m.cfg.InstanceID)
			// A static member whose id was taken over would take it back, and so forth.
			m.wait(forever)
		default:
			m.reportFailure(err)
			m.wait(cluster.RetryCoordinator(err, failures+1))
			failures++
		}
	}
	m.end()
}

// fenced reports whether err says that another consumer has the instance id of this one.
// A member without one can't be fenced: whatever answered so is tried again.
func (m *membership) fenced(err error) bool {
	return m.cfg.InstanceID != "" && errors.Is(err, kerr.FencedInstanceID)
}

// end is the end of the member's life. It leaves the group if there was time for
// that: not if the transport was closed before the consumer.
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

// wait waits, unless the consumer, or what it was made from, is closed.
func (m *membership) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.closing:
	case <-m.ctx.Done():
	}
}

// rest waits until the member has to join again, or for Close, and deals with what else
// happens.
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
		// Companions first: what is handed over with them makes the member join anyway.
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

// stateError returns why the member has to join again, or is out of the group. It is nil
// for a member.
func (m *membership) stateError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason
}

// setState notes what the coordinator said, and wakes run. A worse state is never
// replaced by a better one: that is for the next join.
func (m *membership) setState(s memberState, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s <= m.state {
		return
	}
	m.state, m.reason = s, err
	// Only then: in a rebalance what is owned still is, and what Revoked does is worth the time.
	if s >= stateLost {
		m.failure = err
		if m.expelled != nil {
			m.expelled() // Revoked has nothing to save any more
		}
	}
	m.changeLocked()
	fetch.Signal(m.news)
}

// changeLocked wakes those who wait for a change.
func (m *membership) changeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// ask sends a request to the group's coordinator. When it can't be reached, the
// next request asks who the coordinator is.
func (m *membership) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	// Remembered by the client, so it costs a request only after it was forgotten.
	broker, err := m.client.Coordinator(ctx, m.cfg.Group)
	if err != nil {
		return nil, err
	}
	within, deposed := context.WithCancelCause(ctx)
	defer deposed(nil)
	// A coordinator that is frozen keeps the connection open, and some requests may rightly
	// take minutes; so after a while the cluster is asked whether another has its place.
	watch := time.AfterFunc(cluster.CoordinatorPatience, func() {
		m.client.Spawn(func() { m.client.WatchCoordinator(within, m.cfg.Group, broker, deposed) })
	})
	defer watch.Stop()
	resp, err := m.client.Request(within, broker, req)
	// The wait was ended by WatchCoordinator, whose cause says more than a cancelled context.
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = context.Cause(within)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		m.client.ForgetCoordinator(m.cfg.Group)
	}
	return resp, err
}

// refusedBy is the error of a code that the coordinator answered with. If it is
// not the coordinator any more, the next request asks who is.
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
