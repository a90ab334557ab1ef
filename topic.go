package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/eventid"
	"github.com/eventbus-go/eventbus/internal/keypath"
)

// TopicConfig declares a topic and one type of event on it. Domain and Name, or
// Address, are required; every other field has a working default.
type TopicConfig[T any] struct {
	// Domain is the second part of the topic's name: who owns the events.
	Domain string
	// Name is the fourth part: what the events are about, such as customer or
	// order-payment. Plural puts its last word into the plural.
	Name   string
	Plural bool
	// Scope is the third part: Public, or Internal for a service's own events.
	Scope Scope
	// Version is the last part, v1 by default. Unversioned omits it.
	Version     string
	Unversioned bool

	// Address is the full name of an existing topic, in place of all the fields above.
	// {env} in it stands for the environment's segment (dev, prod). Addresses lists, by
	// segment, the names that follow no pattern. The bus never creates such a topic
	// unless Create is set.
	Address   string
	Addresses map[string]string
	Create    bool
	// Format is how records are read and written, CloudEvents by default. Package
	// format has the formats of other programs.
	Format Format
	// Partitioner chooses the partition of a key, as the topic's other writers do.
	// The default is the one of Kafka's Java client.
	Partitioner Partitioner

	// Type is the CloudEvents type, which chooses the handler: the name of T by
	// default. It is required if T is generic or has no name. Several topics with
	// one name and different types share a Kafka topic.
	Type string
	// Key returns the key of an event. Events with one key are handled in order, one
	// at a time. If Key is nil, the key comes from T's method PartitionKey() string,
	// or from its fields tagged `eventbus:"key"`, or `eventbus:"key=1"`,
	// `eventbus:"key=2"` and so on, joined by '|' ('|' and '\' in a field are escaped
	// by '\'). If T has none of these, its events have no key and no order, and are
	// spread over the partitions. The empty string is a key.
	Key func(T) string
	// Unkeyed says that the events have no key on purpose, or that every publish
	// sets one by WithKey. Without it, making a publisher of a T without a key logs
	// a warning, since a forgotten tag costs the events their order.
	Unkeyed bool
	// Codec encodes the data, JSON by default.
	Codec Codec
	// DataSchema is the URI of the data's schema.
	DataSchema string

	// Partitions, Replication, Retention, Compacted and Configs apply when the bus
	// creates the topic. Zero means the broker's default; a negative Retention keeps
	// records without limit. A compacted topic keeps the last event of each key, so
	// its events need one. Configs are Kafka's topic configurations by name.
	Partitions  int32
	Replication int16
	Retention   time.Duration
	Compacted   bool
	Configs     map[string]string
	// Description and Owner are for people and catalogues: what the events mean, and
	// which team is responsible for the topic.
	Description string
	Owner       string
	// Examples are events for catalogues and documents, which invent some if there
	// are none. They end up in files, so put no real data into them.
	Examples []T
}

// Topic is a declared topic and one type of event on it. It does no I/O and is safe
// for concurrent use. Its identity is its pointer: declare each topic once, in the
// contracts package.
type Topic[T any] struct {
	decl  declare.Topic
	codec Codec
	key   keypath.Func[T] // nil: no keys
	// pointer is set if T is itself a pointer: codecs get that pointer, not one to it.
	pointer reflect.Type
	// values holds zeroed *T. It saves one allocation for each event that passes
	// through the codec's interface.
	values sync.Pool
	ids    eventid.Generator
}

// NewTopic declares a topic. It panics if the declaration can't work, naming every
// fault and what to write instead.
func NewTopic[T any](c TopicConfig[T]) *Topic[T] {
	d, wrong := declarationOf(&c)
	t := &Topic[T]{codec: c.Codec}
	if t.codec == nil {
		t.codec = JSON()
	}
	if d.Form = formOf(c.Format, d.Typ, &wrong); d.Form != nil {
		d.Form.Bound = bindsID(t.codec)
	}
	d.CodecName = t.codec.ContentType()
	declare.CheckContentType(&wrong, d.CodecName)
	if c, ok := innermost(t.codec).(typeChecker); ok {
		if why := c.fault(reflect.TypeFor[T]()); why != "" {
			wrong.Add("Codec", "%s", why)
		}
	}
	if rt := reflect.TypeFor[T](); rt.Kind() == reflect.Pointer {
		t.pointer = rt.Elem()
		if t.pointer.Kind() == reflect.Pointer {
			wrong.Add("T", "is %s: use %s or %s", rt, t.pointer, t.pointer.Elem())
		}
	}
	t.key, d.KeySource = keypath.Compile(c.Key, &wrong)
	d.Keyed, d.Unkeyed = t.key != nil, c.Unkeyed
	if d.Keyed && d.Unkeyed {
		wrong.Add("Unkeyed", "is set and %s has a key, by its %s: remove one of the two", d.GoType, d.KeySource)
	}
	if d.Compacted && !d.Keyed {
		wrong.Add("Compacted", "is set and %s has no key to compact by: set Key, or tag its fields eventbus:\"key\"", d.GoType)
	}
	if len(wrong) > 0 {
		panic(fmt.Sprintf("eventbus.NewTopic[%s]: %s", d.GoType, strings.Join(wrong, "; ")))
	}
	if c := starterOf(t.codec); c != nil {
		d.StartCodec = c.Start
	}
	d.ID = t
	d.Samples = t.samples(c.Examples)
	t.decl = d
	t.values.New = func() any { return new(T) }
	return t
}

// In returns the topic's full name in an environment, as a bus with that
// Config.Environment uses it: In("Development") is "dev.sales.public.customers.v1".
// It panics if [EnvironmentSegment] returns an error or the name is longer than Kafka
// allows; a bus returns these as errors.
func (t *Topic[T]) In(env string) string {
	name, err := t.decl.Resolve(env)
	if err != nil {
		panic("eventbus: " + err.Error())
	}
	return name
}

