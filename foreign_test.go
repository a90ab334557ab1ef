package eventbus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// foreignRecord returns the record of an event as another producer writes it. The
// attributes are name and value in turn; data is JSON, or empty for none.
func foreignRecord(topic string, structured bool, data string, attributes ...string) transport.Record {
	all := append([]string{"specversion", "1.0", "id", "e-1", "source", "/s", "type", "order"}, attributes...)
	r := transport.Record{Topic: topic, Partition: transport.AnyPartition, Key: []byte("k"), Value: []byte(data)}
	var members []string
	for i := 0; i < len(all); i += 2 {
		if slices.Contains(all[i+2:], all[i]) && i < 8 {
			continue // a later one in place of the usual one
		}
		r.Headers = append(r.Headers, transport.Header{Key: "ce_" + all[i], Value: []byte(all[i+1])})
		name, _ := json.Marshal(all[i])
		value, _ := json.Marshal(all[i+1])
		members = append(members, string(name)+":"+string(value))
	}
	if structured {
		if data != "" {
			members = append(members, `"data":`+data)
		}
		r.Headers = []transport.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
		r.Value = []byte("{" + strings.Join(members, ",") + "}")
	}
	return r
}

// A foreign event is treated the same in both modes.
func TestForeignEventsHaveOneFate(t *testing.T) {
	for name, c := range map[string]struct {
		data       string
		attributes []string
		handled    string
		reason     string // of the dead letter
		err        string
	}{
		"an event":                   {`{"ID":"a","Seq":1}`, nil, "a1", "", ""},
		"half a surrogate":           {`{"ID":"\ud800","Seq":1}`, nil, "\ufffd1", "", ""},
		"a leap second":              {`{"ID":"a","Seq":1}`, []string{"time", "2016-12-31T23:59:60Z"}, "a1", "", ""},
		"a capital letter":           {`{"ID":"a","Seq":1}`, []string{"tenantId", "x"}, "a1 tenantid=x", "", ""},
		"a source that is not a URI": {`{"ID":"a","Seq":1}`, []string{"source", "%zz"}, "a1", "", ""},
		"no data":                    {"", nil, "", "undecodable", "the event has no data"},
		"null":                       {"null", nil, "", "undecodable", "the event's data is null"},
		"no id":                      {`{"ID":"a","Seq":1}`, []string{"id", ""}, "", "malformed", `attribute "id" is missing`},
		"no source":                  {`{"ID":"a","Seq":1}`, []string{"source", ""}, "", "malformed", `attribute "source" is missing`},
		"an old version":             {`{"ID":"a","Seq":1}`, []string{"specversion", "0.3"}, "", "malformed", `attribute "specversion" is "0.3"`},
		"no time":                    {`{"ID":"a","Seq":1}`, []string{"time", "soon"}, "", "malformed", `attribute "time"`},
		"an attribute twice":         {`{"ID":"a","Seq":1}`, []string{"subject", "a", "subject", "b"}, "", "malformed", `"subject" occurs twice`},
		"an extension twice":         {`{"ID":"a","Seq":1}`, []string{"tenant", "a", "Tenant", "b"}, "", "malformed", `"tenant" occurs twice`},
		"data of another form":       {`{"Seq":"secret"}`, nil, "", "undecodable", `field "seq": a JSON string can't be decoded into int`},
		"a very long broken time":    {`{"ID":"a","Seq":1}`, []string{"time", strings.Repeat("9", 10_000)}, "", "malformed", "…"},
		"a very long name, twice":    {`{}`, []string{strings.Repeat("x", 10_000), "", strings.Repeat("x", 10_000), ""}, "", "malformed", "occurs twice"},
		"a control character in id":  {`{"ID":"a","Seq":1}`, []string{"id", "a\u0007"}, "a1", "", ""},
	} {
		for _, structured := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/structured=%v", name, structured), func(t *testing.T) {
				run(t, func(t *testing.T, cluster *memory.Cluster) {
					bus, topic := newBus(t, cluster, config()), orders(t)
					follow := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "follow"}))
					var s story
					must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
						e, _ := eventbus.EnvelopeFrom(ctx)
						line := fmt.Sprintf("%s%d", o.ID, o.Seq)
						for name, value := range e.Extensions {
							line += " " + name + "=" + value
						}
						s.add("%s", line)
						return follow.Publish(ctx, o) // which inherits from the foreign event
					}, eventbus.Retry(resilience.NoRetry())))
					start(t, bus)
					raw(t, cluster, foreignRecord(ordersName, structured, c.data, c.attributes...))
					pass(time.Minute)
					if got := s.String(); got != c.handled {
						t.Errorf("handled %q, want %q", got, c.handled)
					}
					letters := cluster.Records(orderLetters)
					closeBus(t, bus)
					switch {
					case c.reason == "" && len(letters) > 0:
						e, _ := letters[0].Header("eventbus-dlq-error")
						t.Fatalf("a dead letter: %s", e)
					case c.reason == "":
						return
					case len(letters) != 1:
						t.Fatalf("%d dead letters", len(letters))
					}
					reason, _ := letters[0].Header("eventbus-dlq-reason")
					text, _ := letters[0].Header("eventbus-dlq-error")
					if string(reason) != c.reason || !strings.Contains(string(text), c.err) || strings.Contains(string(text), "secret") || len(text) > 500 {
						t.Errorf("reason %s, error %s, want %s and %s", reason, text, c.reason, c.err)
					}
				})
			})
		}
	}
}

