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

// Header values that all events share, made once as a careful user would.
var (
	valueSpecVersion = []byte(event.SpecVersion)
	valueSource      = []byte(event.SourceURI)
	valueType        = []byte(event.Type)
	valueContentType = []byte(event.ContentType)
)

// encode returns an order as JSON, for all clients but the bus, which has codecs. Marshal
// gets a pointer, because an interface would hold another copy of the order.
func encode(o event.Order) ([]byte, error) { return json.Marshal(&o) }

// decode does with a record what the bus does too: it checks the event's type, decodes the
// data, and calls the handler.
func decode(typ string, data []byte, handle Handler) error {
	if typ != event.Type {
		return fmt.Errorf("event of unexpected type %q", typ)
	}
	// Handlers run concurrently and may keep the order, so each gets its own.
	var o event.Order
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	handle(&o)
	return nil
}

// outcomes bounds the events that are not acknowledged yet, for clients without such a
// bound, and keeps the first failure. It is safe for concurrent use. The zero value can only
// keep the first failure: begin and end need newOutcomes.
type outcomes struct {
	// room has an element for each event under way.
	room chan struct{}
	// mu guards err, the first failure.
	mu  sync.Mutex
	err error
}

// newOutcomes returns outcomes for at most window events under way, and at least for one.
func newOutcomes(window int) *outcomes { return &outcomes{room: make(chan struct{}, max(window, 1))} }

// begin takes room for one event, and waits until there is some or ctx ends.
func (o *outcomes) begin(ctx context.Context) error {
	select {
	case o.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end gives back the room of n events. Their error, if any, counts as a failure.
func (o *outcomes) end(n int, err error) {
	o.fail(err)
	// This does not block, since begin has added an element for each event.
	for range n {
		<-o.room
	}
}

// fail keeps err if it is the first error. It ignores nil.
func (o *outcomes) fail(err error) {
	if err != nil {
		// Several goroutines of a client may report concurrently.
		o.mu.Lock()
		if o.err == nil {
			o.err = err
		}
		o.mu.Unlock()
	}
}

// wait waits until no event is under way, and returns the first failure, or the error of
// ctx if that ends before.
func (o *outcomes) wait(ctx context.Context) error {
	// Nothing is under way once all room can be taken. One goroutine calls Enqueue and Flush,
	// so nobody takes room meanwhile. Events after the flush get it back.
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

// firstErr returns the first failure, or nil if there is none.
func (o *outcomes) firstErr() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
