package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// leading returns the partition that a companion's partition goes with. If the other topic is
// unknown, that is one beyond its last, which nobody owns.
func (m *membership) leading(p transport.Partition) transport.Partition {
	lead := transport.Partition{Topic: m.companions.of[p.Topic], Partition: p.Partition}
	if t := m.client.KnownTopic(lead.Topic); t != nil && len(t.Partitions) > 0 {
		lead.Partition %= int32(len(t.Partitions))
	}
	return lead
}

// accompanied records what the group has assigned, and returns it together with the companions'
// partitions that the member already owns and that still go with it.
func (m *membership) accompanied(assigned, owned []transport.Partition) []transport.Partition {
	m.mu.Lock()
	// Record it before anything is begun, so that the next description is about this
	// assignment.
	m.companions.assigned = assigned
	m.companions.version++
	m.mu.Unlock()
	fetch.Signal(m.companions.wants)
	all := slices.Clone(assigned)
	// Others are begun once the group was described: an older member may subscribe to them.
	_, kept := m.companions.split(owned)
	for _, p := range kept {
		if contains(assigned, m.leading(p)) {
			all = append(all, p)
		}
	}
	transport.SortPartitions(all)
	return all
}

// align makes the member own exactly the companions' partitions that it should. It reports whether
// the group must rebalance, so that its leader can assign what was released.
func (m *membership) align() (again bool) {
	wanted, known := m.wantedCompanions()
	added, have := m.missing(wanted)
	var gone, all []transport.Partition
	for _, p := range have {
		// Keep what is uncertain.
		if known[p.Topic] && !contains(wanted, p) {
			gone = append(gone, p)
		}
	}
	// begin needs all of the member's partitions of a topic: the member with the first one
	// decides where the group starts.
	all = append(all, wanted...)
	if len(gone) > 0 {
		m.revoke(m.patient, gone)
		again = m.balancer.Cooperative && m.epochs == nil
	}
	m.begin(added, all)
	return again
}

// missing returns those of the wanted partitions of companions that the member neither owns nor
// begins, and all of companions that it owns. Only run calls it, so nothing else releases or begins any.
func (m *membership) missing(wanted []transport.Partition) (added, have []transport.Partition) {
	// In this order: a partition is owned before it counts as begun. One that begins in between
	// would otherwise be neither, and be begun twice.
	m.mu.Lock()
	unbegun := maps.Clone(m.unbegun)
	m.mu.Unlock()
	_, have = m.companions.split(m.fetch.Owned())
	for _, p := range wanted {
		if _, begins := unbegun[p]; !begins && !contains(have, p) {
			added = append(added, p)
		}
	}
	return added, have
}

// wantedCompanions returns the companions' partitions that the member should own, sorted, and the
// companions for which that is known.
func (m *membership) wantedCompanions() (wanted []transport.Partition, known map[string]bool) {
	m.mu.Lock()
	assigned, subscribed := m.companions.assigned, m.companions.subscribed
	current := m.companions.described == m.companions.version
	m.mu.Unlock()
	known = make(map[string]bool)
	// Members described before the last assignment may no longer be the same.
	if !current {
		return nil, known
	}
	for _, topic := range m.companions.topics() {
		known[topic] = true
		t := m.client.KnownTopic(topic)
		if subscribed[topic] || t == nil || t.Err != nil {
			continue
		}
		for n := range t.Partitions {
			if p := (transport.Partition{Topic: topic, Partition: int32(n)}); contains(assigned, m.leading(p)) {
				wanted = append(wanted, p)
			}
		}
	}
	return wanted, known
}

// companionsChanged makes run call align. It is called by the goroutines that describe the
// group and that watch topics.
func (m *membership) companionsChanged() {
	m.mu.Lock()
	m.companions.changed = true
	m.mu.Unlock()
	fetch.Signal(m.news)
}

// takeCompanionsChanged reports whether align is needed, once for each time that it became
// necessary. The caller holds mu.
func (m *membership) takeCompanionsChanged() bool {
	changed := m.companions.changed
	m.companions.changed = false
	return changed
}

// groupMayDiffer requests another description of the group: its members may have changed
// without a new assignment for this one.
func (m *membership) groupMayDiffer() {
	if len(m.companions.of) > 0 {
		m.companions.version++
		fetch.Signal(m.companions.wants)
	}
}

// rejoin makes run join again. This is how a member makes the coordinator start a rebalance.
func (m *membership) rejoin() { m.setState(stateRejoin, kerr.RebalanceInProgress) }

const (
	// unreadAge is how old the count of unread records may get.
	unreadAge = 10 * time.Second
	// commitAge is how often the offsets of companions are committed again even if nothing was
	// handled. The coordinator deletes offsets of topics without subscribers when they are
	// older than offsets.retention.minutes, 7 days by default; redelivered records would then
	// be redelivered again.
	commitAge = 10 * time.Minute
)

// watchCompanions describes the group when it may have changed, and refreshes what goes stale.
// It returns when the member has left.
func (m *membership) watchCompanions() {
	// The ticker refreshes the count and, now and then, the commits of a group in which nothing
	// happens.
	tick := time.NewTicker(unreadAge)
	defer tick.Stop()
	kept := time.Now()
	// One goroutine for both, so that unread records are counted by the last description.
	for failures := 0; ; {
		var err error
		select {
		case <-m.companions.wants:
			if err = m.lookWhoReads(); err == nil {
				m.companionsChanged()
				m.countUnread()
			}
		case <-tick.C:
			m.countUnread()
			if time.Since(kept) >= commitAge {
				kept = time.Now()
				m.keepCompanionCommits()
			}
		case <-m.ctx.Done():
			return
		}
		if err != nil && m.ctx.Err() == nil {
			fetch.Signal(m.companions.wants)
			cluster.Pause(m.ctx, cluster.RetryCoordinator(err, failures))
			failures++
		} else if err == nil {
			failures = 0
		}
	}
}

