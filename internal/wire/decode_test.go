package wire

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/eventbus-go/eventbus/transport"
)

func TestDecodeForeignBinary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rec  *transport.Record
		want func(*Event) bool
	}{
		"minimal":                       {binary(), func(e *Event) bool { return e.ID == "1" && e.Source == "/s" && e.Type == "T" && string(e.Data) == "{}" }},
		"content-type":                  {binary("content-type", "text/plain"), func(e *Event) bool { return e.DataContentType == "text/plain" }},
		"Content-Type":                  {binary("Content-Type", "text/plain"), func(e *Event) bool { return e.DataContentType == "text/plain" }},
		"ce_datacontenttype":            {binary("ce_datacontenttype", "text/plain"), func(e *Event) bool { return e.DataContentType == "text/plain" }},
		"both, and they agree":          {binary("ce_datacontenttype", "a/b", "content-type", "a/b", "Content-Type", "a/b"), func(e *Event) bool { return e.DataContentType == "a/b" }},
		"capital prefix":                {binary("CE_Subject", "x"), func(e *Event) bool { return e.Subject == "x" }},
		"capital extension":             {binary("ce_Tenant", "x"), func(e *Event) bool { return e.Extensions["tenant"] == "x" }},
		"percent signs are no escape":   {binary("ce_subject", "a%20b"), func(e *Event) bool { return e.Subject == "a%20b" }},
		"capital letters in the name":   {binary("ce_tenantId", "x"), func(e *Event) bool { return e.Extensions["tenantid"] == "x" }},
		"leap second":                   {binary("ce_time", "2016-12-31T23:59:60.5Z"), func(e *Event) bool { return e.Time.Equal(time.Date(2017, 1, 1, 0, 0, 0, 5e8, time.UTC)) }},
		"leap second elsewhere":         {binary("ce_time", "2017-01-01t08:59:60+09:00"), func(e *Event) bool { return e.Time.Equal(time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)) }},
		"odd source, type and schema":   {binary("ce_dataschema", "%zz", "content-type", "json"), func(e *Event) bool { return e.DataSchema == "%zz" && e.DataContentType == "json" }},
		"control character":             {binary("ce_subject", "a\nb"), func(e *Event) bool { return e.Subject == "a\nb" }},
		"empty optional is unset":       {binary("ce_subject", "", "ce_time", "", "content-type", ""), func(e *Event) bool { return e.Subject == "" && e.Time.IsZero() && e.DataContentType == "" }},
		"lower-case time":               {binary("ce_time", "2024-01-15t10:30:00z"), func(e *Event) bool { return e.Time.Equal(when) }},
		"time with offset":              {binary("ce_time", "2024-01-15T12:30:00+02:00"), func(e *Event) bool { return e.Time.Equal(when) }},
		"a prefix alone is not a name":  {binary("ce_", "x"), func(e *Event) bool { return e.Extensions == nil && len(e.Headers) == 1 }},
		"plain headers around":          {binary("a", "1", "ce_x", "2", "b", "3"), func(e *Event) bool { return reflect.DeepEqual(pairs(e.Headers), []string{"a", "1", "b", "3"}) }},
		"W3C trace stays a header":      {binary("traceparent", "00", "ce_traceparent", "01"), func(e *Event) bool { return e.TraceParent == "01" && len(e.Headers) == 1 }},
		"cloudevent is another type":    {binary("content-type", "application/cloudevent"), func(e *Event) bool { return e.DataContentType == "application/cloudevent" }},
		"tombstone without headers":     {&transport.Record{Key: []byte("k")}, func(e *Event) bool { return e.Tombstone && e.Data == nil && string(e.Key) == "k" }},
		"tombstone with broken headers": {&transport.Record{Headers: headers("ce_time", "soon", "ce_type", "T")}, func(e *Event) bool { return e.Tombstone && e.Type == "T" }},
		"tombstone called structured":   {&transport.Record{Headers: headers("content-type", "application/cloudevents+json")}, func(e *Event) bool { return e.Tombstone }},
		"an empty value is none":        {&transport.Record{Value: []byte{}, Headers: headers(minimal...)}, func(e *Event) bool { return !e.Tombstone && e.Data != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			ev := Event{ID: "left over", Extensions: map[string]string{"old": "1"}}
			if err := Decode(c.rec, &ev); err != nil {
				t.Fatal(err)
			}
			if !c.want(&ev) {
				t.Errorf("%+v", ev)
			}
		})
	}
}