// Events that Idempotent removes from a batch are not in the handler's delivery
// either, and a batch with one event left is still a batch.
func TestDeliveryIsWhatTheHandlerGets(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		follow := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "follow"}))
		var s story
		must(t, bus.Add(eventbus.OnBatch(topic, func(ctx context.Context, batch []order) error {
			d, ok := eventbus.DeliveryFrom(ctx)
			_, single := eventbus.EnvelopeFrom(ctx)
			s.add("%d events, %d in the delivery, %v %v", len(batch), len(d.Events), ok, single)
			return follow.Publish(ctx, batch[0])
		}, eventbus.Use(eventbus.Idempotent(inbox.Memory(10)), func(next eventbus.Handler) eventbus.Handler {
			return func(ctx context.Context, d *eventbus.Delivery) error {
				err := next(ctx, d)
				outer, _ := eventbus.DeliveryFrom(ctx)
				s.add("then %d", len(outer.Events))
				return err
			}
		}))))
		p := eventbus.NewPublisher(bus, topic)
		for i, id := range []string{"e-1", "e-1", "e-1"} {
			must(t, p.PublishWith(t.Context(), order{"a", i}, eventbus.WithID(id)))
		}
		start(t, bus)
		pass(time.Minute)
		must(t, p.PublishWith(t.Context(), order{"a", 9}, eventbus.WithID("e-2")))
		pass(time.Minute)
		if got := s.String(); got != "1 events, 1 in the delivery, true false then 3 1 events, 1 in the delivery, true false then 1" {
			t.Error(got)
		}
		closeBus(t, bus)
		for _, r := range cluster.Records("test.sales.public.follow.v1") {
			if cause, ok := r.Header("ce_causationid"); ok {
				t.Errorf("an event of a batch has the cause %s", cause)
			}
		}
	})
}

// RFC 3339 may have no form for a foreign timestamp. The dead letter can still be
// read.
func TestForeignTimestamp(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, eventbus.Subscribe(bus, topic, noting(&story{})))
		start(t, bus)
		r := foreignRecord(ordersName, false, "null")
		r.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		raw(t, cluster, r)
		pass(time.Minute)
		closeBus(t, bus)
		read, err := letter.Read(&cluster.Records(orderLetters)[0])
		if err != nil || !read.Written.IsZero() {
			t.Errorf("written %v, %v", read.Written, err)
		}
	})
}

