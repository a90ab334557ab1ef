package eventbus

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
)

// TopicConfig declares a topic and one type of event on it. Domain and Name are
// required; everything else has a default that works.
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
	// Codec encodes the data, JSON by default.
	Codec Codec
	// DataSchema is the URI of the schema that the data follows.
	DataSchema string

	// Partitions, Replication, Retention, Compacted and Configs are how the
	// topic is created where the bus may do that. Zero means the broker's
	// default; a negative Retention keeps records for ever. Compacted topics
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
}

// Topic is a declared topic and one type of event on it. It does no I/O and is
// safe for concurrent use. Its identity is its pointer: declare each topic once,
// in the package of the contract.
type Topic[T any] struct {
	decl  declare.Topic
	codec Codec
	key   keyFunc[T] // nil: no keys
	// pointer: T is itself a pointer, which codecs see in place of one to it.
	pointer reflect.Type
	// values are *T, zeroed: they spare one allocation per event on its way
	// through the codec's interface.
	values sync.Pool
	ids    eventIDs
}

// NewTopic declares a topic. It panics when the declaration can't work, and says
// everything that is wrong with it and what to write instead.
func NewTopic[T any](c TopicConfig[T]) *Topic[T] {
	d, wrong := declarationOf(&c)
	t := &Topic[T]{codec: c.Codec}
	if t.codec == nil {
		t.codec = JSON()
	}
	if rt := reflect.TypeFor[T](); rt.Kind() == reflect.Pointer {
		t.pointer = rt.Elem()
		if t.pointer.Kind() == reflect.Pointer {
			wrong.Add("T", "is %s: use %s or %s", rt, t.pointer, t.pointer.Elem())
		}
	}
	t.key, d.KeySource = compileKey(c.Key, &wrong)
	d.Keyed = t.key != nil
	if d.Compacted && !d.Keyed {
		wrong.Add("Compacted", "is set and %s has no key to compact by: set Key, or tag its fields eventbus:\"key\"", d.GoType)
	}
	if len(wrong) > 0 {
		panic(fmt.Sprintf("eventbus.NewTopic[%s]: %s", d.GoType, strings.Join(wrong, "; ")))
	}
	d.CodecName = t.codec.ContentType()
	if c, ok := t.codec.(CodecStarter); ok {
		d.StartCodec = c.Start
	}
	d.ID = t
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
		o.applyPublish(&s)
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

func (t *Topic[T]) declaration() *declare.Topic { return &t.decl }
