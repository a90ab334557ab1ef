package catalog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/declare"
)

// Version is the version of the documents that this package writes, and the newest
// that [Read] accepts. It increases with every new field.
const Version = 2

// Document describes a set of topics for people and tools, as JSON. [Of] makes it from
// declarations, [OfBus] from what a bus uses, [Read] from a file. Equal declarations
// make equal documents, byte for byte. A Document is plain data: it is safe to read
// concurrently, and shares no memory.
type Document struct {
	// Version is the version of the document's form. New documents have the constant
	// Version.
	Version int `json:"catalogVersion"`
	// Service and Environment are the Config fields of the bus that the document was
	// made from; empty if it was made from declarations only.
	Service     string `json:"service,omitempty"`
	Environment string `json:"environment,omitempty"`
	// Topics are the Kafka topics, by name.
	Topics []Topic `json:"topics"`
}

// Topic is one Kafka topic. Its storage is what its declarations say together; zero
// means the broker's default.
type Topic struct {
	// Name is the full name without the leading environment:
	// sales.public.customers.v1. Its parts follow. Version is empty for a topic
	// without one.
	Name   string `json:"name"`
	Domain string `json:"domain"`
	// Scope is public or internal.
	Scope   string `json:"scope"`
	Topic   string `json:"topic"`
	Version string `json:"version,omitempty"`
	// Names are the full names in the four usual environments: Development, Test,
	// Staging and Production. In returns the name in any other.
	Names map[string]string `json:"names"`
	// Owner is the team responsible for the topic; empty if none is declared.
	Owner string `json:"owner,omitempty"`

	// Address is the full name of a topic that is not named by its parts, which are
	// then empty, in the form of TopicConfig.Address. Addresses are its names in
	// single environments, by segment. No bus creates the topic unless Create is set.
	Address   string            `json:"address,omitempty"`
	Addresses map[string]string `json:"addresses,omitempty"`
	Create    bool              `json:"create,omitempty"`
	// Format and Partitioner are the names of those of TopicConfig; empty for
	// CloudEvents and for the Java client's partitioner.
	Format      string `json:"format,omitempty"`
	Partitioner string `json:"partitioner,omitempty"`

	Partitions  int32 `json:"partitions,omitempty"`
	Replication int16 `json:"replication,omitempty"`
	// RetentionMs is in milliseconds; −1 means unlimited.
	RetentionMs int64 `json:"retentionMs,omitempty"`
	// Compacted is set if only the last event of each key must be kept.
	Compacted bool `json:"compacted,omitempty"`
	// Configs are the other declared topic configurations, by Kafka's names. Spec
	// includes those that the fields above stand for.
	Configs map[string]string `json:"configs,omitempty"`

	// Events are the types of event on the topic, by type.
	Events []Event `json:"events"`
	// Groups are the consumer groups that handle the topic, in a document that was
	// made from a bus. LetterTopics returns their dead-letter and retry topics.
	Groups []string `json:"groups,omitempty"`
	// Letters lists the groups that chose the names of these topics, sorted by group.
	Letters []Letters `json:"letters,omitempty"`
}

// Event is one type of event on a topic.
type Event struct {
	// Type is the CloudEvent's type.
	Type string `json:"type"`
	// GoType is the type of the data, as package.Type. Events do not contain it.
	GoType string `json:"goType"`
	// Key says where the keys of the type's records come from.
	Key Key `json:"key"`
	// ContentType is the media type of the data.
	ContentType string `json:"contentType"`
	// DataSchema is the CloudEvents attribute, a URI; empty if it is not declared.
	DataSchema string `json:"dataSchema,omitempty"`
	// Description is the declaration's text for people.
	Description string `json:"description,omitempty"`
	// Schema is the JSON Schema (draft 2020-12) of the data if the codec is JSON, else
	// the codec's own schema, as a JSON string if it is not JSON. A Go type that marshals
	// itself, or has only certain values, says its JSON Schema by a method
	// JSONSchema() json.RawMessage, which is called on the zero value.
	Schema json.RawMessage `json:"schema,omitempty"`
	// Example is an encoded event, if the codec is JSON: the first of
	// TopicConfig.Examples, or a generated one.
	Example json.RawMessage `json:"example,omitempty"`
	// Published reports whether the bus that the document was made from has a
	// publisher of the type.
	Published bool `json:"published,omitempty"`
}

