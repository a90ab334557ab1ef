package console

import (
	"context"
	"net/http"
	"time"
)

// Outbox returns the state of an outbox, such as that of postgres/outbox. It is called
// for each page that shows it. It must be safe for concurrent use. Its context ends
// after five seconds.
type Outbox func(context.Context) (OutboxStatus, error)

// OutboxStatus is the state of an outbox.
// The zero value is an outbox without relays.
type OutboxStatus struct {
	Relays []OutboxRelay
	// Scheduled is how many events wait for their own time.
	Scheduled int64
	// Waiting are the first hundred events that Kafka refused, or that wait behind one.
	Waiting []OutboxWaiting
}

// OutboxRelay is one relay of an outbox.
// Counts are of events.
type OutboxRelay struct {
	Name      string
	Holder    string // the process that leads it; empty if none does
	Pending   int64
	Oldest    time.Duration // how long the oldest pending event has waited
	Parked    int64         // events of keys of which Kafka refused one
	Published int64
	Still     time.Duration // since the last event went out while some are pending
}

// OutboxWaiting is an event that waits for an operator.
// Its texts may come from outside: the page makes them visible.
type OutboxWaiting struct {
	ID       int64
	Relay    string
	Topic    string
	Key      []byte
	Waiting  time.Duration
	Attempts int
	Error    string // empty for one that waits behind another of its key
}

// outbox makes the page of relays. It is live, so it asks once a second while it is open;
// the page exists only where Config.Outbox is set.
func (d *desk) outbox(ctx context.Context, _ *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := d.config.Outbox(ctx)
	if err != nil {
		return nil, err
	}
	return &s, nil
}