func TestDecodeMalformed(t *testing.T) {
	t.Parallel()
	without := func(header string) *transport.Record {
		rec := binary()
		for i, h := range rec.Headers {
			if h.Key == header {
				rec.Headers = append(rec.Headers[:i], rec.Headers[i+1:]...)
				break
			}
		}
		return rec
	}
	with := func(header, value string) *transport.Record {
		rec := binary()
		for i := range rec.Headers {
			if rec.Headers[i].Key == header {
				rec.Headers[i].Value = []byte(value)
			}
		}
		return rec
	}
	const ok = `"specversion":"1.0","id":"1","source":"/s","type":"T"`
	for name, c := range map[string]struct {
		rec  *transport.Record
		want string
	}{
		"no headers":          {&transport.Record{Value: []byte("{}")}, "neither ce_ headers"},
		"other headers":       {&transport.Record{Value: []byte("{}"), Headers: headers("content-type", "application/json", "a", "b")}, "neither ce_ headers"},
		"no specversion":      {without("ce_specversion"), `"specversion" is missing`},
		"no id":               {without("ce_id"), `"id" is missing`},
		"no source":           {without("ce_source"), `"source" is missing`},
		"no type":             {without("ce_type"), `"type" is missing`},
		"empty id":            {with("ce_id", ""), `"id" is missing`},
		"empty source":        {with("ce_source", ""), `"source" is missing`},
		"empty type":          {with("ce_type", ""), `"type" is missing`},
		"old specversion":     {with("ce_specversion", "0.3"), `"specversion" is "0.3"`},
		"second 60 at noon":   {binary("ce_time", "2016-12-31T12:00:60Z"), `"time"`},
		"hour 25":             {binary("ce_time", "2024-01-15T10:30:00+25:00"), `"time"`},
		"id twice":            {binary("ce_id", "1"), `"id" occurs twice`},
		"type twice":          {binary("CE_Type", "U"), `"type" occurs twice`},
		"time twice":          {binary("ce_time", "", "ce_time", "2024-01-15T10:30:00Z"), `"time" occurs twice`},
		"extension twice":     {binary("ce_x", "1", "ce_y", "1", "ce_X", "1"), `"x" occurs twice`},
		"content-type twice":  {binary("content-type", "a/b", "Content-Type", "a/c"), `"datacontenttype" occurs twice`},
		"mode twice":          {binary("content-type", "application/cloudevents+json", "content-type", "a/b"), `"datacontenttype" occurs twice`},
		"content types":       {binary("content-type", "a/b", "ce_datacontenttype", "a/c"), `"datacontenttype" occurs twice`},
		"time":                {binary("ce_time", "soon"), `"time" is "soon"`},
		"date":                {binary("ce_time", "2024-01-15"), `"time"`},
		"id not UTF-8":        {with("ce_id", "\xff"), "not UTF-8"},
		"type not UTF-8":      {with("ce_type", "\xff"), `"type" is not UTF-8`},
		"extension not UTF-8": {binary("ce_x", "\xff"), "not UTF-8"},
		"content type":        {binary("content-type", "a/\xff"), "not UTF-8"},
		"batch":               {binary("content-type", "application/cloudevents-batch+json"), "a batch of events"},
		"Avro format":         {binary("content-type", "application/cloudevents+avro"), `"application/cloudevents+avro" is not understood`},
		"bare format":         {binary("content-type", "application/cloudevents"), "not understood"},

		"empty value":           {structuredRecord(""), "not a JSON object"},
		"array":                 {structuredRecord("[]"), "not a JSON object"},
		"text":                  {structuredRecord("hello"), "not a JSON object"},
		"cut off":               {structuredRecord("{" + ok), "not valid JSON"},
		"cut off in data":       {structuredRecord("{" + ok + `,"data":{"a":1`), "not valid JSON"},
		"goes on":               {structuredRecord("{" + ok + "} {}"), "goes on after"},
		"JSON not UTF-8":        {structuredRecord("{" + ok + ",\"x\":\"\xff\"}"), "not valid JSON"},
		"JSON no specversion":   {structuredRecord(`{"id":"1","source":"/s","type":"T"}`), `"specversion" is missing`},
		"JSON null id":          {structuredRecord(`{"specversion":"1.0","id":null,"source":"/s","type":"T"}`), `"id" is missing`},
		"JSON number as id":     {structuredRecord(`{"specversion":"1.0","id":7,"source":"/s","type":"T"}`), `"id" is not a JSON string`},
		"JSON number version":   {structuredRecord(`{"specversion":1.0,"id":"7","source":"/s","type":"T"}`), `"specversion" is not a JSON string`},
		"JSON time":             {structuredRecord("{" + ok + `,"time":"soon"}`), `"time"`},
		"JSON object extension": {structuredRecord("{" + ok + `,"x":{}}`), `"x" is a JSON object`},
		"JSON twice":            {structuredRecord("{" + ok + `,"type":"U"}`), `"type" occurs twice`},
		"JSON data twice":       {structuredRecord("{" + ok + `,"data":1,"data":2}`), `"data" occurs twice`},
		"JSON escaped twice":    {structuredRecord("{" + ok + `,"\u0074ype":"U"}`), `"type" occurs twice`},
		"JSON twice in case":    {structuredRecord("{" + ok + `,"tenantId":"a","tenantid":"a"}`), `"tenantid" occurs twice`},
		"JSON null and a value": {structuredRecord("{" + ok + `,"subject":null,"subject":"a"}`), `"subject" occurs twice`},
		"JSON surrogate":        {structuredRecord("{" + ok + `,"subject":"\ud800"}`), "not valid JSON"},
		"JSON name":             {structuredRecord("{" + ok + `,"\ud800":"a"}`), "not valid JSON"},
		"JSON surrogate text":   {structuredRecord("{" + ok + `,"datacontenttype":"text/plain","data":"\ud800"}`), "not valid JSON"},
		"JSON byte order mark":  {structuredRecord("\ufeff{" + ok + `}`), "not a JSON object"},
		"JSON both data":        {structuredRecord("{" + ok + `,"data":1,"data_base64":"AA=="}`), "data and data_base64"},
		"JSON base64":           {structuredRecord("{" + ok + `,"data_base64":"A"}`), "not Base64"},
		"JSON base64 number":    {structuredRecord("{" + ok + `,"data_base64":1}`), "data_base64 is not a JSON string"},
		"JSON data is not text": {structuredRecord("{" + ok + `,"datacontenttype":"text/plain","data":{}}`), "data is not a JSON string"},
	} {
		t.Run(name, func(t *testing.T) {
			c.rec.Topic, c.rec.Offset, c.rec.Key = "t", 7, []byte("k")
			value := bytes.Clone(c.rec.Value)
			var ev Event
			err := Decode(c.rec, &ev)
			var malformed *MalformedError
			if !errors.As(err, &malformed) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Decode: %v, want %q", err, c.want)
			}
			if ev.Offset != 7 || string(ev.Key) != "k" || !bytes.Equal(ev.Data, value) || !bytes.Equal(c.rec.Value, value) {
				t.Errorf("the record is lost: %+v", ev)
			}
		})
	}
}

