package outbox

import (
	"context"
	"fmt"
	"time"
)

// degradedAge is how old the oldest event may be before health reports it.
const degradedAge = time.Minute

// Health returns nil if the relay does its work, and otherwise the reason why not. It
// does not query the database. A relay that waits because another leads is healthy.
func (r *Relay) Health(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The first reason that applies is returned. If the relay does not run or does not
	// send, its last status is out of date.
	s := r.state
	switch {
	case !s.running:
		return fmt.Errorf("the relay %q is not running", r.config.Name)
	case s.err != nil:
		return fmt.Errorf("nothing has been relayed for %v: %w", time.Since(s.since).Round(time.Second), s.err)
	// Only the leader reads the status. Another process of the name has nothing to report.
	case !s.leading || s.status == nil:
		return nil
	}
	x := s.status.Own(r.config.Name)
	switch {
	// Parked events come first: they wait for an operator, a backlog only for time.
	case x.Parked > 0:
		return fmt.Errorf("%d events wait behind one that Kafka refused, for %v: see eventbus outbox list", x.Parked, x.ParkedFor.Round(time.Second))
	case x.OldestAge > degradedAge:
		return fmt.Errorf("the oldest of %d events waits for %v", x.Pending, x.OldestAge.Round(time.Second))
	}
	if s.rotating != nil {
		return s.rotating
	}
	// A name that no process runs blocks cleaning, since rows that it has not sent are
	// kept. Until Keep has passed they would be kept anyway.
	for _, other := range s.status.Relays {
		if other.Name != r.config.Name && other.Holder == "" && other.Still > r.config.Keep {
			return fmt.Errorf("the relay name %q has not moved for %v and keeps the table from being cleaned: run it, or delete its row", other.Name, other.Still.Round(time.Minute))
		}
	}
	return nil
}
