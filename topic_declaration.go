package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// declarationOf checks a configuration and returns its declaration, without key and codec.
func declarationOf[T any](c *TopicConfig[T]) (d declare.Topic, wrong declare.Faults) {
	t := reflect.TypeFor[T]()
	d = declare.Topic{
		Domain: c.Domain, Name: c.Name, Scope: c.Scope.String(), Typ: c.Type, GoType: t.String(),
		Partitions: c.Partitions, Replication: c.Replication, Retention: c.Retention, Compacted: c.Compacted,
		Configs: maps.Clone(c.Configs), Description: c.Description, Owner: c.Owner, DataSchema: c.DataSchema,
		Address: c.Address, Addresses: maps.Clone(c.Addresses), Create: c.Create, Partitioner: c.Partitioner,
	}
	if c.Address != "" {
		d.Scope = ""
		checkAddress(&wrong, &d, c.Domain != "" || c.Name != "" || c.Plural || c.Scope != Public || c.Version != "" || c.Unversioned)
	} else {
		checkName(&wrong, &d, c)
	}
	if d.Typ == "" {
		d.Typ = declare.DeclareType(&wrong, t)
	}
	declare.CheckAttributes(&wrong, d.Typ, c.DataSchema)
	if d.Typ == grouptypes.Any {
		wrong.Add("Type", "is %q, which stands for all types where members of a group tell each other theirs: write a plain name such as %q", d.Typ, "CustomerCreated")
	}
	declare.CheckStorage(&wrong, &d)
	declare.CheckPartitioner(&wrong, c.Partitioner)
	return d, wrong
}

// checkName checks the parts of a topic's name and joins them.
func checkName[T any](wrong *declare.Faults, d *declare.Topic, c *TopicConfig[T]) {
	declare.CheckSegment(wrong, "Domain", c.Domain, "sales")
	declare.CheckSegment(wrong, "Name", c.Name, "order-payment")
	if c.Plural && naming.SegmentFault(c.Name) == "" {
		d.Name = naming.Plural(c.Name)
	}
	if c.Scope != Public && c.Scope != Internal {
		wrong.Add("Scope", "is %d: use eventbus.Public or eventbus.Internal", c.Scope)
	}
	if len(c.Addresses) > 0 || c.Create {
		wrong.Add("Addresses and Create", "are for a topic with an Address: set that, or remove them")
	}
	d.Version = declare.DeclareVersion(wrong, c.Version, c.Unversioned)
	d.Suffix = d.Joined()
	if most := naming.MaxTopicName - len("prod."); len(d.Suffix) > most {
		wrong.Add("Domain and Name", "make a topic name of %d characters with the environment, Kafka takes %d: shorten them", len(d.Suffix)+len("prod."), naming.MaxTopicName)
	}
}

// Scope is the audience of a topic, and the third part of its name.
type Scope int8

const (
	// Public topics carry integration events, the contract with other services.
	Public Scope = iota
	// Internal topics carry the domain events of one service.
	Internal
)

// String returns "public" or "internal", as in topic names.
func (s Scope) String() string {
	switch s {
	case Public:
		return "public"
	case Internal:
		return "internal"
	}
	return fmt.Sprintf("Scope(%d)", int8(s))
}

// EnvironmentSegment returns the first part of topic names in an environment: dev, prod, test
// or stag for Development, Production, Test or Staging, in any letter case, and any other name
// in lower case. It returns an error if the name can't be part of a topic's name.
func EnvironmentSegment(name string) (string, error) { return naming.Environment(name) }

// SchemaCodec is a Codec that has a schema of its data, for catalogues.
type SchemaCodec interface {
	Codec
	// SchemaText returns the schema in the format's own language: JSON for Avro and JSON
	// Schema, and {"message": name, "files": descriptors as JSON} for Protobuf. Package
	// catalog compares schemas by the codec's ContentType if that is application/avro,
	// application/protobuf or application/json, and as plain text otherwise.
	SchemaText() string
}

// samples returns values of T for catalogues.
func (t *Topic[T]) samples(examples []T) declare.Samples {
	codec := innermost(t.codec)
	s := declare.Samples{
		Type: reflect.TypeFor[T](),
		Key:  func(v any) (string, bool) { return t.KeyOf(*v.(*T)) },
		Encode: func(v any) ([]byte, error) {
			return codec.Encode(context.Background(), nil, new(Envelope), t.codecValue(v.(*T)))
		},
	}
	_, s.Wrapped = t.codec.(CodecWrapper)
	_, s.JSON = codec.(jsonCodec)
	if c, ok := codec.(SchemaCodec); ok {
		s.Schema = c.SchemaText()
	}
	for i := range examples {
		s.Given = append(s.Given, &examples[i])
	}
	return s
}

