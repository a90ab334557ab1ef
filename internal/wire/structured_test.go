package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventbus-go/eventbus/transport"
)

// The event of the specification that this project follows, in structured mode.
const customerCreated = `{
  "specversion": "1.0",
  "type": "CustomerCreated",
  "source": "urn:momentum:sales-api",
  "id": "550e8400-e29b-41d4-a716-446655440000",
  "time": "2024-01-15T10:30:00Z",
  "datacontenttype": "application/json",
  "data": {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "name": "John Doe",
    "email": "john.doe@example.com"
  }
}`

func TestStructuredCustomerCreated(t *testing.T) {
	t.Parallel()
	var ev Event
	if err := Decode(structuredRecord(customerCreated), &ev); err != nil {
		t.Fatal(err)
	}
	if ev.ID != "550e8400-e29b-41d4-a716-446655440000" || ev.Source != "urn:momentum:sales-api" || ev.Type != "CustomerCreated" ||
		!ev.Time.Equal(when) || ev.DataContentType != "application/json" || ev.Extensions != nil {
		t.Errorf("%+v", ev)
	}
	var rec transport.Record
	if err := new(Encoder).Structured(&ev, &rec); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if json.Unmarshal(rec.Value, &got) != nil || json.Unmarshal([]byte(customerCreated), &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("written as %s", rec.Value)
	}
	if ct, _ := rec.Header("content-type"); string(ct) != "application/cloudevents+json; charset=UTF-8" || len(rec.Headers) != 1 {
		t.Errorf("headers %q", pairs(rec.Headers))
	}
}