// However long and many foreign types, sources and ids are, what a bus exports and
// logs stays small.
func TestForeignNamesStayShort(t *testing.T) {
	const (
		most  = 300 // bytes of one value
		huge  = 100 << 10
		kinds = 100
	)
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var book logbook
		l := newListener()
		c := l.config("sales-api")
		c.Logger = book.logger(slog.LevelDebug)
		bus, topic := newBus(t, cluster, c), orders(t)
		broken := errors.New("broken: " + strings.Repeat("e", huge))
		must(t, bus.Add(eventbus.On(topic, func(context.Context, order) error { return eventbus.Permanent(broken) }, eventbus.WhenUnknown(eventbus.DeadLetterUnknown))))
		skipping := eventbus.On(topic, func(context.Context, order) error { return nil }, eventbus.Group("skipping"))
		must(t, bus.Add(skipping))
		start(t, bus)
		for i := range kinds {
			raw(t, cluster, foreignRecord(ordersName, i%2 == 0, "{}", "type", fmt.Sprint(i, strings.Repeat("t", huge))))
		}
		long := strings.Repeat("i", huge)
		raw(t, cluster, foreignRecord(ordersName, false, `{"ID":"a"}`, "id", long, "source", long, "correlationid", long, "causationid", long))
		pass(time.Minute)
		if text := (&eventbus.Envelope{ID: long, Source: long, Type: long}).String(); len(text) > 4*most {
			t.Errorf("the envelope's text has %d bytes", len(text))
		}
		refused := bus.PublishEnvelope(t.Context(), &eventbus.Envelope{Topic: ordersName, ID: long, Source: "%zz", Type: "order"})
		if refused == nil || len(refused.Error()) > 4*most {
			t.Errorf("an error of %d bytes", len(refused.Error()))
		}
		series := 0
		for name, points := range l.collect(t) {
			series += len(points)
			for _, p := range points {
				for _, a := range p.attributes.ToSlice() {
					if n := len(a.Value.String()); n > most {
						t.Errorf("%s of %s has %d bytes", a.Key, name, n)
					}
				}
			}
		}
		if series > 300 {
			t.Errorf("%d time series", series)
		}
		closeBus(t, bus)
		for _, s := range l.spans.GetSpans() {
			size := len(s.Status.Description)
			for _, a := range s.Attributes {
				size += len(a.Value.String())
			}
			for _, e := range s.Events {
				for _, a := range e.Attributes {
					size += len(a.Value.String())
				}
			}
			if size > 20*most {
				t.Errorf("the span %s has %d bytes", s.Name, size)
			}
		}
		for line := range strings.Lines(book.String()) {
			if len(line) > 4<<10 {
				t.Fatalf("a log record of %d bytes: %.300s", len(line), line)
			}
		}
		for _, r := range cluster.Records(orderLetters) {
			if text, _ := r.Header("eventbus-dlq-error"); len(text) > 4<<10 {
				t.Errorf("a dead letter's error has %d bytes", len(text))
			}
		}
	})
}

// Headers of redelivery come from outside too: a count never wraps around.
func TestForeignRedeliveries(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"9223372036854775807": "1000001", "99999999999999999999999": "1000001", "-7": "1", "x": "1", "2": "3", "": "1",
	} {
		r := transport.Record{Topic: "a.dlq", Headers: []transport.Header{
			{Key: letter.Topic, Value: []byte("a")}, {Key: letter.Redeliveries, Value: []byte(value)}, {Key: letter.OriginPartition, Value: []byte(value)},
		}}
		l, _ := letter.Read(&r)
		again := l.Again()
		if got, _ := again.Header(letter.Redeliveries); string(got) != want {
			t.Errorf("%q and one more is %s, want %s", value, got, want)
		}
		e := wire.Event{Headers: r.Headers}
		if letter.Redelivered(&e); e.Redeliveries < 0 || e.Redeliveries > 1_000_000 || e.Origin.Partition.Partition < 0 {
			t.Errorf("%q reads as %d, of partition %d", value, e.Redeliveries, e.Origin.Partition.Partition)
		}
	}
}
