package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/flights/contracts/aviation"
	"github.com/eventbus-go/eventbus/transport"
)

// poisoner slips malformed records in among the events, evenly spread: what a
// broken or foreign producer writes, and the bus itself never would.
type poisoner struct {
	producer transport.Producer
	topic    string
	n        int // how many in all
}

// due gives the rows of the poison that comes behind the n-th of total flights:
// −1, −2, and so on, each once.
func (p *poisoner) due(n, total int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := p.n * (n - 1) / total; i < p.n*n/total; i++ {
			if !yield(-1 - i) {
				return
			}
		}
	}
}

// send writes a malformed record with the key of a flight, which is none the
// worse for it.
func (p *poisoner) send(ctx context.Context, row int, near flight) receipt {
	key, _ := aviation.CancelledTopic.KeyOf(aviation.FlightCancelled{Carrier: near.carrier, Flight: near.number})
	r := transport.Record{Topic: p.topic, Partition: transport.AnyPartition, Key: []byte(key)}
	header := func(name, value string) {
		r.Headers = append(r.Headers, transport.Header{Key: name, Value: []byte(value)})
	}
	switch -row % 3 {
	case 1: // no event at all
		r.Value = []byte("gate change: see the board")
	case 2: // an event without an id, which CloudEvents requires
		header("ce_specversion", "1.0")
		header("ce_type", aviation.CancelledTopic.Type())
		header("ce_source", "urn:somebody-else")
		header("content-type", "application/json")
		r.Value = []byte(`{"carrier":"ZZ","flight":1}`)
	default: // an event whose data breaks off
		header("ce_specversion", "1.0")
		header("ce_id", fmt.Sprint("poison", row))
		header("ce_type", aviation.DepartedTopic.Type())
		header("ce_source", "urn:somebody-else")
		header("content-type", "application/json")
		r.Value = []byte(`{"carrier":"ZZ","flight":`)
	}
	w := make(written, 1)
	if err := p.producer.Produce(ctx, &r, w); err != nil {
		w <- outcome{err: err}
	}
	return w
}

// written is the receipt of a poisonous record.
type written chan outcome

type outcome struct {
	at  eventbus.Position
	err error
}

// Delivered implements transport.Completion.
func (w written) Delivered(at transport.Position, err error) { w <- outcome{at, err} }

func (w written) Wait(ctx context.Context) (eventbus.Position, error) {
	select {
	case o := <-w:
		return o.at, o.err
	case <-ctx.Done():
		return eventbus.Position{}, fmt.Errorf("%w: %w", eventbus.ErrOutcomeUnknown, context.Cause(ctx))
	}
}