// Type returns the CloudEvents type of the topic's events.
func (t *Topic[T]) Type() string { return t.decl.Typ }

// KeyOf returns the key that an event is published with. It returns false if the event
// has none: the topic has no keys, or a pointer on the path to a key field is nil.
func (t *Topic[T]) KeyOf(v T) (string, bool) {
	if t.key == nil {
		return "", false
	}
	key, err := t.key(nil, &v)
	return string(key), err == nil
}

// Encode returns the envelope of an event: what Publish would send, without what only
// a bus knows (Source, Topic, the trace). A value that can't be encoded is an
// [ErrSerialization].
func (t *Topic[T]) Encode(v T, options ...PublishOption) (*Envelope, error) {
	var s publishSettings
	for _, o := range options {
		apply(&s, o)
	}
	e := new(Envelope)
	if _, err := t.encode(context.Background(), e, v, &s, nil); err != nil {
		return nil, err
	}
	e.Timestamp = time.Time{} // no record has it yet
	return e, nil
}

// Decode decodes the event in an envelope. The value owns its memory, unless the
// topic's codec says otherwise.
func (t *Topic[T]) Decode(e *Envelope) (T, error) { return t.decode(context.Background(), e) }

// Declaration returns the topic's declaration, for packages of this module.
func (t *Topic[T]) Declaration() *declare.Topic {
	if t == nil { // a variable used before it is set
		return nil
	}
	return &t.decl
}

// AnyTopic is a Topic[T] of any T. No other type implements it.
type AnyTopic interface {
	In(env string) string
	Type() string
	Declaration() *declare.Topic
	// publish publishes an event that is of the topic's type.
	publish(ctx context.Context, bus *Bus, event any, options []PublishOption) error
}

// encode sets the fields of e that topic, value and settings determine. Where a bus
// publishes, Source and Topic are set before, and the trace is set later. Key and Data
// may lie in buf, whose content is lost. The returned buffer may be reused for the next
// event once e is no longer needed.
//
// An event of a keyed topic that has no key is an error: written without one it would
// silently lose its place in the order.
func (t *Topic[T]) encode(ctx context.Context, e *Envelope, v T, s *publishSettings, buf []byte) ([]byte, error) {
	if err := s.err(); err != nil {
		return buf, err
	}
	p := t.values.Get().(*T)
	*p = v
	buf, err := t.encodeValue(ctx, e, p, s, buf)
	var zero T
	*p = zero
	t.values.Put(p)
	return buf, err
}

func (t *Topic[T]) encodeValue(ctx context.Context, e *Envelope, p *T, s *publishSettings, buf []byte) (_ []byte, err error) {
	if t.pointer != nil && reflect.ValueOf(p).Elem().IsNil() {
		return buf, fmt.Errorf("%w: %s: %w", ErrSerialization, t.decl.GoType, keypath.ErrNilEvent)
	}
	s.fill(e, &t.ids)
	e.Type, e.DataContentType, e.DataSchema = t.decl.Typ, t.decl.CodecName, t.decl.DataSchema
	buf = buf[:0]
	switch {
	case s.keyed:
		buf = append(buf, s.key...)
	case t.key != nil:
		if buf, err = t.key(buf, p); err != nil {
			return buf, fmt.Errorf("event of type %s has no key: %w", t.decl.Typ, err)
		}
	}
	key := buf[:len(buf):len(buf)]
	if s.keyed || t.key != nil {
		e.Key = nonNil(key)
	}
	room := buf[len(buf):]
	data, err := t.codec.Encode(ctx, room, e, t.codecValue(p))
	if err != nil {
		return buf, encodeError(t.decl.GoType, err)
	}
	e.Data = nonNil(data)
	if len(data) > cap(room) {
		// It did not fit, and the codec may have returned memory of its own: make a
		// buffer with enough room for the next event.
		return make([]byte, 0, 2*(len(key)+len(data))), nil
	}
	return buf, nil
}

// nonNil distinguishes empty keys and data from absent ones.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// fill sets the attributes that options have given, and new ids and times for the rest.
func (s *publishSettings) fill(e *Envelope, ids *eventid.Generator) {
	now := time.Now()
	e.ID, e.Time, e.Timestamp = s.id, s.time, now
	if e.ID == "" {
		e.ID = ids.Next(now)
	}
	if e.Time.IsZero() {
		e.Time = now.UTC()
	}
	e.Subject, e.CorrelationID, e.CausationID = s.subject, s.correlationID, s.causationID
	// Clipped, so that a header appended by a codec belongs to this event alone.
	e.Extensions, e.Headers = s.extensions, slices.Clip(s.headers)
}

// decode decodes e.Data into a value.
func (t *Topic[T]) decode(ctx context.Context, e *Envelope) (v T, err error) {
	if e.Tombstone {
		return v, decodeError(t.decl.GoType, errors.New("the event is a tombstone, which has no data"))
	}
	p := t.values.Get().(*T)
	if t.pointer != nil {
		reflect.ValueOf(p).Elem().Set(reflect.New(t.pointer))
	}
	if err = t.codec.Decode(ctx, e, t.codecValue(p)); err == nil {
		v = *p
	} else {
		err = decodeError(t.decl.GoType, err)
	}
	var zero T
	*p = zero
	t.values.Put(p)
	return v, err
}

// codecValue returns the pointer that codecs get: one level deep, even if T is a
// pointer.
func (t *Topic[T]) codecValue(p *T) any {
	if t.pointer != nil {
		return any(*p)
	}
	return any(p)
}
