package console

import (
	"context"
	"net/http"
	"time"
)

// Outbox returns the state of an outbox, such as that of postgres/outbox. It is called
// for each page that shows it, must be safe for concurrent use, and gets a context that
// ends after five seconds.
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