// Key says where the keys of a type come from.
type Key struct {
	// Source is the kind of source. It is never empty.
	Source KeySource `json:"source"`
	// Fields are the tagged fields, in the order in which they are joined.
	Fields []string `json:"fields,omitempty"`
	// Examples are the keys of generated events and of TopicConfig.Examples: they
	// change when the key of an event changes.
	Examples []string `json:"examples,omitempty"`
}

// KeySource is a kind of source of a type's keys.
type KeySource string

// The sources of keys, in the order in which a topic looks for them.
const (
	KeyFromFunction KeySource = "function" // TopicConfig.Key
	KeyFromMethod   KeySource = "method"   // PartitionKey() string
	KeyFromFields   KeySource = "fields"   // tagged `eventbus:"key"`
	NoKey           KeySource = "none"
)

// usualEnvironments are the environments of Topic.Names, which spare readers of a
// document the naming rule. The rule itself works for any environment.
var usualEnvironments = []string{"Development", "Test", "Staging", "Production"}

// Of describes topics. Topics that share a Kafka name become one topic with several
// types of event. A topic that is given twice counts once. The error lists the
// contradictions between declarations: one type declared twice, or different storage
// or owners.
func Of(topics ...eventbus.AnyTopic) (*Document, error) {
	// A nil topic may be a package variable that is used before it is set. The error
	// gives its place in the list.
	declarations := make([]*declare.Topic, 0, len(topics))
	for i, t := range topics {
		if t == nil || t.Declaration() == nil {
			return nil, &eventbus.Error{Op: "catalog", Err: fmt.Errorf("topic %d of %d is nil", i+1, len(topics))}
		}
		declarations = append(declarations, t.Declaration())
	}
	d, err := document(declarations)
	if err != nil {
		return nil, &eventbus.Error{Op: "catalog", Err: err}
	}
	return d, nil
}

// OfBus describes the topics that a bus publishes and handles so far, with the groups
// that handle them.
func OfBus(bus *eventbus.Bus) (*Document, error) {
	// Declarations returns a copy: topics that the bus uses later are missing from it.
	uses := bus.Operator().Declarations()
	declarations := make([]*declare.Topic, len(uses.Topics))
	for i := range uses.Topics {
		declarations[i] = uses.Topics[i].Topic
	}
	d, err := document(declarations)
	if err != nil {
		return nil, &eventbus.Error{Op: "catalog", Err: err}
	}
	d.Service, d.Environment = uses.Service, uses.Environment
	// A declaration is for one type on one topic, so the two names identify a use.
	of := make(map[[2]string]*declare.Use, len(uses.Topics))
	for i := range uses.Topics {
		of[[2]string{uses.Topics[i].Topic.Suffix, uses.Topics[i].Topic.Typ}] = &uses.Topics[i]
	}
	for i := range d.Topics {
		t := &d.Topics[i]
		for j := range t.Events {
			// Never nil: each event was made from a declaration that is in the map.
			use := of[[2]string{t.Name, t.Events[j].Type}]
			t.Events[j].Published = use.Published
			t.Groups = append(t.Groups, use.Groups...)
			letters := make([]Letters, len(use.Letters))
			for i, l := range use.Letters {
				letters[i] = Letters(l)
			}
			t.addLetters(letters) // no conflicts: a bus has one choice per topic and group
		}
		// Two types of a topic are often handled by the same group. Groups are sorted,
		// so that equal buses give equal documents.
		slices.Sort(t.Groups)
		t.Groups = slices.Compact(t.Groups)
	}
	return d, nil
}

