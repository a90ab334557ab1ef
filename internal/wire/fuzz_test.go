package wire

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus/transport"
)

// FuzzDecodeBinary feeds headers, cut out of one text by newlines and colons.
func FuzzDecodeBinary(f *testing.F) {
	f.Add([]byte("ce_specversion:1.0\nce_id:1\nce_source:/s\nce_type:T\nce_time:2024-01-15T10:30:00.5+01:00\nce_x:y\na:b"), []byte("{}"))
	f.Add([]byte("CE_Id:1\nContent-Type:Application/CloudEvents+JSON"), []byte(customerCreated))
	f.Add([]byte("content-type:application/cloudevents-batch+json"), []byte("[]"))
	f.Fuzz(func(t *testing.T, text, value []byte) {
		rec := transport.Record{Topic: "t", Value: value}
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			key, v, _ := bytes.Cut(line, []byte(":"))
			rec.Headers = append(rec.Headers, transport.Header{Key: string(key), Value: v})
		}
		decodeAndBack(t, &rec)
	})
}

// FuzzDecodeStructured feeds values that claim to be the JSON event format.
func FuzzDecodeStructured(f *testing.F) {
	f.Add([]byte(customerCreated))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"T","a":true,"b":5,"n":null,"datacontenttype":"text/xml","data":"<a\u003e"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"T","data_base64":"AP8="}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		decodeAndBack(t, structuredRecord(string(value)))
	})
}

// decodeAndBack checks that reading never panics and returns a *MalformedError or an
// event, and that an event that may be written is read back unchanged in both modes.
func decodeAndBack(t *testing.T, rec *transport.Record) {
	var ev Event
	err := Decode(rec, &ev)
	decodeAgain(t, rec, &ev, err)
	if err != nil {
		var malformed *MalformedError
		if !errors.As(err, &malformed) || err.Error() == "" {
			t.Fatalf("error %v is no *MalformedError", err)
		}
		return
	}
	if typ, ok := Type(rec); !ev.Tombstone && (!ok || typ != ev.Type) {
		t.Fatalf("Type = %q, %v for %+v", typ, ok, ev)
	}
	for _, s := range []string{ev.ID, ev.Source, ev.Type, ev.Subject, ev.DataContentType, ev.TraceState} {
		if !utf8.ValidString(s) && !ev.Tombstone {
			t.Fatalf("%q is not UTF-8", s)
		}
	}
	if Check(&ev) != nil {
		return // read leniently, and not to be written
	}
	backAgain(t, &ev)
}

// decodeAgain checks that a decoder that has seen this record and others before returns
// the same.
func decodeAgain(t *testing.T, rec *transport.Record, want *Event, wantErr error) {
	t.Helper()
	var d Decoder
	for range 3 {
		var ev Event
		if err := d.Decode(rec, &ev); !reflect.DeepEqual(err, wantErr) || !reflect.DeepEqual(&ev, want) {
			t.Fatalf("a decoder that has seen the record says %+v, %v; want %+v, %v", ev, err, want, wantErr)
		}
	}
}

// FuzzRecentMinute: whatever the last time was, a time is read as without it.
func FuzzRecentMinute(f *testing.F) {
	f.Add("2024-01-15T10:30:00Z", "2024-01-15T10:30:59.123456789Z")
	f.Add("2024-01-15T10:30:00.5Z", "2024-01-15T10:30:60Z")
	f.Add("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z")
	f.Add("2024-01-15t10:30:00z", "2024-01-15t10:30:01Z")
	f.Add("2024-01-15T10:30:00+01:00", "2024-01-15T10:30:01.Z")
	f.Add("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.1234567891Z")
	f.Add("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z")
	f.Add("2024-01-15T10:30:00Z", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0005Z")
	f.Fuzz(func(t *testing.T, last, text string) {
		want, wantErr := parseTime([]byte(text))
		var m, none recentMinute
		_, _ = m.parse([]byte(last))
		for range 2 {
			for _, minute := range []*recentMinute{&m, &none} {
				if got, err := minute.parse([]byte(text)); !got.Equal(want) || got.String() != want.String() || (err == nil) != (wantErr == nil) {
					t.Fatalf("%q after %q is %v, %v; want %v, %v", text, last, got, err, want, wantErr)
				}
			}
		}
	})
}

func backAgain(t *testing.T, ev *Event) {
	var encoder Encoder
	for _, structured := range []bool{false, true} {
		want := *ev
		want.Extensions = maps.Clone(ev.Extensions)
		var rec transport.Record
		if structured {
			if err := encoder.Structured(ev, &rec); err != nil {
				t.Fatal(err)
			}
			// What JSON implies is explicit afterwards, and white space around it is gone.
			if want.DataContentType == "" && bytes.Contains(rec.Value, []byte(`"data":`)) {
				want.DataContentType = "application/json"
			}
			if declaresJSON(want.DataContentType) && bytes.Contains(rec.Value, []byte(`"data":`)) {
				want.Data = bytes.Trim(want.Data, " \t\r\n")
			}
		} else {
			encoder.Binary(ev, &rec)
		}
		var got Event
		if err := Decode(&rec, &got); err != nil {
			t.Fatalf("%v in what was written: %+v", err, rec)
		}
		if !got.Time.Equal(want.Time) {
			t.Fatalf("time %v, want %v", got.Time, want.Time)
		}
		got.Time, want.Time = time.Time{}, time.Time{}
		want.Partition, want.Key = transport.AnyPartition, rec.Key
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("structured %v:\n%+v\nwant\n%+v", structured, got, want)
		}
	}
}
