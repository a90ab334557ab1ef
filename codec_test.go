package eventbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/eventid"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type unhappy struct {
	Name    string
	Nested  struct{ Ratio float64 }
	Items   []struct{ Done chan int }
	Extra   any
	ByName  map[string]any
	Skipped func() `json:"-"`
	Empty   func() `json:",omitzero"`
	Self    *unhappy
	Method  marshals
}

type marshals struct{ err error }

func (m marshals) MarshalJSON() ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	return []byte(`"fine"`), nil
}

var unhappyTopic = NewTopic(TopicConfig[unhappy]{Domain: "a", Name: "b", Type: "Unhappy"})

func TestSerializationFaultsNameTheField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*unhappy)
		want   string
	}{
		"NaN":            {func(u *unhappy) { u.Nested.Ratio = math.NaN() }, "field Nested.Ratio: json: unsupported value: NaN"},
		"channel":        {func(u *unhappy) { u.Items = []struct{ Done chan int }{{}} }, "field Items[0].Done: json: unsupported type: chan int"},
		"function":       {func(u *unhappy) { u.Extra = func() {} }, "field Extra: json: unsupported type: func()"},
		"complex in map": {func(u *unhappy) { u.ByName = map[string]any{"secret": 1i} }, "field ByName[…]: json: unsupported type: complex128"},
		"map keys":       {func(u *unhappy) { u.Extra = map[bool]int{true: 1} }, "field Extra: json: unsupported type: map[bool]int"},
		"cycle":          {func(u *unhappy) { u.Self = u }, "field Self.Self: json: unsupported value: encountered a cycle"},
		"method":         {func(u *unhappy) { u.Method.err = errors.New("secret") }, "field Method: the method of eventbus.marshals that encodes it failed (*errors.errorString)"},
	} {
		t.Run(name, func(t *testing.T) {
			var u unhappy
			c.change(&u)
			e, err := unhappyTopic.Encode(u)
			if e != nil || !errors.Is(err, ErrSerialization) || !strings.HasPrefix(err.Error(), "CloudEvent serialization failed: eventbus.unhappy: ") ||
				!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := NewTopic(TopicConfig[*unhappy]{Domain: "a", Name: "b"}).Encode(nil); !errors.Is(err, ErrSerialization) || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("a nil event: %v", err)
	}
}

func TestDecodingFaultsShowNoData(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"customerId":4711}`:       `field "customerId": a JSON number can't be decoded into string`,
		`{"createdAt":"secret"}`:    `field "createdAt": the time is not in RFC 3339`,
		`{"customerId":"secret`:     "the JSON is cut off at byte 21",
		`[4711]`:                    "a JSON array can't be decoded into eventbus.customerCreated",
		``:                          "the event has no data",
		" \n":                       "the event has no data",
		` null `:                    "the event's data is null",
		`{"customerId":"secret"} {`: "it is not valid JSON at byte 25",
	} {
		topic := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b"})
		v, err := topic.Decode(&Envelope{Data: []byte(data)})
		if err == nil || v != (customerCreated{}) || !strings.Contains(err.Error(), "into eventbus.customerCreated: "+want) ||
			strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %+v, %v, want %q", data, v, err, want)
		}
	}
	if _, err := payments.Decode(&Envelope{Tombstone: true}); err == nil || !strings.Contains(err.Error(), "tombstone") {
		t.Errorf("a tombstone: %v", err)
	}
	var kind *json.UnmarshalTypeError
	if _, err := payments.Decode(&Envelope{Data: []byte("[]")}); !errors.As(err, &kind) {
		t.Errorf("the cause is gone from %v", err)
	}
}

// spy is a codec that records what codecs see.
type spy struct {
	mu     sync.Mutex // handlers decode while a publisher encodes
	seen   any
	data   []byte
	err    error
	retype string
	header string
	where  []string // topic, key, source and number of headers at each Encode
}

func (*spy) ContentType() string { return "application/spy" }