// The examples of the JSON format's section 3.2, and other ways to write an event.
func TestStructuredData(t *testing.T) {
	t.Parallel()
	const attributes = `{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"A234-1234-1234",`
	for name, c := range map[string]struct {
		json, data, contentType string
		extensions              map[string]string
	}{
		"binary":            {`"comexampleothervalue":5,"datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AP8="}`, "\x00\xff", "application/vnd.apache.thrift.binary", map[string]string{"comexampleothervalue": "5"}},
		"XML":               {`"unsetextension":null,"datacontenttype":"application/xml","data":"<much wow=\"xml\"/>"}`, `<much wow="xml"/>`, "application/xml", nil},
		"object":            {`"subject":null,"datacontenttype":"application/json","data": {"appinfoA" : "abc"} }`, `{"appinfoA" : "abc"}`, "application/json", nil},
		"implied JSON":      {`"data":"I'm just a string"}`, `"I'm just a string"`, "application/json", nil},
		"explicit null":     {`"datacontenttype":"text/json","data":null}`, `null`, "text/json", nil},
		"null base64":       {`"data":1,"data_base64":null}`, `1`, "application/json", nil},
		"data first":        {`"data":"<a/>","datacontenttype":"text/xml"}`, `<a/>`, "text/xml", nil},
		"bytes of any type": {`"data_base64":"eyJhIjoxfQ==","datacontenttype":"application/json"}`, `{"a":1}`, "application/json", nil},
		"no type, bytes":    {`"data_base64":"AA=="}`, "\x00", "", nil},
		"capital letters":   {`"tenantId":"x","Data":1,"DataContentType":"text/json"}`, `1`, "text/json", map[string]string{"tenantid": "x"}},
		"half a surrogate":  {`"data":{"a":"\ud800"}}`, `{"a":"\ud800"}`, "application/json", nil},
		"not UTF-8":         {"\"data\":\"\xff\"}", "\"\xff\"", "application/json", nil},
		"names twice":       {`"data":{"a":1,"a":2}}`, `{"a":1,"a":2}`, "application/json", nil},
		"number":            {`"data":1e999,"x":1e999}`, `1e999`, "application/json", map[string]string{"x": "1e999"}},
		"no data":           {`"subject":""}`, "", "", nil},
		"leap second":       {`"time":"2016-12-31T23:59:60Z"}`, "", "", nil},
		"odd schema":        {`"dataschema":"%zz","subject":"a\nb"}`, "", "", nil},
		"typed extensions":  {`"a":true,"b":-7,"c":"x","data":1}`, `1`, "application/json", map[string]string{"a": "true", "b": "-7", "c": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var ev Event
			if err := Decode(structuredRecord(attributes+c.json), &ev); err != nil {
				t.Fatal(err)
			}
			if string(ev.Data) != c.data || ev.DataContentType != c.contentType || !reflect.DeepEqual(ev.Extensions, c.extensions) {
				t.Errorf("data %q of type %q, extensions %v", ev.Data, ev.DataContentType, ev.Extensions)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]struct {
		format     eventFormat
		json, text bool
	}{
		"":                                {json: true},
		"application/json":                {json: true},
		"Application/JSON; charset=utf-8": {json: true},
		"application/problem+json":        {json: true},
		"application/jsonlines":           {},
		"text/plain":                      {text: true},
		"text/plain; charset=\"UTF-8\"":   {text: true},
		"text/plain; charset=latin1":      {},
		"application/soap+xml;a=b":        {text: true},
		"application/cloudevents+json":    {format: formatJSON, json: true},
		"APPLICATION/CLOUDEVENTS+JSON;x":  {format: formatJSON, json: true},
		"application/cloudevents+json ;x": {format: formatJSON, json: true},
		"application/cloudevents-batch":   {format: formatBatch},
		"application/cloudevents+proto":   {format: formatOther},
		"application/cloudevents":         {format: formatOther},
	} {
		if f, j, x := format(contentType), declaresJSON(contentType), declaresText(contentType); f != want.format || j != want.json || x != want.text {
			t.Errorf("%q: format %d, json %v, text %v", contentType, f, j, x)
		}
	}
}

// The CloudEvents SDK reads what this package writes in structured mode as the same
// event, and the other way round.
func TestStructuredAgainstSDK(t *testing.T) {
	t.Parallel()
	for name, change := range roundTrips {
		t.Run(name, func(t *testing.T) {
			ev := created()
			change(ev)
			switch {
			case ev.Tombstone:
				t.Skip("a tombstone has no structured form")
			case strings.Contains(ev.DataContentType, "+json"):
				t.Skip("the SDK takes application/json alone for JSON")
			}
			var rec transport.Record
			if err := new(Encoder).Structured(ev, &rec); err != nil {
				t.Fatal(err)
			}
			var sdk event.Event
			if err := json.Unmarshal(rec.Value, &sdk); err != nil {
				t.Fatalf("the SDK refuses %s: %v", rec.Value, err)
			}
			if sdk.ID() != ev.ID || sdk.Source() != ev.Source || sdk.Type() != ev.Type || sdk.Subject() != ev.Subject ||
				!sdk.Time().Equal(ev.Time) || sdk.DataContentType() != ev.DataContentType || sdk.DataSchema() != ev.DataSchema {
				t.Errorf("the SDK reads %v", sdk)
			}
			again, err := json.Marshal(sdk)
			if err != nil {
				t.Fatal(err)
			}
			var back Event
			if err := Decode(structuredRecord(string(again)), &back); err != nil {
				t.Fatalf("%v in the SDK's %s", err, again)
			}
			back.Topic, back.Partition, back.Key, back.Headers = ev.Topic, ev.Partition, ev.Key, ev.Headers
			back.Time = ev.Time
			if !sameJSON(back.Data, ev.Data) {
				t.Errorf("data %q came back as %q", ev.Data, back.Data)
			}
			back.Data = ev.Data
			if !reflect.DeepEqual(&back, ev) {
				t.Errorf("came back as\n%+v\nwant\n%+v", &back, ev)
			}
		})
	}
}

// sameJSON: equal bytes, or equal values where the SDK reformats JSON.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
		return reflect.DeepEqual(x, y)
	}
	return string(a) == string(b)
}
