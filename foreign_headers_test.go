package eventbus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestForeignHeaders: whatever another client writes into headers, the record is handled
// or has one dead letter that says why, and the next of its key is handled.
func TestForeignHeaders(t *testing.T) {
	base := []string{"ce_specversion", "1.0", "ce_id", "e-1", "ce_source", "/s", "ce_type", "order"}
	with := func(more ...string) []string { return append(slices.Clone(base), more...) }
	renamed := func(f func(string) string) []string {
		all := slices.Clone(base)
		for i := 0; i < len(all); i += 2 {
			all[i] = f(all[i])
		}
		return all
	}
	many := slices.Clone(base)
	for i := range 10_000 {
		many = append(many, fmt.Sprint("x", i), "v")
	}
	manyExt := slices.Clone(base)
	for i := range 10_000 {
		manyExt = append(manyExt, fmt.Sprint("ce_x", i), "v")
	}
	malformed := map[string]string{
		"hyphen": "neither ce_ headers nor", "http style": "neither ce_ headers nor", "structured upper": `"specversion" is missing`,
		"structured batch": "no batch mode", "not utf8 value": "is not UTF-8", "not utf8 subject": "is not UTF-8", "not utf8 id": "is not UTF-8",
		"not utf8 type": `"type" is not UTF-8`, "correlation huge": "is not UTF-8", "content type twice": `"datacontenttype" occurs twice`,
		"time 0": "not an RFC 3339 time", "time year 10000": "not an RFC 3339 time", "type twice same": `"type" occurs twice`,
	}
	for name, headers := range map[string][]string{
		"upper prefix":            renamed(strings.ToUpper),
		"title":                   renamed(strings.ToTitle),
		"hyphen":                  renamed(func(s string) string { return strings.Replace(s, "_", "-", 1) }),
		"http style":              renamed(func(s string) string { return strings.Replace(s, "_", ":", 1) }),
		"empty key":               with("", "x"),
		"prefix alone":            with("ce_", "x"),
		"not utf8 key":            with("\xff\xfe", "x"),
		"not utf8 ext":            with("ce_\xff", "x"),
		"not utf8 value":          with("ce_ext", "\xff\xfe"),
		"not utf8 subject":        with("ce_subject", "\xff"),
		"not utf8 type":           {"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "\xff"},
		"not utf8 id":             {"ce_specversion", "1.0", "ce_id", "\xff", "ce_source", "/s", "ce_type", "order"},
		"content type twice":      with("content-type", "application/json", "content-type", "application/cloudevents+json"),
		"content type same twice": with("content-type", "application/json", "content-type", "application/json"),
		"content type upper":      with("Content-Type", "application/json"),
		"content type empty":      with("content-type", ""),
		"content type garbage":    with("content-type", "\x00;;;"),
		"structured upper":        {"Content-Type", "APPLICATION/CLOUDEVENTS+JSON; charset=UTF-8"},
		"structured batch":        {"content-type", "application/cloudevents-batch+json"},
		"traceparent garbage":     with("traceparent", strings.Repeat("z", 100_000), "tracestate", "\xff", "baggage", strings.Repeat("a=b,", 100_000)),
		"ce traceparent twice":    with("ce_traceparent", "x", "traceparent", "y"),
		"dlq headers":             with("eventbus-dlq-reason", "x", "eventbus-dlq-attempts", "-1", "eventbus-redelivery", "99999999999999999999", "eventbus-origin-offset", "x", "eventbus-origin-time", "y"),
		"correlation huge":        with("ce_correlationid", strings.Repeat("c", 999_000), "ce_causationid", "\xff"),
		"10k headers":             many,
		"10k extensions":          manyExt,
		"time 0":                  with("ce_time", "0000-00-00T00:00:00Z"),
		"time year 10000":         with("ce_time", "10000-01-01T00:00:00Z"),
		"partitionkey other":      with("ce_partitionkey", "other"),
		"dataschema":              with("ce_dataschema", "%zz"),
		"datacontentencoding":     with("ce_datacontentencoding", "base64"),
		"type twice same":         with("ce_type", "order"),
		"data attr":               with("ce_data", "x", "ce_data_base64", "y"),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				bus, topic := newBus(t, cluster, config()), orders(t)
				follow := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "follow"}))
				handled := 0
				must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
					handled++
					return follow.Publish(ctx, o)
				}, eventbus.Retry(resilience.NoRetry()), eventbus.WhenUnknown(eventbus.DeadLetterUnknown)))
				start(t, bus)
				r := transport.Record{Topic: ordersName, Partition: transport.AnyPartition, Key: []byte("k"), Value: []byte(`{"ID":"a","Seq":1}`)}
				for i := 0; i < len(headers); i += 2 {
					r.Headers = append(r.Headers, transport.Header{Key: headers[i], Value: []byte(headers[i+1])})
				}
				raw(t, cluster, r)
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"k", 2}))
				pass(time.Minute)
				letters := cluster.Records(orderLetters)
				text, reason := "", ""
				if len(letters) > 0 {
					a, _ := letters[0].Header("eventbus-dlq-error")
					b, _ := letters[0].Header("eventbus-dlq-reason")
					text, reason = string(a), string(b)
				}
				want := 2
				if malformed[name] != "" {
					want = 1
				}
				if handled != want || len(letters) != 2-want {
					t.Errorf("%d of %d handled, %d dead letters", handled, want, len(letters))
				}
				if want == 1 && (reason != "malformed" || !strings.Contains(text, malformed[name]) || len(text) > 500) {
					t.Errorf("reason %s, error %q, want %q", reason, text, malformed[name])
				}
				closeBus(t, bus)
			})
		})
	}
}