// A header that is not an attribute must not cost an allocation, nor must writing to
// the event's headers reach into the record.
func TestPlainHeadersAreTheRecords(t *testing.T) {
	t.Parallel()
	rec := binary("a", "1", "b", "2", "ce_x", "y")
	var ev Event
	if err := Decode(rec, &ev); err != nil {
		t.Fatal(err)
	}
	if &ev.Headers[0] != &rec.Headers[4] {
		t.Error("headers that stand together were copied")
	}
	_ = append(ev.Headers, transport.Header{Key: "c"})
	if rec.Headers[6].Key != "ce_x" {
		t.Error("appending to the event's headers wrote into the record")
	}
}

// What outlives the record must not lie in its memory.
func TestStringsOwnTheirMemory(t *testing.T) {
	t.Parallel()
	rec := binary("ce_subject", "subject", "ce_time", "2024-01-15T10:30:00Z", "ce_x", "extension", "content-type", "fresh/type")
	var ev Event
	if err := Decode(rec, &ev); err != nil {
		t.Fatal(err)
	}
	for _, h := range rec.Headers {
		for i := range h.Value {
			h.Value[i] = '#'
		}
	}
	if ev.ID != "1" || ev.Source != "/s" || ev.Subject != "subject" || ev.Extensions["x"] != "extension" || ev.DataContentType != "fresh/type" {
		t.Errorf("%+v", ev)
	}
}

