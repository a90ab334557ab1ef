package console

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Outbox returns the state of an outbox, such as that of postgres/outbox. It is called
// for each page that shows it, and every five seconds while somebody looks at the first
// page. It must be safe for concurrent use, and gets a context that ends after five seconds.
type Outbox func(context.Context) (OutboxStatus, error)

// OutboxStatus is the state of an outbox.
type OutboxStatus struct {
	Relays []OutboxRelay
	// Scheduled counts the events that wait for their scheduled time.
	Scheduled int64
	// Waiting lists the first hundred events that Kafka refused, or that wait behind one.
	Waiting []OutboxWaiting
}

// OutboxRelay is one relay of an outbox.
type OutboxRelay struct {
	Name      string
	Holder    string        // the process that leads it; empty if there is none
	Pending   int64         // events to publish
	Oldest    time.Duration // how long the oldest pending event has waited
	Parked    int64         // events that wait because Kafka refused one of their key
	Published int64         // events
	Still     time.Duration // how long nothing has been published, although events are pending
}

// OutboxWaiting is an event that waits for an operator. Its texts may come from outside:
// the page makes them visible.
type OutboxWaiting struct {
	ID       int64
	Relay    string
	Topic    string
	Key      []byte
	Waiting  time.Duration
	Attempts int
	Error    string // empty for one that waits behind another of its key
}

// outbox makes the page of relays. A live page asks once a second. The page exists only if
// Config.Outbox is set.
func (d *desk) outbox(ctx context.Context, _ *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := d.config.Outbox(ctx)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// outboxConcerns returns what the latest answer of the outbox says.
func (d *desk) outboxConcerns(ctx context.Context) []concern {
	if d.config.Outbox == nil {
		return nil
	}
	return d.outlook.get(ctx, d.begin, func(ctx context.Context) []concern {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		s, err := d.config.Outbox(ctx)
		return relayConcerns(&s, err)
	})
}

// relayConcerns reports relays that publish nothing although events wait, and events that
// Kafka refused.
func relayConcerns(s *OutboxStatus, err error) (all []concern) {
	if err != nil {
		return []concern{{Level: levelBad, Text: "the outbox does not answer", Error: err.Error(), Link: "outbox", Going: "outbox"}}
	}
	for i := range s.Relays {
		r := &s.Relays[i]
		name := clip(maxShown, r.Name)
		// The oldest event of a busy relay may be old, and a quiet one has published nothing for
		// long: only both together mean that it stands still.
		if still := min(r.Oldest, r.Still); r.Pending > 0 && still >= stillAfter {
			c := concern{Level: levelLook, since: still, Link: "outbox", Going: "outbox"}
			if still >= stuckAfter {
				c.Level = levelBad
			}
			c.Text = fmt.Sprintf("%s in the outbox %s for relay %s, the oldest for %s", plural(r.Pending, "event"), wait(r.Pending), name, span(r.Oldest))
			if r.Holder == "" {
				c.Text += ": no process runs it"
			}
			all = append(all, c)
		}
		if r.Parked > 0 {
			all = append(all, concern{Level: levelLook, Text: fmt.Sprintf("%s in the outbox %s for an operator: Kafka refused the first of their keys", plural(r.Parked, "event"), wait(r.Parked)), Link: "outbox", Going: "outbox"})
		}
	}
	return all
}
