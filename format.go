package eventbus

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Format is the form of a topic's records: how a record becomes an envelope, and back. Topics
// use CloudEvents unless [TopicConfig] has a Format; package format has those of other
// programs. A Format must be safe for concurrent use. Its value must be comparable, since
// the topics of one Kafka name share it.
//
// A record that does not fit, by an error or a panic of Type or Decode, goes to the
// dead-letter topic as it is. Retries don't change that, so a Format reads nothing
// but the record. Tombstones belong to every format: Decode may see one, and its
// error does not count then.
type Format interface {
	// Name returns the format's name in catalogues and errors, such as "plain".
	Name() string
	// Type returns the CloudEvents type of a record, which chooses the handler, or "" if
	// records name none: they then have the one type that the topic is declared with. It
	// must not change the record, which belongs to the caller.
	Type(r *transport.Record) (string, error)
	// Decode sets ID, Source, Time, Data and the other attributes in e, as far as the record
	// has them. On entry Key, Headers and the record's position are set, and Data is the
	// record's value. By default ID becomes the record's position and timestamp, Source
	// "urn:kafka:{topic}", and Time the record's. Data may share r's memory.
	//
	// The record's position is the one at which it was first read, even if it came back from
	// the dead-letter topic, so that what is derived from it stays the same.
	Decode(r *transport.Record, e *Envelope) error
	// Encode sets r.Value and r.Headers, which are e.Data and e.Headers on entry. The bus sets
	// topic and key. An error refuses the publish: return one for what the format can't
	// represent, rather than dropping it.
	Encode(e *Envelope, r *transport.Record) error
}

// formOf returns a format as the lower layers know it, nil for CloudEvents.
func formOf(f Format, typ string, wrong *declare.Faults) *wire.Form {
	if f == nil {
		return nil
	}
	if v := reflect.ValueOf(f); !v.Comparable() { // its type may be, and what an interface in it holds not
		wrong.Add("Format", "is a %s, which can't be compared: use a pointer to it", v.Type())
		return nil
	}
	return &wire.Form{
		Name: f.Name(), OnlyType: typ, ID: f,
		// What it panics at would be read again and again, outside of any attempt.
		TypeOf: func(r *transport.Record) (typ string, err error) {
			defer rescue(&err, "Format.Type")
			return f.Type(r)
		},
		Read: func(r *transport.Record, e *wire.Event) (err error) {
			defer rescue(&err, "Format.Decode")
			return f.Decode(r, (*Envelope)(e))
		},
		Write: func(e *wire.Event, r *transport.Record) error { return f.Encode((*Envelope)(e), r) },
	}
}

// checkAddress checks the full names that a declaration has in place of name parts, and sets
// its suffix.
func checkAddress(wrong *declare.Faults, d *declare.Topic, parts bool) {
	if parts {
		wrong.Add("Address", "is set beside parts of a name: remove Domain, Name, Plural, Scope, Version and Unversioned")
	}
	d.Suffix = d.Address
	for env, name := range d.Addresses {
		if segment, err := naming.Environment(env); err != nil || segment != env {
			wrong.Add("Addresses", "has the environment %q: write its segment, as dev, test, stag or prod", env)
		} else if err := naming.CheckTopicName(name); err != nil {
			wrong.Add("Addresses", "has for %s a name that Kafka refuses: %v", env, err)
		}
	}
	if err := naming.CheckTopicName(d.In("prod")); err != nil && d.Addresses["prod"] == "" {
		wrong.Add("Address", "is a name that Kafka refuses: %v", err)
	}
}

// checkForm returns an error if two declarations of one Kafka topic differ in the form of its
// records or in the partitions of its keys.
func checkForm(name string, a, b *declare.Topic) error {
	var wrong []error
	if x, y := idOf(a.Form), idOf(b.Form); x != y {
		wrong = append(wrong, fmt.Errorf("topic %s: Format is %s for %s and %s for %s: share one Format", name, a.FormName(), a.Typ, b.FormName(), b.Typ))
	}
	if a.Partitioner != b.Partitioner {
		wrong = append(wrong, fmt.Errorf("topic %s: Partitioner is %s for %s and %s for %s: use one", name, a.Partitioner, a.Typ, b.Partitioner, b.Typ))
	}
	return errors.Join(wrong...)
}

func idOf(f *wire.Form) any {
	if f == nil {
		return nil
	}
	return f.ID
}

// Partitioner chooses the partition of a record by its key. All writers of a topic must agree
// on it, or the order of a key is lost; see [TopicConfig]. The zero value is Murmur2.
type Partitioner = declare.Partitioner

// Murmur2 returns the default partitioner, that of Kafka's Java client, and so of franz-go,
// Kafka Streams and Spring.
func Murmur2() Partitioner { return declare.Murmur2 }

// FNV1a returns the partitioner of kafka-go's Hash and sarama's default, which Watermill
// uses: FNV-1a with a signed remainder.
func FNV1a() Partitioner { return declare.FNV1a }

// CRC32 returns the default partitioner of librdkafka, and so of Confluent's clients for
// .NET, Python, Go and Node.js.
func CRC32() Partitioner { return declare.CRC32 }

// KnowsPartitioner reports whether this version can publish with an Envelope.Partitioner.
func KnowsPartitioner(name string) bool {
	_, ok := declare.PartitionerNamed(name)
	return ok
}

// PartitionBy returns a custom partitioner. choose is called concurrently, for keys that are
// not nil, and must return a number in [0, partitions).
func PartitionBy(name string, choose func(key []byte, partitions int32) int32) Partitioner {
	return declare.PartitionBy(name, choose)
}

// partitioners has the topics, by full name, whose partitioner is not the default. The zero
// value has none. It is safe for concurrent use.
type partitioners struct {
	mu sync.Mutex
	by atomic.Pointer[map[string]Partitioner] // replaced, never changed
}

func (p *partitioners) set(topic string, to Partitioner) {
	if to == Murmur2() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.by.Load()
	if known != nil && (*known)[topic] == to {
		return
	}
	next := make(map[string]Partitioner)
	if known != nil {
		maps.Copy(next, *known)
	}
	next[topic] = to
	p.by.Store(&next)
}

// Of returns the partition of a key in a topic with n partitions.
func (p *partitioners) Of(topic string, key []byte, n int32) int32 {
	if by := p.by.Load(); by != nil {
		return (*by)[topic].Of(key, n)
	}
	return Murmur2().Of(key, n)
}