// document returns the document of declarations in any order. Callers drop it if there
// is an error.
func document(declarations []*declare.Topic) (*Document, error) {
	// Stable, so that an error about two declarations of one type names them in the
	// order given.
	declarations = slices.SortedStableFunc(slices.Values(declarations), func(x, y *declare.Topic) int {
		return cmp.Or(strings.Compare(x.Suffix, y.Suffix), strings.Compare(x.Typ, y.Typ))
	})
	// The list is empty rather than nil, which JSON would write as null.
	doc := &Document{Version: Version, Topics: []Topic{}}
	var wrong []error
	// storage merges the declarations of the current topic so far; last is the
	// previous declaration.
	var storage, last *declare.Topic
	// In sorted order, the declarations of a topic are adjacent, and so are those of a
	// type.
	for _, d := range declarations {
		switch {
		// The same declaration twice is not a contradiction: packages share
		// declarations.
		case last != nil && last.ID == d.ID:
			continue
		case last == nil || last.Suffix != d.Suffix:
			// The first declaration of a topic gives its names. The later ones have
			// the same suffix, and so the same names.
			storage = d
			doc.Topics = append(doc.Topics, newTopic(d))
		case last.Typ == d.Typ:
			wrong = append(wrong, fmt.Errorf("topic %s with type %s is declared twice, by %s and %s: share one Topic, or give one of them another Type",
				d.Suffix, d.Typ, last.Described(), d.Described()))
		// Another type on the same topic may add to the storage, but must not
		// contradict it.
		default:
			if err := declare.SameStorage(d.Suffix, storage, d); err != nil {
				wrong = append(wrong, err)
			}
			// Merged even after a contradiction, so that a wrong value is not reported
			// again for each later type.
			storage = declare.Merged(storage, d)
		}
		last = d
		t := &doc.Topics[len(doc.Topics)-1]
		if t.Owner != "" && d.Owner != "" && t.Owner != d.Owner {
			wrong = append(wrong, fmt.Errorf("topic %s: Owner is %q and, for %s, %q: use one value", d.Suffix, t.Owner, d.Typ, d.Owner))
		}
		// One declaration with an owner is enough.
		t.Owner = cmp.Or(t.Owner, d.Owner)
		// Each declaration may add to the storage, so it is copied each time.
		t.keep(storage)
		t.Events = append(t.Events, newEvent(d))
	}
	return doc, errors.Join(wrong...)
}

// newTopic returns a topic with its names and without its storage.
func newTopic(d *declare.Topic) Topic {
	t := Topic{
		Name: d.Suffix, Domain: d.Domain, Scope: d.Scope, Topic: d.Name, Version: d.Version, Names: make(map[string]string),
		Address: d.Address, Addresses: d.Addresses, Create: d.Create,
	}
	if d.Form != nil {
		t.Format = d.Form.Name
	}
	// The default is left out, like other defaults, so that documents of topics that
	// use it did not change when the field was added.
	if p := d.Partitioner.String(); p != "murmur2" {
		t.Partitioner = p
	}
	for _, env := range usualEnvironments {
		// The usual environments are valid, and the name was checked when it was
		// declared.
		t.Names[env], _ = d.Resolve(env)
	}
	return t
}

// keep copies the storage of d. Maps are cloned, since a document must not share
// memory with a declaration.
func (t *Topic) keep(d *declare.Topic) {
	t.Partitions, t.Replication, t.Compacted = d.Partitions, d.Replication, d.Compacted
	// Any negative retention is unlimited; Kafka only accepts −1.
	t.RetentionMs = d.Retention.Milliseconds()
	if d.Retention < 0 {
		t.RetentionMs = -1
	}
	t.Configs = nil
	if len(d.Configs) > 0 {
		t.Configs = maps.Clone(d.Configs)
	}
}

// newEvent returns the event of a declaration, including what sample finds out.
func newEvent(d *declare.Topic) Event {
	e := Event{Type: d.Typ, GoType: d.GoType, ContentType: d.CodecName, DataSchema: d.DataSchema, Description: d.Description}
	// KeySource is the kind of source, followed for fields by their names, joined by
	// |.
	switch source, what, _ := strings.Cut(d.KeySource, " "); source {
	case "field", "fields":
		e.Key = Key{Source: KeyFromFields, Fields: strings.Split(what, "|")}
	default:
		e.Key.Source = KeySource(source)
	}
	e.sample(&d.Samples)
	return e
}

// retention returns RetentionMs as a duration, negative for unlimited.
func (t *Topic) retention() time.Duration {
	if t.RetentionMs < 0 {
		return -1
	}
	return time.Duration(t.RetentionMs) * time.Millisecond
}