func (s *spy) Encode(_ context.Context, dst []byte, e *Envelope, v any) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = v
	if s.retype != "" {
		e.DataContentType = s.retype
	}
	s.where = append(s.where, fmt.Sprintf("%s %s %s %d", e.Topic, e.Key, e.Source, len(e.Headers)))
	if s.header != "" {
		e.Headers = append(e.Headers, transport.Header{Key: s.header, Value: []byte{byte(len(s.where))}})
	}
	return append(dst, s.data...), s.err
}

func (s *spy) Decode(_ context.Context, _ *Envelope, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = v
	return s.err
}

func TestCodecsSeeASinglePointer(t *testing.T) {
	t.Parallel()
	var s spy
	byValue := NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Codec: &s})
	byPointer := NewTopic(TopicConfig[*paymentProcessed]{Domain: "a", Name: "b", Codec: &s})
	check := func(what string, err error) {
		t.Helper()
		if v, ok := s.seen.(*paymentProcessed); !ok || v == nil || err != nil {
			t.Errorf("%s: the codec saw %T, %v", what, s.seen, err)
		}
	}
	_, err := byValue.Encode(paid)
	check("encoding a value", err)
	_, err = byPointer.Encode(&paid)
	check("encoding a pointer", err)
	_, err = byValue.Decode(&Envelope{})
	check("decoding a value", err)
	first, err := byPointer.Decode(&Envelope{})
	check("decoding a pointer", err)
	if second, _ := byPointer.Decode(&Envelope{}); first == second || first == nil {
		t.Error("two events share one value")
	}
}

func TestCodecAttributesAndErrors(t *testing.T) {
	t.Parallel()
	s := spy{retype: "application/spy; schema=7"}
	topic := NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Codec: &s})
	e, err := topic.Encode(paid)
	if err != nil || e.DataContentType != "application/spy; schema=7" || e.Data == nil {
		t.Errorf("%+v, %v", e, err)
	}
	down := errors.New("registry down")
	s.err = Unavailable(down)
	if _, err := topic.Encode(paid); !isUnavailable(err) || !errors.Is(err, down) || errors.Is(err, ErrSerialization) {
		t.Errorf("encoding without the registry: %v", err)
	}
	if _, err := topic.Decode(&Envelope{}); !isUnavailable(err) || !errors.Is(err, down) {
		t.Errorf("decoding without the registry: %v", err)
	}
	s.err = errors.New("bad")
	if _, err := topic.Decode(&Envelope{}); isUnavailable(err) || !errors.Is(err, s.err) {
		t.Errorf("decoding what is invalid: %v", err)
	}
	if Unavailable(nil) != nil {
		t.Error("Unavailable(nil) is an error")
	}
}

// The buffer that encode returns can hold the next event. Key and data of this one
// don't overlap, whatever their sizes, in any memory that the codec returned.
func TestEncodeBuffer(t *testing.T) {
	t.Parallel()
	s := spy{}
	topic := NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Codec: &s})
	var buf []byte
	for _, size := range []int{0, 10, 1000, 3, 5000, 0} {
		s.data = bytes.Repeat([]byte{'d'}, size)
		var e Envelope
		var err error
		if buf, err = topic.encode(t.Context(), &e, paid, &publishSettings{}, buf); err != nil {
			t.Fatal(err)
		}
		if string(e.Key) != "o1" || !bytes.Equal(e.Data, s.data) || e.Data == nil {
			t.Errorf("size %d: key %q, %d bytes of data", size, e.Key, len(e.Data))
		}
	}
	if cap(buf) < 5000 {
		t.Errorf("the buffer has room for %d bytes after 5,000", cap(buf))
	}
}

