package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
	"github.com/eventbus-go/eventbus/transport"
)

// poisoner adds malformed records among the events, evenly spread. They are
// what a broken or foreign producer writes; the bus itself never would.
type poisoner struct {
	producer transport.Producer
	topic    string
	// n is the number of malformed records in all.
	n int
}

// due yields the rows of the malformed records that follow the n-th of total
// flights: −1, −2 and so on, each once over the whole source.
func (p *poisoner) due(n, total int) iter.Seq[int] {
	return func(yield func(int) bool) {
		// One range begins where that of the flight before ended, so rounding loses none.
		for i := p.n * (n - 1) / total; i < p.n*n/total; i++ {
			if !yield(-1 - i) {
				return
			}
		}
	}
}

// send writes a malformed record with the key of a flight near it. The flight's
// own events must not be delayed or lost for that.
func (p *poisoner) send(ctx context.Context, row int, near flight) receipt {
	key, _ := aviation.CancelledTopic.KeyOf(aviation.FlightCancelled{Carrier: near.carrier, Flight: near.number})
	r := transport.Record{Topic: p.topic, Partition: transport.AnyPartition, Key: []byte(key)}
	header := func(name, value string) {
		r.Headers = append(r.Headers, transport.Header{Key: name, Value: []byte(value)})
	}
	switch -row % 3 {
	case 1:
		// No event at all.
		r.Value = []byte("gate change: see the board")
	case 2:
		header("ce_specversion", "1.0")
		header("ce_type", aviation.CancelledTopic.Type())
		header("ce_source", "urn:somebody-else")
		header("content-type", "application/json")
		r.Value = []byte(`{"carrier":"ZZ","flight":1}`)
	default:
		header("ce_specversion", "1.0")
		// An event whose data is cut off.
		header("ce_id", fmt.Sprint("poison", row))
		header("ce_type", aviation.DepartedTopic.Type())
		header("ce_source", "urn:somebody-else")
		header("content-type", "application/json")
		r.Value = []byte(`{"carrier":"ZZ","flight":`)
	}
	w := make(written, 1)
	if err := p.producer.Produce(ctx, &r, w); err != nil {
		// Produce has refused it, so that Done is not called.
		w <- outcome{err: err}
	}
	return w
}

// written is the receipt of a malformed record. Its buffer of one keeps the
// producer from waiting.
type written chan outcome

// outcome is where a record was written, or why it was not.
type outcome struct {
	at  eventbus.Position
	err error
}

// Done implements transport.Completion.
func (w written) Done(at transport.Position, err error) { w <- outcome{at, err} }

// Wait does what eventbus.Receipt.Wait does.
func (w written) Wait(ctx context.Context) (eventbus.Position, error) {
	select {
	case o := <-w:
		return o.at, o.err
	case <-ctx.Done():
		return eventbus.Position{}, fmt.Errorf("%w: %w", eventbus.ErrOutcomeUnknown, context.Cause(ctx))
	}
}
