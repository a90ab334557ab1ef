package eventbus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/telemetry"
)

// HealthStatus is Healthy, Degraded or Unhealthy.
type HealthStatus string

// The statuses, spelled as in .NET's health checks and their dashboards.
const (
	Healthy   HealthStatus = "Healthy"
	Degraded  HealthStatus = "Degraded" // works, and somebody should look
	Unhealthy HealthStatus = "Unhealthy"
)

// Health is the state of a bus as far as the bus itself can judge it. It contains no secrets
// and no data of events.
type Health struct {
	// Status is the worst of all checks.
	Status HealthStatus `json:"status"`
	// Checks is by name: the brokers' check is Config.Name, a group's "group NAME".
	Checks map[string]HealthCheck `json:"checks"`
	// Live is false only if the bus itself is stuck and a restart would help. It is never
	// false because a broker is down.
	Live bool `json:"-"`
	// Ready reports whether brokers answer, all groups are joined and no partition is
	// stuck.
	Ready bool `json:"-"`
}

// HealthCheck is the state of one part of a bus: the brokers, or one group.
type HealthCheck struct {
	Status HealthStatus `json:"status"`
	// Description is for people. Error says what is wrong; empty if nothing is.
	Description string   `json:"description"`
	Tags        []string `json:"tags,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// connectivityTimeout bounds the request to the brokers, so that a probe answers
// before Kubernetes and load balancers give up on it.
const connectivityTimeout = 3 * time.Second

// Health asks the brokers for metadata and examines the groups. It returns within ctx, and
// within a few seconds if ctx has no deadline.
func (b *Bus) Health(ctx context.Context) Health {
	h := Health{Status: Healthy, Checks: make(map[string]HealthCheck), Live: true, Ready: true}
	h.add(b.config.Name, b.connectivity(ctx), false)
	b.mu.Lock()
	groups := slices.Collect(maps.Values(b.groups))
	// Examine the groups without the lock: their snapshots take the engines' locks.
	b.mu.Unlock()
	for _, g := range groups {
		check, stuck := g.health(b.config.StuckAfter)
		h.add("group "+g.name, check, stuck)
	}
	if trouble := b.publishTrouble(); trouble != "" {
		h.add("publishing", HealthCheck{Status: Degraded, Description: "Publishing", Tags: []string{"messaging", "kafka"}, Error: trouble}, false)
	}
	return h
}

// publishTrouble says what prevents events from being published: open circuit breakers, and
// events refused within the last minute.
func (b *Bus) publishTrouble() string {
	var trouble []string
	if open := b.publishing.Open(); len(open) > 0 {
		trouble = append(trouble, fmt.Sprintf("circuit breakers are open for brokers %v", open))
	}
	if n, last, kind := b.signals.Refusals.Recent(); n > 0 {
		trouble = append(trouble, fmt.Sprintf("%d events were refused, the last one %s ago: %s", n, time.Since(last).Round(time.Second), kind))
	}
	return strings.Join(trouble, "; ")
}

// add adds a check. The overall status is the worst of all checks.
func (h *Health) add(name string, c HealthCheck, stuck bool) {
	h.Checks[name] = c
	switch {
	case c.Status == Unhealthy:
		h.Status, h.Ready = Unhealthy, false
	case c.Status == Degraded && h.Status == Healthy:
		h.Status = Degraded
	}
	if stuck {
		h.Live = false
	}
}

// connectivity asks any broker, within connectivityTimeout. A closed bus has none to ask.
func (b *Bus) connectivity(ctx context.Context) HealthCheck {
	c := HealthCheck{Status: Healthy, Description: "Kafka connectivity check", Tags: []string{"messaging", "kafka"}}
	if b.closed() {
		c.Status, c.Error = Unhealthy, ErrClosed.Error()
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, connectivityTimeout)
	defer cancel()
	if _, err := b.transport.Cluster(ctx); err != nil {
		c.Status, c.Error = Unhealthy, err.Error()
	}
	return c
}

// health returns the group's state. stuck reports whether a restart would help: events are
// ready, and no handler has taken one for stuckAfter.
func (g *group) health(stuckAfter time.Duration) (c HealthCheck, stuck bool) {
	c = HealthCheck{Status: Healthy, Tags: []string{"messaging", "kafka", "consumer"}}
	e := g.engine.Load()
	if e == nil {
		c.Status, c.Description, c.Error = Unhealthy, "Consumer group "+g.name, "not started"
		return c, false
	}
	s := e.Snapshot()
	c.Description = fmt.Sprintf("Consumer group %s: %d partitions, %d events in hand, %d keys waiting",
		g.name, len(s.Partitions), s.Records, s.ParkedKeys)
	// Entries of wrong make the group unhealthy, entries of worth degraded.
	var wrong, worth []string
	if !s.Member.Joined {
		wrong = append(wrong, "not joined: "+s.Member.State+errorSuffix(s.Member.LastError))
	} else if !s.Alive {
		wrong = append(wrong, "no heartbeat acknowledged within the session timeout"+errorSuffix(s.Member.LastError))
	}
	for _, p := range s.Member.Partitions {
		if p.Err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", p.Partition, p.Err))
		}
	}
	for i := range s.Partitions {
		// The most specific cause comes first; each partition is reported once.
		p := &s.Partitions[i]
		switch {
		case p.OldestHeld:
			worth = append(worth, fmt.Sprintf("%s: waits at offset %d for a subscription that an operator has paused", p.Partition, p.Watermark))
		case p.OldestPaced && p.OldestAge > stuckAfter:
			worth = append(worth, fmt.Sprintf("%s: for %s offset %d has waited for its turn within a RateLimit", p.Partition, p.OldestAge.Round(time.Second), p.Watermark))
		case p.OldestType != "" && p.OldestLive && p.OldestAge > stuckAfter:
			wrong = append(wrong, fmt.Sprintf("%s: for %s an event of type %s at offset %d has waited for the partition to come to a member that handles it: "+
				"end the rollout; programs that handle different types for good need groups of their own", p.Partition, p.OldestAge.Round(time.Second), p.OldestType, p.Watermark))
		case p.OldestType != "":
			worth = append(worth, fmt.Sprintf("%s: holds an event of type %s at offset %d for another member of the group", p.Partition, p.OldestType, p.Watermark))
		case p.OldestAge > stuckAfter:
			wrong = append(wrong, fmt.Sprintf("%s: no progress for %s, offset %d is the first unfinished%s", p.Partition, p.OldestAge.Round(time.Second), p.Watermark, waitingFor(p)))
		case p.ParkedKeys > 0:
			worth = append(worth, fmt.Sprintf("%s: %d keys wait%s", p.Partition, p.ParkedKeys, waitingFor(p)))
		}
		if p.Crowded {
			worth = append(worth, fmt.Sprintf("%s: what is finished beyond offset %d fills the commit, and no more is fetched until that event has ended", p.Partition, p.Watermark))
		}
		if p.Uncarried > 0 {
			worth = append(worth, fmt.Sprintf("%s: the commit has no room for the attempts of %d failed events: another owner would begin them again", p.Partition, p.Uncarried))
		}
	}
	if s.ParkedUse >= 1 {
		worth = append(worth, "the room for waiting keys is full: partitions that have some are not fetched (see Bounds.ParkedKeys)")
	}
	if s.HeldUse >= 1 {
		worth = append(worth, "the room for events that are held for other members is full: partitions that have some are not fetched")
	}
	if unread := s.Member.Unread; len(unread) > 0 {
		waiting := int64(0)
		for _, u := range unread {
			waiting += u.Records
		}
		worth = append(worth, fmt.Sprintf("%d redelivered events wait, the first in %s: what they belong to is read by member %q, which is not known to read retry topics",
			waiting, unread[0].Partition, telemetry.Clipped(unread[0].Member, maxMemberName)))
	}
	for _, sub := range s.Subscriptions {
		if sub.Stuck > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d handlers ignore their timeout, the longest has run for %s", sub.Name, sub.Stuck, sub.Longest.Round(time.Second)))
		}
		// Only this fault might be ended by a restart: nothing takes the ready events.
		if sub.Starved > stuckAfter {
			wrong = append(wrong, fmt.Sprintf("%s: events have been ready for %s and find no free handler", sub.Name, sub.Starved.Round(time.Second)))
			stuck = true
		}
		if sub.Allowed < sub.Concurrency {
			worth = append(worth, fmt.Sprintf("%s: most attempts fail, so its circuit breaker lets %d of %d handlers run", sub.Name, sub.Allowed, sub.Concurrency))
		}
		if sub.Breaker != "closed" {
			worth = append(worth, fmt.Sprintf("%s: circuit breaker is %s", sub.Name, sub.Breaker))
		}
	}
	switch {
	case len(wrong) > 0:
		c.Status = Unhealthy
	case len(worth) > 0:
		c.Status = Degraded
	}
	c.Error = strings.Join(append(wrong, worth...), "; ")
	return c, stuck
}

// maxMemberName bounds a foreign member's client id in a health check, in bytes.
const maxMemberName = 64

// errorSuffix returns ": " and the error's text, or "" for nil.
func errorSuffix(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// waitingFor describes what a partition's first parked key waits for, and whether fetching has
// stopped.
func waitingFor(p *engine.PartitionSnapshot) string {
	text := ""
	if len(p.Parked) > 0 {
		text = " (" + p.Parked[0].State + ")"
	}
	if p.Paused {
		text += ", and no more is fetched until some have ended"
	}
	return text
}

// lagOf returns the lag of a partition, −1 until something was fetched.
func lagOf(p *engine.PartitionSnapshot) int64 {
	if p.LastStable < 0 {
		return -1
	}
	return max(p.LastStable-p.Watermark, 0)
}