// Many goroutines can use one topic, and no event gets another's fields.
func TestTopicIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	topic := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b", Key: func(e customerCreated) string { return e.CustomerID }})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				want := customerCreated{CustomerID: fmt.Sprintf("%d-%d", worker, i)}
				if i%2 == 0 {
					want.Name = "even"
				}
				e, err := topic.Encode(want)
				if err != nil || string(e.Key) != want.CustomerID {
					t.Errorf("%v, %v", e, err)
					return
				}
				if got, err := topic.Decode(e); err != nil || got != want {
					t.Errorf("%+v became %+v, %v", want, got, err)
				}
				if got, err := topic.Decode(&Envelope{Data: []byte("{}")}); err != nil || got != (customerCreated{}) {
					t.Errorf("an empty event has %+v, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkTopicEncode(b *testing.B) {
	topic := NewTopic(TopicConfig[jsonEvent]{Domain: "a", Name: "b", Key: func(e jsonEvent) string { return e.ID }})
	v, e, s, buf := aJSONEvent(), new(Envelope), new(publishSettings), []byte(nil)
	s.time = time.Now()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = topic.encode(ctx, e, v, s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTopicDecode(b *testing.B) {
	topic := NewTopic(TopicConfig[jsonEvent]{Domain: "a", Name: "b", Key: func(e jsonEvent) string { return e.ID }})
	e, err := topic.Encode(aJSONEvent())
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := topic.decode(ctx, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventID(b *testing.B) {
	var ids eventid.Generator
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		ids.Next(now)
	}
}

// A codec sees the event's topic, key and source, and each event of a batch has the
// header of its own encoding.
func TestCodecsSeeTopicKeyAndSource(t *testing.T) {
	t.Parallel()
	s := spy{data: []byte("x"), header: "__value_schema_id"}
	topic := NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Codec: &s, Key: func(paymentProcessed) string { return "k" }})
	bus, err := New(memory.New(), Config{Service: "svc", Environment: "Test", Source: "urn:svc"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(t.Context()) })
	got := make(chan []byte, 8)
	if err := Subscribe(bus, topic, func(ctx context.Context, _ paymentProcessed) error {
		e, _ := EnvelopeFrom(ctx)
		var own []byte
		for _, h := range e.Headers {
			if h.Key == s.header {
				own = append(own, h.Value...)
			}
		}
		got <- own
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := NewPublisher(bus, topic).PublishBatch(t.Context(), make([]paymentProcessed, 3), WithHeader("x", "y"), WithHeader("x", "z"), WithHeader("x", "0")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if own := <-got; len(own) != 1 || int(own[0]) != i+1 {
			t.Errorf("event %d has the codec's headers %v", i+1, own)
		}
		if want := "test.a.public.b.v1 k urn:svc 3"; s.where[i] != want {
			t.Errorf("Encode saw %q, want %q", s.where[i], want)
		}
	}
}

type starting struct {
	spy
	topics []string
	fails  error
}

func (s *starting) Start(_ context.Context, topic string) error {
	s.topics = append(s.topics, topic)
	return s.fails
}

func TestCodecsAreStarted(t *testing.T) {
	t.Parallel()
	c := starting{fails: errors.New("schema 7 is missing")}
	topic := NewTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Codec: &c})
	bus, err := New(memory.New(), Config{Service: "svc", Environment: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(t.Context()) })
	NewPublisher(bus, topic)
	if err := bus.Start(t.Context()); !errors.Is(err, c.fails) || !strings.Contains(err.Error(), "test.a.public.b.v1, type paymentProcessed: schema 7") {
		t.Errorf("start: %v", err)
	}
	c.fails = nil
	if err := bus.Start(t.Context()); err != nil || len(c.topics) != 2 {
		t.Errorf("started again: %v, %v", err, c.topics)
	}
}

// around is a codec around another, and starts nothing itself.
type around struct{ Codec }

func (a around) Unwrap() Codec { return a.Codec }

// TestWrappedCodecsAreStarted: wrappers need not pass Start on, however deeply the
// codec is wrapped.
func TestWrappedCodecsAreStarted(t *testing.T) {
	inside := &starting{}
	for name, c := range map[string]Codec{"once": around{inside}, "twice": around{around{inside}}, "the codec itself": inside} {
		inside.topics = nil
		s := starterOf(c)
		if s == nil {
			t.Fatalf("%s: nothing is started", name)
		}
		if err := s.Start(t.Context(), name); err != nil || len(inside.topics) != 1 {
			t.Errorf("%s: %v, %v", name, err, inside.topics)
		}
	}
	if s := starterOf(around{JSON()}); s != nil {
		t.Errorf("%T is started", s)
	}
}