// lookWhoReads finds out who reads the companions. Without the right to describe the group the
// member assumes that nobody subscribes to them: beside an older member of this library that
// repeats redeliveries, and loses none.
func (m *membership) lookWhoReads() error {
	ctx, cancel := context.WithTimeout(m.ctx, lookPatience)
	defer cancel()
	m.mu.Lock()
	// Before the request: if the assignment changes meanwhile, the answer may be outdated.
	version, in := m.companions.version, m.generation >= 0
	m.mu.Unlock()
	if !in {
		return nil // the next assignment asks again
	}
	// Which partitions go together depends on the topics' numbers of partitions.
	if err := m.client.Refresh(ctx, m.companions.accompanying()...); err != nil {
		return err
	}
	members, err := m.members(ctx)
	switch {
	case err == nil:
	case errors.Is(err, transport.ErrUnauthorized), errors.Is(err, kerr.UnsupportedVersion):
		m.logFailure(fmt.Errorf("who reads the retry topics is not known: %w", err))
	default:
		return err
	}
	// A member of this version never subscribes to a companion.
	subscribed := make(map[string]bool)
	for _, d := range members {
		for _, topic := range d.topics {
			subscribed[topic] = subscribed[topic] || m.companions.of[topic] != ""
		}
	}
	// Needed by countUnread, and to choose the partition that carries types.
	orphans := m.orphansOf(members, subscribed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.companions.described, m.companions.subscribed, m.companions.orphans = version, subscribed, orphans
	return nil
}

// members asks the coordinator for the members of the group. It fails while the group
// rebalances, since subscriptions are not shown then.
func (m *membership) members(ctx context.Context) ([]groupMember, error) {
	// Both protocols show the same things, by two requests.
	d, err := describeGroup(ctx, m.ask, m.refusedBy, m.cfg.Group, m.epochs != nil)
	if err != nil {
		return nil, fmt.Errorf("describing group %q: %w", m.cfg.Group, err)
	}
	if !d.epochs && d.state != "Stable" {
		return nil, kerr.RebalanceInProgress
	}
	members := make([]groupMember, len(d.members))
	for i, shown := range d.members {
		g := groupMember{clientID: shown.clientID, topics: shown.topics, assigned: shown.assigned}
		// A member of this library has the configured client id, which the members of a service
		// share, or shows types.
		g.ours = shown.clientID == m.client.Options.ClientID || len(ClientTypes(shown.clientID)) > 0
		if !d.epochs {
			// Unreadable data is another library's, about which nothing is known.
			g.topics = balance.SubscribedTopics(shown.subscription)
			g.assigned, _ = balance.DecodeAssignment(shown.assignment)
			if _, ok := balance.DecodeTypes(shown.subscription); ok {
				g.ours = true
			}
		}
		members[i] = g
	}
	return members, nil
}

// orphansOf returns the companions' partitions that go with partitions of members that do not read
// companions.
func (m *membership) orphansOf(members []groupMember, subscribed map[string]bool) (orphans []orphan) {
	for _, topic := range m.companions.topics() {
		t := m.client.KnownTopic(topic)
		if subscribed[topic] || t == nil {
			continue
		}
		for n := range t.Partitions {
			p := transport.Partition{Topic: topic, Partition: int32(n)}
			lead := m.leading(p)
			for _, d := range members {
				if contains(d.assigned, lead) && !d.ours {
					orphans = append(orphans, orphan{p, d.clientID})
				}
			}
		}
	}
	return orphans
}

// countUnread counts the records of companions that nobody reads.
func (m *membership) countUnread() {
	m.mu.Lock()
	orphans := m.companions.orphans
	m.mu.Unlock()
	var unread []transport.UnreadPartition
	if len(orphans) > 0 {
		ctx, cancel := context.WithTimeout(m.ctx, lookPatience)
		defer cancel()
		var partitions []transport.Partition
		for _, o := range orphans {
			partitions = append(partitions, o.Partition)
		}
		committed, err := m.client.Committed(ctx, m.cfg.Group, m.companions.topics())
		if err != nil {
			return // the last count is better than none
		}
		// A partition that can't be asked about counts as empty until the next time.
		starts, _ := m.client.TryOffsets(ctx, transport.Earliest(), partitions)
		ends, _ := m.client.TryOffsets(ctx, transport.Latest(), partitions)
		for _, o := range orphans {
			from := max(committed[o.Partition].Offset, starts[o.Partition])
			if n := ends[o.Partition] - from; n > 0 {
				unread = append(unread, transport.UnreadPartition{Partition: o.Partition, Member: o.member, Records: n})
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.companions.unread = unread
}

// keepCompanionCommits commits the offsets of the owned companions' partitions again, unchanged.
func (m *membership) keepCompanionCommits() {
	ctx, cancel := context.WithTimeout(m.ctx, lookPatience)
	defer cancel()
	select {
	case m.commits <- struct{}{}: // no other commit comes between reading and storing
		defer func() { <-m.commits }()
	case <-ctx.Done():
		return
	}
	committed, err := m.client.Committed(ctx, m.cfg.Group, m.companions.topics())
	if err != nil {
		return // retry the next time
	}
	// Unchanged, with their metadata.
	var again []transport.Commit
	for _, p := range m.fetch.Owned() {
		if c, ok := committed[p]; ok && m.companions.of[p.Topic] != "" {
			again = append(again, c)
		}
	}
	// Failures don't matter: the offsets are stored already.
	m.storeAll(ctx, again, func(p transport.Partition, _ uint64) bool { return contains(m.fetch.Owned(), p) }, make(map[transport.Partition]error))
}
