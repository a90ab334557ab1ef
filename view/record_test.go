package view

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// TestRecord: a record survives encoding and decoding, except for its tracing
// headers.
func TestRecord(t *testing.T) {
	r := &transport.Record{
		Partition: 7, Offset: 1 << 40, Time: time.UnixMilli(-5), Value: []byte("v"),
		Headers: []transport.Header{{Key: "ce_type", Value: []byte("x")}, {Key: "ce_traceparent", Value: []byte("00-…")}, {Key: "", Value: []byte{}}},
	}
	var got stored
	b := keep(r, event).encode()
	if err := got.decode(b); err != nil {
		t.Fatal(err)
	}
	if cap(b) != len(b) {
		t.Errorf("%d bytes in %d", len(b), cap(b))
	}
	if got.partition != 7 || got.offset != 1<<40 || !got.time.Equal(r.Time) || string(got.value) != "v" || len(got.headers) != 2 || got.headers[0].Key != "ce_type" {
		t.Errorf("%+v", got)
	}
	for n := range b {
		if err := got.decode(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a record", n, len(b))
		}
	}
}

// TestReplaces: within a partition offsets decide, and between two the time.
func TestReplaces(t *testing.T) {
	at := func(partition int32, offset, millis int64) *stored {
		return &stored{partition: partition, offset: offset, time: time.UnixMilli(millis)}
	}
	for _, c := range []struct {
		fresh, old *stored
		want       bool
	}{
		{at(0, 5, 1), at(0, 4, 9), true},
		{at(0, 4, 9), at(0, 5, 1), false},
		{at(0, 5, 1), at(0, 5, 1), true},
		{at(1, 0, 9), at(0, 7, 8), true},
		{at(1, 9, 7), at(0, 7, 8), false},
		{at(1, 0, 8), at(0, 7, 8), true},
	} {
		if got := c.fresh.replaces(c.old); got != c.want {
			t.Errorf("%+v over %+v: %t", c.fresh, c.old, got)
		}
	}
}

// FuzzRecord: a Store may be damaged. Arbitrary bytes are an error, or a record
// that survives encoding and decoding.
func FuzzRecord(f *testing.F) {
	f.Add((&stored{kind: event, value: []byte("v"), headers: []transport.Header{{Key: "k", Value: []byte("v")}}}).encode())
	f.Add([]byte{1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again stored
		if s.decode(b) != nil {
			return
		}
		if err := again.decode(s.encode()); err != nil || !reflect.DeepEqual(s.headers, again.headers) || !bytes.Equal(s.value, again.value) || s.offset != again.offset {
			t.Errorf("%+v is read again as %+v, %v", s, again, err)
		}
	})
}
