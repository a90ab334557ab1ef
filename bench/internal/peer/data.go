package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// Header keys of CloudEvents' Kafka protocol binding 1.0.2, binary mode.
const (
	keySpecVersion = "ce_specversion"
	keyID          = "ce_id"
	keySource      = "ce_source"
	keyType        = "ce_type"
	keyTime        = "ce_time"
	keyContentType = "content-type"
)

// Header values that all events share, made once as a careful user does.
var (
	valueSpecVersion = []byte(event.SpecVersion)
	valueSource      = []byte(event.SourceURI)
	valueType        = []byte(event.Type)
	valueContentType = []byte(event.ContentType)
)

// encode returns the data as all clients but the bus write it.
// A pointer, so that the order is not copied into the interface.
func encode(o event.Order) ([]byte, error) { return json.Marshal(&o) }

// decode does what each consumer does with a record: choose by the event's type,
// decode, handle.
func decode(typ string, data []byte, handle Handler) error {
	if typ != event.Type {
		return fmt.Errorf("an event of type %q", typ)
	}
	// An order of its own for every event: handlers run at once.
	var o event.Order
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	handle(&o)
	return nil
}

// outcomes bounds and counts what a client without such a bound has not
// acknowledged yet, and keeps the first failure.
// The zero value has no room, and only keeps the first failure.
type outcomes struct {
	// room has an element for each event that is under way.
	room chan struct{}
	// mu guards err, the first failure.
	mu  sync.Mutex
	err error
}

// newOutcomes returns outcomes for at most window events at once.
func newOutcomes(window int) *outcomes { return &outcomes{room: make(chan struct{}, max(window, 1))} }

// begin waits for room.
func (o *outcomes) begin(ctx context.Context) error {
	select {
	case o.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end frees the room of n events.
func (o *outcomes) end(n int, err error) {
	o.fail(err)
	// This does not block: begin has put an element there for each event.
	for range n {
		<-o.room
	}
}

// fail keeps the first error; nil is none.
func (o *outcomes) fail(err error) {
	if err != nil {
		// Several of a client's goroutines may report at once.
		o.mu.Lock()
		if o.err == nil {
			o.err = err
		}
		o.mu.Unlock()
	}
}

// wait returns when nothing is unacknowledged: when all the room can be had.
func (o *outcomes) wait(ctx context.Context) error {
	// Enqueue and Flush are called by one goroutine, so nobody else takes room meanwhile. It
	// is given back for the events that follow the flush.
	taken := 0
	defer func() { o.end(taken, nil) }()
	for range cap(o.room) {
		if err := o.begin(ctx); err != nil {
			return err
		}
		taken++
	}
	return o.firstErr()
}

// firstErr returns the first failure, nil if there is none.
func (o *outcomes) firstErr() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
