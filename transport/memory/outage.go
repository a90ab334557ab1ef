package memory

import (
	"maps"
	"slices"
	"time"
)

// Disconnect makes the cluster unreachable for everyone: Cluster and Admin fail, produced records
// fail with ErrUnreachable and are not in the log, nothing is fetched, commits wait, groups stay
// as they are, and members stop being Alive once their session timeout has passed. While
// disconnected, Disconnect does nothing.
func (c *Cluster) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cutAt.IsZero() {
		for _, m := range c.consumers {
			// Before cutAt is set, which ends fetching; see noteFetch.
			for _, a := range m.assigned {
				a.noteFetch()
			}
		}
		c.cutAt = time.Now()
		c.change()
	}
}

// Reconnect ends an outage. Members whose session timeout passed during it get Lost and join
// again.
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
		// It was created during the outage, or lost its membership just before; see join.
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
	// Catch up on rebalances that the outage prevented.
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		c.groups[name].rebalance()
	}
	c.change()
}
