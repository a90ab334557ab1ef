package foreign

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

func record(topic string, headers ...string) *transport.Record {
	r := &transport.Record{Topic: topic, Offset: 7, Key: []byte("k"), Value: []byte(`{}`)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, transport.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// TestDecode decodes records of each known form. Type and Decode agree on each.
func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		record  *transport.Record
		typ, id string // both empty: no event
	}{
		"a CloudEvent":       {record("t", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "T"), "T", "1"},
		"with Spring's too":  {record("t", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "T", "__TypeId__", "x.Y"), "T", "1"},
		"Watermill":          {record("t", "_watermill_message_uuid", "m-1", "name", "OrderPlaced"), "OrderPlaced", "m-1"},
		"Spring":             {record("t", "__TypeId__", "com.acme.Order"), "com.acme.Order", "t/0@7"},
		"Debezium":           {record("t", "id", "d-1", "eventType", "OrderPlaced"), "OrderPlaced", "d-1"},
		"a letter of Spring": {record("t.g.dlq", "__TypeId__", "com.acme.Order", letter.Topic, "t", letter.Partition, "2", letter.Offset, "5"), "com.acme.Order", "t/2@5"},
		"redelivered":        {record("t.g.retry", "__TypeId__", "com.acme.Order", letter.OriginTopic, "t", letter.OriginPartition, "2", letter.OriginOffset, "5"), "com.acme.Order", "t/2@5"},
		"not a letter":       {record("t.dlq", "__TypeId__", "com.acme.Order"), "com.acme.Order", "t.dlq/0@7"},
		"plain":              {record("t", "anything", "x"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var e wire.Event
			err := Decode(c.record, &e)
			typ, ok := Type(c.record)
			if c.typ == "" {
				if err == nil || ok {
					t.Fatalf("it is an event of type %q", typ)
				}
				return
			}
			if err != nil || !ok || typ != c.typ || e.Type != c.typ || e.ID != c.id {
				t.Fatalf("type %q, decoded as %q %q: %v", typ, e.Type, e.ID, err)
			}
		})
	}
}

// TestMalformedCloudEvent: headers of another program don't make an event of a broken
// CloudEvent, which its group can't read.
func TestMalformedCloudEvent(t *testing.T) {
	r := record("t", "ce_specversion", "1.0", "ce_type", "T", "__TypeId__", "x.Y")
	var e wire.Event
	if err := Decode(r, &e); err == nil || Form(r) != nil {
		t.Fatalf("it became %q %q", e.Type, e.ID)
	}
}

// TestFormIsKept: a scan over millions of records makes no form for each.
func TestFormIsKept(t *testing.T) {
	r := record("t", "__TypeId__", "x.Y")
	if Form(r) == nil || Form(r) != Form(record("u", "__TypeId__", "z")) {
		t.Fatal("two records of a format have two forms")
	}
}

// TestDecodePlain: what says nothing of itself is taken for the type of its topic, but no
// letter in which its group found another type, or none.
func TestDecodePlain(t *testing.T) {
	dead := func(reason string) *transport.Record {
		return record("t.g.dlq", "type", "Cancelled", letter.Topic, "t", letter.Partition, "2", letter.Offset, "5", letter.Reason, reason)
	}
	for name, c := range map[string]struct {
		record *transport.Record
		id     string // empty: no event
	}{
		"a record":                 {record("t"), "t/0@7"},
		"a letter":                 {dead(letter.ReasonHandler), "t/2@5"},
		"its data can't be read":   {dead(letter.ReasonUndecodable), "t/2@5"},
		"its type was another":     {dead(letter.ReasonUnknownType), ""},
		"it had none":              {dead(letter.ReasonMalformed), ""},
		"a CloudEvent":             {record("t", "ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "T"), ""},
		"the reason is its header": {record("t", letter.Reason, letter.ReasonMalformed), "t/0@7"},
	} {
		var e wire.Event
		if ok := DecodePlain("Placed", c.record, &e); ok != (c.id != "") || e.ID != c.id || ok && e.Type != "Placed" {
			t.Errorf("%s: %v, %q %q", name, ok, e.Type, e.ID)
		}
	}
}
