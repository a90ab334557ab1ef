package memory

import (
	"maps"
	"slices"
	"time"
)

// Disconnect makes the cluster unreachable, to everyone at once: Cluster and Admin
// fail, records that are produced fail with ErrUnreachable and are not in the log,
// nothing is fetched, commits wait, groups stay as they are, and members are not Alive
// any more once their session timeout has passed.
// A second call does nothing: the outage began with the first.
func (c *Cluster) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cutAt.IsZero() {
		for _, m := range c.consumers {
			// Before cutAt is set, which ends fetching: see noteFetch.
			for _, a := range m.assigned {
				a.noteFetch()
			}
		}
		c.cutAt = time.Now()
		c.change()
	}
}

// Reconnect ends what Disconnect began. Members whose session timeout has passed
// meanwhile hear Lost and join again.
func (c *Cluster) Reconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cutAt.IsZero() {
		return
	}
	away := time.Since(c.cutAt)
	c.cutAt = time.Time{}
	var expired []*consumer
	for _, m := range slices.Clone(c.consumers) {
		switch {
		case m.member != nil && away >= m.config.SessionTimeout:
			expired = append(expired, m)
		// It was made during the outage, or lost its membership just before: see join.
		case m.member == nil && !m.closing && m.fenced == nil:
			m.group.join(m)
		}
		m.wakePoll()
	}
	for _, o := range c.clients {
		o.reconnected()
	}
	for _, m := range expired {
		m.group.expel(m)
	}
	// Rebalances that an outage kept from happening are made up for.
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		c.groups[name].rebalance()
	}
	c.change()
}
