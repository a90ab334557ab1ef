package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// DebeziumConfig describes how the connector writes the events of its outbox table.
type DebeziumConfig struct {
	// TypeHeader is the header with the column type, as set by
	// table.fields.additional.placement=type:header:eventType. Default "eventType". Records without
	// it have the topic's only type.
	TypeHeader string
	// Source is the CloudEvents source. Default "urn:kafka:{topic}".
	Source string
	// Envelope means that values are JSON objects with schema and payload, as JsonConverter
	// writes them with schemas.enable. Quoted means that the payload is JSON within a JSON
	// string, as it is for a text column without table.expand.json.payload.
	Envelope, Quoted bool
}

// Debezium returns the format of Debezium's outbox event router
// (io.debezium.transforms.outbox.EventRouter): the header id is the id, the record's key is
// that of the aggregate, and the value is the column payload. A record without an id does not
// fit: it is a change of a table, not an event of an outbox.
func Debezium(c DebeziumConfig) eventbus.Format {
	if c.TypeHeader == "" {
		c.TypeHeader = "eventType"
	}
	d := &outboxEvent{plain: plain{name: "debezium", id: "id", typ: c.TypeHeader, source: c.Source, identified: true}, config: c}
	d.mustWork()
	return d
}

// outboxEvent is plain except for the form of its values.
type outboxEvent struct {
	plain
	config DebeziumConfig
}

// Decode implements eventbus.Format.
func (d *outboxEvent) Decode(r *transport.Record, e *eventbus.Envelope) error {
	if err := d.plain.Decode(r, e); err != nil || r.Value == nil {
		return err
	}
	data := r.Value
	if d.config.Envelope {
		var envelope struct {
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(data, &envelope); err != nil || envelope.Payload == nil {
			return errors.New("the value is not a JSON object with a payload") // the cause may show the data
		}
		data = envelope.Payload
	}
	if d.config.Quoted {
		var text string
		if json.Unmarshal(data, &text) != nil || bytes.Equal(data, []byte("null")) {
			return errors.New("the payload is not a JSON string")
		}
		data = []byte(text)
	}
	e.Data = data
	return nil
}

// Encode implements eventbus.Format.
func (d *outboxEvent) Encode(e *eventbus.Envelope, r *transport.Record) (err error) {
	if err := d.plain.Encode(e, r); err != nil {
		return err
	}
	if d.config.Quoted {
		if r.Value, err = json.Marshal(string(r.Value)); err != nil {
			return err
		}
	}
	if d.config.Envelope {
		if !json.Valid(r.Value) {
			return fmt.Errorf("the data is not JSON, which an envelope of schema and payload needs")
		}
		r.Value = append(append([]byte(`{"schema":null,"payload":`), r.Value...), '}')
	}
	return nil
}
