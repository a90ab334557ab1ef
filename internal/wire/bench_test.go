package wire

import (
	"bytes"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// benchEvent has about 300 bytes of data and six attributes in headers.
func benchEvent() *Event {
	ev := created()
	ev.Data = append(append([]byte(`{"text":"`), bytes.Repeat([]byte("x"), 290)...), `"}`...)
	return ev
}

func BenchmarkEncodeBinary(b *testing.B) {
	ev, encoder, rec := benchEvent(), new(Encoder), new(transport.Record)
	b.ReportAllocs()
	for b.Loop() {
		encoder.Binary(ev, rec)
	}
}

func BenchmarkCheck(b *testing.B) {
	ev, encoder := benchEvent(), new(Encoder)
	b.ReportAllocs()
	for b.Loop() {
		if err := encoder.Check(ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeStructured(b *testing.B) {
	ev, encoder, rec := benchEvent(), new(Encoder), new(transport.Record)
	b.ReportAllocs()
	for b.Loop() {
		if err := encoder.Structured(ev, rec); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDecode(b *testing.B, rec *transport.Record) {
	var ev Event
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(rec, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBinary(b *testing.B) {
	var rec transport.Record
	new(Encoder).Binary(benchEvent(), &rec)
	benchDecode(b, &rec)
}

// Ten attributes, a W3C trace of this hop, and two extensions.
func BenchmarkDecodeBinaryRich(b *testing.B) {
	ev := benchEvent()
	everyAttribute(ev)
	ev.Headers = headers("traceparent", ev.TraceParent)
	var rec transport.Record
	new(Encoder).Binary(ev, &rec)
	benchDecode(b, &rec)
}

func BenchmarkDecodeStructured(b *testing.B) {
	var rec transport.Record
	if err := new(Encoder).Structured(benchEvent(), &rec); err != nil {
		b.Fatal(err)
	}
	benchDecode(b, &rec)
}

func BenchmarkType(b *testing.B) {
	var rec transport.Record
	new(Encoder).Binary(benchEvent(), &rec)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Type(&rec); !ok {
			b.Fatal("no type")
		}
	}
}
