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
// Address, are required; everything else has a default that works.
type TopicConfig[T any] struct {
	// Domain is the second part of the topic's name: whose events these are.
	Domain string
	// Name is the fourth part: what they are about, as customer or
	// order-payment. Plural puts its last word into the plural.
	Name   string
	Plural bool
	// Scope is the third part: Public, or Internal for a service's own events.
	Scope Scope
	// Version is the last part, v1 by default; Unversioned leaves it away.
	Version     string
	Unversioned bool

	// Address is the full name of a topic that is there already, in place of all the
	// above. {env} in it stands for the environment's segment (dev, prod), and
	// Addresses has the names that follow no pattern, by segment. Unless Create is set
	// the bus never creates such a topic.
	Address   string
	Addresses map[string]string
	Create    bool
	// Format is how records are read and written, CloudEvents by default. Package
	// format has those of other programs.
	Format Format
	// Partitioner chooses the partition of a key, as the topic's other writers do.
	// The default is that of Kafka's Java client.
	Partitioner Partitioner

	// Type is the CloudEvents type, which chooses the handler: the name of T
	// by default. A T that is generic or has no name must set it. Several
	// topics with one name and different types share a Kafka topic.
	Type string
	// Key gives the key of an event: events with one key are handled in order,
	// one at a time. Nil takes the method PartitionKey() string of T, or its
	// fields tagged `eventbus:"key"`, or `eventbus:"key=1"`, `eventbus:"key=2"`
	// and so on, which are joined by '|' ('|' and '\' in them are preceded by
	// '\'). Events of a T that has none of these have no key, no order, and
	// are spread over the partitions. The empty string is a key.
	Key func(T) string
	// Unkeyed says that the events have no key on purpose, or that every publish
	// sets one by WithKey. Without it a bus logs a warning when it is to publish
	// events of a T without a key, since a forgotten tag costs their order.
	Unkeyed bool
	// Codec encodes the data, JSON by default.
	Codec Codec
	// DataSchema is the URI of the schema that the data follows.
	DataSchema string

	// Partitions, Replication, Retention, Compacted and Configs are how the
	// topic is created where the bus may do that. Zero means the broker's
	// default; a negative Retention keeps records without limit. Compacted topics
	// keep the last event of each key, and so need one. Configs are Kafka's
	// topic configurations by name.
	Partitions  int32
	Replication int16
	Retention   time.Duration
	Compacted   bool
	Configs     map[string]string
	// Description and Owner are for people, and for catalogues: what the events
	// tell, and which team answers for the topic.
	Description string
	Owner       string
	// Examples are events for catalogues and documents, which make some up where
	// there are none. They are kept in files, so they hold no real data.
	Examples []T
}

// Topic is a declared topic and one type of event on it. It does no I/O and is
// safe for concurrent use. Its identity is its pointer: declare each topic once,
// in the package of the contract.
type Topic[T any] struct {
	decl  declare.Topic
	codec Codec
	key   keypath.Func[T] // nil: no keys
	// pointer: T is itself a pointer, which codecs see in place of one to it.
	pointer reflect.Type
	// values are *T, zeroed: they spare one allocation per event on its way
	// through the codec's interface.
	values sync.Pool
	ids    eventid.Generator
}

// NewTopic declares a topic. It panics when the declaration can't work, and says
// everything that is wrong with it and what to write instead.
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
// It panics where [EnvironmentSegment] has an error or the name gets longer than
// Kafka allows, which a bus returns as errors.
func (t *Topic[T]) In(env string) string {
	name, err := t.decl.Resolve(env)
	if err != nil {
		panic("eventbus: " + err.Error())
	}
	return name
}

// Type returns the CloudEvents type of the topic's events.
func (t *Topic[T]) Type() string { return t.decl.Typ }

// KeyOf returns the key that an event is published with, and false if it has
// none: its topic has no keys, or a pointer on the way to a key field is nil.
func (t *Topic[T]) KeyOf(v T) (string, bool) {
	if t.key == nil {
		return "", false
	}
	key, err := t.key(nil, &v)
	return string(key), err == nil
}

// Encode makes the envelope of an event: what Publish would send, without what
// only a bus knows (Source, Topic, the trace). Errors of encoding are
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
	e.Timestamp = time.Time{} // it is no record's yet
	return e, nil
}

// Decode reads an event out of its envelope. The value owns its memory, unless
// the topic's codec says otherwise.
func (t *Topic[T]) Decode(e *Envelope) (T, error) { return t.decode(context.Background(), e) }

// Declaration returns what the topic was declared with, for packages of this
// module.
func (t *Topic[T]) Declaration() *declare.Topic {
	if t == nil { // a variable that is used before it is set
		return nil
	}
	return &t.decl
}

// AnyTopic is a Topic[T] of any T. Nothing else implements it.
type AnyTopic interface {
	In(env string) string
	Type() string
	Declaration() *declare.Topic
	// publish publishes an event that is of the topic's type.
	publish(ctx context.Context, bus *Bus, event any, options []PublishOption) error
}

// encode sets in e all that topic, value and settings know; Source and Topic are
// there already where a bus publishes, and the trace comes later. Key and Data may lie in buf, whose content is lost.
// The buffer that comes back is for the next event, when e is not needed any more.
//
// An event of a keyed topic that has no key is refused: written without one it
// would lose its place in the order without a word.
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
		// It did not fit. What the codec returned may be memory of its own, so
		// the room for the next event is made here.
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

// fill sets what the options say, and new ids and times where they say nothing.
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
	// Clipped, so that a header that a codec appends is this event's alone.
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

// codecValue returns the pointer that codecs see: one level deep, also if T is a
// pointer.
func (t *Topic[T]) codecValue(p *T) any {
	if t.pointer != nil {
		return any(*p)
	}
	return any(p)
}
