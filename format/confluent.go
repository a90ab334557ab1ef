package format

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// ConfluentConfig is a PlainConfig for values that begin with a schema's id.
type ConfluentConfig struct {
	PlainConfig
	// SchemaID is the id written before published data. If zero the topic is read-only. Readers
	// look the id up in their registry.
	SchemaID uint32
}

// Confluent returns the format of values written by Confluent's serializers: a zero byte, the
// id of a schema in four bytes, and the data. It needs no registry, and so takes the data as it
// is: JSON, or Avro whose schema readers know. The codecs of module schema look the id up; they
// write the prefix themselves, and are used with Plain.
func Confluent(c ConfluentConfig) eventbus.Format {
	return &confluent{plain: *Plain(c.PlainConfig).(*plain), schema: c.SchemaID}
}

// confluent is plain with a prefix before its values.
type confluent struct {
	plain
	schema uint32
}

// prefixBytes is the length of the prefix before the data.
const prefixBytes = 5

// Name implements eventbus.Format.
func (c *confluent) Name() string { return "confluent" }

// Decode implements eventbus.Format.
func (c *confluent) Decode(r *transport.Record, e *eventbus.Envelope) error {
	if err := c.plain.Decode(r, e); err != nil || r.Value == nil {
		return err
	}
	if len(r.Value) < prefixBytes || r.Value[0] != 0 {
		return fmt.Errorf("the value of %d bytes does not begin with a zero byte and a schema's id", len(r.Value))
	}
	e.Data = r.Value[prefixBytes:]
	return nil
}

// Encode implements eventbus.Format.
func (c *confluent) Encode(e *eventbus.Envelope, r *transport.Record) error {
	if c.schema == 0 {
		return errors.New("the format has no SchemaID: set it to publish")
	}
	if err := c.plain.Encode(e, r); err != nil {
		return err
	}
	value := make([]byte, prefixBytes, prefixBytes+len(r.Value))
	binary.BigEndian.PutUint32(value[1:], c.schema)
	r.Value = append(value, r.Value...)
	return nil
}
