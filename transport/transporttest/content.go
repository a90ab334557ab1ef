package transporttest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// contentTests check that a transport carries records unchanged, byte for byte.
var contentTests = []test{
	{"NilAndEmpty", testContentNilAndEmpty},
	{"Headers", testContentHeaders},
	{"Time", testContentTime},
	{"Bytes", testContentBytes},
	{"Compression", testContentCompression},
}

// testContentNilAndEmpty: nil and empty stay apart, in keys and in values: a record
// without a value deletes its key, and one with an empty value does not.
func testContentNilAndEmpty(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	contents := []struct{ key, value []byte }{
		{nil, nil},
		// In Kafka's record format nil has the length −1 and empty has 0, for keys and for values.
		{nil, []byte{}},
		{[]byte{}, nil},
		{[]byte{}, []byte{}},
		{[]byte("k"), nil},
		{[]byte("k"), []byte("v")},
	}
	for _, c := range contents {
		r.produce(p, transport.Record{Topic: topic, Partition: 0, Key: c.key, Value: c.value})
	}
	// Each was acknowledged before the next was sent, so the log has them in this order.
	for i, record := range r.read(at(topic, 0), len(contents)) {
		if !same(record.Key, contents[i].key) || !same(record.Value, contents[i].value) {
			r.Errorf("wrote key %#v and value %#v, read %#v and %#v", contents[i].key, contents[i].value, record.Key, record.Value)
		}
	}
}

// same reports whether a and b are equal, with nil distinct from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// testContentHeaders: headers keep their order, repeated names, null and empty values,
// and bytes that are not text.
func testContentHeaders(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	// Each one breaks another shortcut: a map loses the order and the second "z", a string
	// loses nil, and a header's name may be empty or not ASCII.
	headers := []transport.Header{
		{Key: "z", Value: []byte("first")},
		{Key: "a", Value: nil},
		{Key: "z", Value: []byte("second")},
		{Key: "b", Value: []byte{}},
		{Key: "", Value: []byte("no name")},
		{Key: "ä", Value: []byte{0, 0xff}},
	}
	r.produce(p, transport.Record{Topic: topic, Partition: 0, Headers: headers})
	// A record without headers after one with some: memory that is used again, and not
	// cleared, would give it the headers of the first.
	r.produce(p, transport.Record{Topic: topic, Partition: 0})
	got := r.read(at(topic, 0), 2)
	if !slices.EqualFunc(got[0].Headers, headers, func(a, b transport.Header) bool {
		return a.Key == b.Key && same(a.Value, b.Value)
	}) {
		r.Errorf("wrote headers %#v, read %#v", headers, got[0].Headers)
	}
	if len(got[1].Headers) != 0 {
		r.Errorf("wrote no headers, read %#v", got[1].Headers)
	}
}

// testContentTime: a record's time is kept in whole milliseconds.
func testContentTime(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	// An hour back, so that the broker's or the producer's clock can't be taken for it, and
	// with a fraction of a millisecond, which the record format has no room for.
	given := time.Now().Add(-time.Hour).Truncate(time.Second).Add(123456789 * time.Nanosecond)
	want := given.Truncate(time.Millisecond)
	position := r.produce(p, transport.Record{Topic: topic, Partition: 0, Time: given})
	// Without a time the producer's clock counts, in what it acknowledges as in the log.
	now := r.produce(p, transport.Record{Topic: topic, Partition: 0})
	got := r.read(at(topic, 0), 2)
	if !position.Time.Equal(want) || !got[0].Time.Equal(want) {
		r.Errorf("wrote time %v, acknowledged %v, read %v", given, position.Time, got[0].Time)
	}
	if !now.Time.Equal(got[1].Time) || now.Time.Nanosecond()%1e6 != 0 {
		r.Errorf("the producer's time is %v, read %v", now.Time, got[1].Time)
	}
}

// testContentBytes: all byte values, and records much larger than others.
func testContentBytes(r *run) {
	topic := r.topic(1)
	p := r.producer(transport.ProducerConfig{})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	// Of half a megabyte and more, with small ones before and between: a buffer that is used
	// again shows what is left of the larger record. All fit into the default of BatchBytes.
	values := [][]byte{all, bytes.Repeat(all, 2000), []byte("small"), bytes.Repeat(all, 3000)}
	for _, v := range values {
		r.produce(p, transport.Record{Topic: topic, Partition: 0, Key: all, Value: v})
	}
	for i, record := range r.read(at(topic, 0), len(values)) {
		if !bytes.Equal(record.Value, values[i]) || !bytes.Equal(record.Key, all) {
			r.Errorf("record %d: wrote %d bytes, read %d others", i, len(values[i]), len(record.Value))
		}
	}
}

// testContentCompression: records are the same with every compression, and an unknown
// one is refused when the producer is made.
func testContentCompression(r *run) {
	topic := r.topic(1)
	var want [][]byte
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		p := r.producer(transport.ProducerConfig{Compression: compression})
		sent := make([]*hearing, 20)
		for i := range sent {
			// The values repeat themselves, so that compressing pays, and differ from each other.
			value := bytes.Repeat(fmt.Append(nil, compression, i, " "), 50)
			want = append(want, value)
			// Twenty are on their way at once, so that batches hold more than one record.
			sent[i] = r.send(p, transport.Record{Topic: topic, Partition: 0, Value: value})
		}
		for _, h := range sent {
			if _, err := h.wait(); err != nil {
				r.Fatalf("%s: %v", compression, err)
			}
		}
	}
	for i, record := range r.read(at(topic, 0), len(want)) {
		if !bytes.Equal(record.Value, want[i]) {
			r.Fatalf("record %d: wrote %.20s…, read %.20s…", i, want[i], record.Value)
		}
	}
	// Refused here and not at the first record: a service that is configured wrongly does not
	// start.
	if _, err := r.NewProducer(transport.ProducerConfig{Compression: "rar"}); err == nil {
		r.Error("a producer with an unknown compression was made")
	}
}