// TestFaultsOwnTheirMemory: an error is read when the record's memory, header keys
// included, has long been used for others.
func TestFaultsOwnTheirMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, value, want string }{
		{"ce_type", "U", `attribute "type" occurs twice`},
		{"ce_dataschema", "\xff", `attribute "dataschema" is not UTF-8`},
		{"ce_x", "1", `attribute "x" occurs twice`},
	} {
		key := []byte(c.key)
		lent := unsafe.String(&key[0], len(key))
		var ev Event
		err := Decode(binary("ce_x", "1", lent, c.value), &ev)
		for i := range key {
			key[i] = '#'
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestInternForgets(t *testing.T) {
	var table internTable
	for i := range 3 * internSlots {
		b := []byte{byte(i), byte(i >> 8)}
		// Twice, since a text that is not UTF-8 must not be found the second time
		// either.
		for range 2 {
			if s, valid := table.get(b); s != string(b) || valid != utf8.Valid(b) {
				t.Fatalf("got %q, valid %v, for %q", s, valid, b)
			}
		}
	}
	again := []byte("source")
	table.get(again)
	if n := testing.AllocsPerRun(10, func() { table.get(again) }); n != 0 {
		t.Errorf("%v allocations for a known string", n)
	}
	long := []byte(strings.Repeat("x", internLength+1))
	table.get(long)
	for i := range table {
		if kept := table[i].Load(); kept != nil && len(*kept) > internLength {
			t.Error("a long string was kept")
		}
	}
}

// TestTextsShareRoom checks that the strings of a decoder stay as they were when it
// reads further records, and what they cost.
func TestTextsShareRoom(t *testing.T) {
	var d Decoder
	var got, want []string
	for i := range 1000 {
		id := strings.Repeat(string(rune('a'+i%26)), i%100+1)
		rec := &transport.Record{Value: []byte("x"), Headers: []transport.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_source", Value: []byte("/s")},
			{Key: "ce_type", Value: []byte("T")}, {Key: "ce_id", Value: []byte(id)},
		}}
		var ev Event
		if err := d.Decode(rec, &ev); err != nil {
			t.Fatal(err)
		}
		got, want = append(got, ev.ID), append(want, id)
	}
	if !slices.Equal(got, want) {
		t.Error("a string changed after its record")
	}
	text := []byte("0193c0de-0000-7000-8000-000000000001")
	var s texts
	s.add(text)
	if n := testing.AllocsPerRun(700, func() {
		for range textRoom / len(text) {
			s.add(text)
		}
	}); n != 1 {
		t.Errorf("%d ids take %v allocations", textRoom/len(text), n)
	}
}