// registry has the topics that a bus publishes and handles, and the contradictions between
// them. Bus.mu guards it.
type registry struct {
	senders map[any]*sender              // by declaration identity
	types   map[[2]string]*declare.Topic // by Kafka name and type
	names   map[string]*declare.Topic    // by Kafka name: the first declaration that decides a setting
	created map[string]bool              // by Kafka name: created by this bus
	faults  []error
}

// err returns all contradictions, so that a failed start shows every one.
func (r *registry) err() error { return errors.Join(r.faults...) }

// acceptable returns the full name of a declaration's topic, and an error if it contradicts
// the others. The caller holds mu.
func (b *Bus) acceptable(d *declare.Topic) (name string, err error) {
	r := &b.topics
	name = d.In(b.config.env)
	if err := naming.CheckTopicName(name); err != nil {
		return name, err
	}
	if env := d.OtherEnvironment(b.config.env); env != "" {
		return name, fmt.Errorf("topic %s is one of the environment %s, and the bus is in %s: write %s in Address, or name it in Addresses", name, env, b.config.env, declare.EnvironmentMark)
	}
	if other := r.types[[2]string{name, d.Typ}]; other != nil && other.ID != d.ID {
		return name, fmt.Errorf("topic %s with type %s is declared twice, by %s and %s: share one Topic, or give one of them another Type",
			name, d.Typ, other.Described(), d.Described())
	}
	if other := r.names[name]; other != nil {
		if err := errors.Join(declare.SameStorage(name, other, d), checkForm(name, other, d)); err != nil {
			return name, err
		}
	}
	return name, errors.Join(b.refuseLetterName(name), naming.CheckCollisions(b.taken(), name))
}

// taken returns the names of all topics of the bus, including those of its groups. The caller
// holds mu.
func (b *Bus) taken() []string {
	names := slices.Collect(maps.Keys(b.topics.names))
	for _, g := range b.groups {
		for _, t := range g.topics {
			names = append(names, t.letters.Dead, t.letters.Retry)
		}
	}
	return names
}

// typesOf returns how many types are declared on a topic.
func (r *registry) typesOf(topic string) (n int) {
	for id := range r.types {
		if id[0] == topic {
			n++
		}
	}
	return n
}

// put adds a declaration under its full name. undo removes it, provided nothing was added
// after it.
func (r *registry) put(name string, d *declare.Topic) (undo func()) {
	if r.types == nil {
		r.types = make(map[[2]string]*declare.Topic)
		r.names = make(map[string]*declare.Topic)
	}
	id := [2]string{name, d.Typ}
	typ, named := r.types[id], r.names[name]
	r.types[id], r.names[name] = d, declare.Merged(named, d)
	return func() {
		if r.types[id] = typ; typ == nil {
			delete(r.types, id)
		}
		if r.names[name] = named; named == nil {
			delete(r.names, name)
		}
	}
}

// groupTopic is a topic as one group handles it.
type groupTopic struct {
	name   string
	shared sharedSettings
	// types has a subscription for each CloudEvents type, and tombstone is the one for records
	// without a value, if any. any, if not nil, takes everything else.
	types     map[string]*engine.Subscription
	tombstone *engine.Subscription
	any       *engine.Subscription
	form      *wire.Form     // of the records; nil for CloudEvents
	warned    telemetry.Once // of types that nobody handles
	letters   letterTopics
	// letterPartitions is the dead-letter topic's number of partitions, 0 until known.
	letterPartitions atomic.Int32
}

// of returns the subscription for a type, nil if there is none.
func (t *groupTopic) of(typ string) *engine.Subscription {
	if sub := t.types[typ]; sub != nil {
		return sub
	}
	return t.any
}

// tombstones returns the subscription for records without a value, nil if there is none.
func (t *groupTopic) tombstones() *engine.Subscription {
	if t.tombstone != nil {
		return t.tombstone
	}
	return t.any
}

// all yields the subscriptions by type: "" for tombstones, grouptypes.Any for any event.
func (t *groupTopic) all(yield func(typ string, sub *engine.Subscription) bool) {
	for typ, sub := range t.types {
		if !yield(typ, sub) {
			return
		}
	}
	if t.tombstone != nil && !yield("", t.tombstone) {
		return
	}
	if t.any != nil {
		yield(grouptypes.Any, t.any)
	}
}

// put stores sub in the place of s, or removes what is there if sub is nil.
func (t *groupTopic) put(s *subscription, sub *engine.Subscription) {
	switch {
	case s.any:
		t.any = sub
	case s.kind == tombstones:
		t.tombstone = sub
	case sub == nil:
		delete(t.types, s.decl.Typ)
	default:
		t.types[s.decl.Typ] = sub
	}
}

// taken returns the subscription in the place of s, nil if it is free.
func (t *groupTopic) taken(s *subscription) *engine.Subscription {
	switch {
	case s.any:
		return t.any
	case s.kind == tombstones:
		return t.tombstone
	}
	return t.types[s.decl.Typ]
}
