//go:build integration

package interop

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

// foreign is the event that every other client writes here.
var (
	foreign = CustomerCreated{CustomerID: "c-7", Name: "Zoë, 日本"}
	happens = time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC)

	foreignAttributes = map[string]string{
		"specversion":     "1.0",
		"id":              "f-1",
		"source":          "urn:elsewhere",
		"type":            "CustomerCreated",
		"subject":         "customers/c-7",
		"time":            happens.Format(time.RFC3339Nano),
		"datacontenttype": "application/json",
		"dataschema":      "https://example.com/customer.json",
		"correlationid":   "story-1",
		"partitionkey":    "c-7",
		"tenant":          "é-1",
	}
)

// TestForeignEvents tests promise 8 from the reading side: what other clients write
// by the CloudEvents Kafka binding reaches the handler completely.
func TestForeignEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		need  func(*testing.T)
		write func(*testing.T, *cluster)
	}{
		{"kcat binary", needKcat, func(t *testing.T, c *cluster) {
			kcatWrite(t, c, record{key: "c-7", headers: binaryHeaders(), value: encoded(t, foreign)})
		}},
		{"kcat structured", needKcat, func(t *testing.T, c *cluster) {
			kcatWrite(t, c, record{key: "c-7", headers: [][2]string{{"content-type", "application/cloudevents+json; charset=UTF-8"}}, value: structured(t)})
		}},
		{"Python binary", needPython, func(t *testing.T, c *cluster) {
			pythonWrite(t, c, "binary", pythonEvent{Attributes: foreignAttributes, Data: foreign})
		}},
		{"Python structured", needPython, func(t *testing.T, c *cluster) {
			pythonWrite(t, c, "structured", pythonEvent{Attributes: foreignAttributes, Data: foreign})
		}},
		{"Java binary", needJava, func(t *testing.T, c *cluster) {
			var headers []string
			for _, h := range binaryHeaders() {
				headers = append(headers, h[0]+":"+h[1])
			}
			javaWrite(t, c, strings.Join(headers, ",")+"\tc-7\t"+encoded(t, foreign)+"\n")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.need(t)
			cluster := newCluster(t, eventbus.Config{})
			type received struct {
				event    CustomerCreated
				envelope *eventbus.Envelope
			}
			handled := make(chan received, 1)
			err := eventbus.Subscribe(cluster.bus, customers, func(ctx context.Context, event CustomerCreated) error {
				envelope, _ := eventbus.EnvelopeFrom(ctx)
				handled <- received{event, envelope.Clone()}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx := deadline(t)
			if err := cluster.bus.Start(ctx); err != nil {
				t.Fatal(err)
			}
			c.write(t, cluster)
			select {
			case got := <-handled:
				if got.event != foreign {
					t.Errorf("the handler got %+v, want %+v", got.event, foreign)
				}
				compare(t, got.envelope)
			case <-ctx.Done():
				t.Fatal("the handler did not receive the event")
			}
		})
	}
}

// compare compares an envelope with what was written.
func compare(t *testing.T, e *eventbus.Envelope) {
	t.Helper()
	got := map[string]string{
		"specversion":     "1.0",
		"id":              e.ID,
		"source":          e.Source,
		"type":            e.Type,
		"subject":         e.Subject,
		"time":            e.Time.UTC().Format(time.RFC3339Nano),
		"datacontenttype": e.DataContentType,
		"dataschema":      e.DataSchema,
		"correlationid":   e.CorrelationID,
	}
	maps.Copy(got, e.Extensions)
	for name, want := range foreignAttributes {
		if got[name] != want {
			t.Errorf("attribute %s is %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("attributes that nobody wrote: %v", got)
	}
	if string(e.Key) != "c-7" {
		t.Errorf("the key is %q, want %q", e.Key, "c-7")
	}
}

// binaryHeaders returns the headers of the foreign event in binary mode.
func binaryHeaders() [][2]string {
	var headers [][2]string
	for name, value := range foreignAttributes {
		if name == "datacontenttype" {
			headers = append(headers, [2]string{"content-type", value})
			continue
		}
		headers = append(headers, [2]string{"ce_" + name, value})
	}
	return headers
}

// structured returns the foreign event in the JSON event format.
func structured(t *testing.T) string {
	t.Helper()
	document := map[string]any{"data": foreign}
	for name, value := range foreignAttributes {
		document[name] = value
	}
	return encoded(t, document)
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
