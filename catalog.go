package eventbus

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
)

// CatalogVersion is the version of the documents that this package makes, and
// the newest that [ReadCatalog] takes. It rises with every field that is added.
const CatalogVersion = 1

// CatalogDocument describes a set of topics for people and tools, as JSON. It is
// made by [Catalog] out of declarations, by [Bus.Catalog] out of what a bus uses,
// and by [ReadCatalog]. Equal declarations make equal documents, byte for byte.
type CatalogDocument struct {
	// Version of the document's form, CatalogVersion in a new one.
	Version int `json:"catalogVersion"`
	// Service and Environment are those of the bus that gave the document, as
	// Config has them; empty where it comes from declarations alone.
	Service     string `json:"service,omitempty"`
	Environment string `json:"environment,omitempty"`
	// Topics are the Kafka topics, by name.
	Topics []CatalogTopic `json:"topics"`
}

// CatalogTopic is one Kafka topic. How it is kept is what its declarations say
// together; zero is the broker's default.
type CatalogTopic struct {
	// Name is the full name without the environment before it:
	// sales.public.customers.v1. Its parts follow; Version is empty for a
	// topic without one.
	Name    string `json:"name"`
	Domain  string `json:"domain"`
	Scope   string `json:"scope"` // public or internal
	Topic   string `json:"topic"`
	Version string `json:"version,omitempty"`
	// Names are the full names in the four usual environments, Development,
	// Test, Staging and Production; In gives that of any other.
	Names map[string]string `json:"names"`
	Owner string            `json:"owner,omitempty"`

	Partitions  int32 `json:"partitions,omitempty"`
	Replication int16 `json:"replication,omitempty"`
	// RetentionMs is in milliseconds, and −1 for ever.
	RetentionMs int64 `json:"retentionMs,omitempty"`
	Compacted   bool  `json:"compacted,omitempty"`
	// Configs are the other topic configurations that are declared, by Kafka's
	// names; Spec has those that the fields above stand for too.
	Configs map[string]string `json:"configs,omitempty"`

	// Events are the types of event on the topic, by type.
	Events []CatalogEvent `json:"events"`
	// Groups are the consumer groups that handle the topic, in a document that
	// a bus gave. Their dead letters are in {topic}.{group}.dlq, and come back
	// through {topic}.{group}.retry.
	Groups []string `json:"groups,omitempty"`
}

// CatalogEvent is one type of event on a topic.
type CatalogEvent struct {
	Type        string     `json:"type"`   // of the CloudEvent
	GoType      string     `json:"goType"` // as package.Type
	Key         CatalogKey `json:"key"`
	ContentType string     `json:"contentType"`
	DataSchema  string     `json:"dataSchema,omitempty"`
	Description string     `json:"description,omitempty"`
	// Published says that the bus that gave the document has a publisher of it.
	Published bool `json:"published,omitempty"`
}

// CatalogKey tells where the keys of a type come from.
type CatalogKey struct {
	Source KeySource `json:"source"`
	// Fields are the tagged fields, in the order in which they are joined.
	Fields []string `json:"fields,omitempty"`
}

// KeySource is where the keys of a type come from.
type KeySource string

// The sources of keys, in the order in which they are looked for.
const (
	KeyFromFunction KeySource = "function" // TopicConfig.Key
	KeyFromMethod   KeySource = "method"   // PartitionKey() string
	KeyFromFields   KeySource = "fields"   // tagged `eventbus:"key"`
	NoKey           KeySource = "none"
)

// usualEnvironments are those that CatalogTopic.Names names.
var usualEnvironments = []string{"Development", "Test", "Staging", "Production"}

// AnyTopic is a Topic[T] of any T. Nothing else implements it.
type AnyTopic interface {
	In(env string) string
	Type() string
	declaration() *declare.Topic
}

// Catalog describes topics. Those that share a Kafka name become one topic with
// several types of event; a topic that is given twice counts once. The error says
// where they contradict each other: one type declared twice, storage or owners
// that differ.
func Catalog(topics ...AnyTopic) (*CatalogDocument, error) {
	declarations := make([]*declare.Topic, 0, len(topics))
	for i, t := range topics {
		if t == nil {
			return nil, &Error{Op: "catalog", Err: fmt.Errorf("topic %d of %d is nil", i+1, len(topics))}
		}
		declarations = append(declarations, t.declaration())
	}
	d, err := catalogOf(declarations)
	if err != nil {
		return nil, &Error{Op: "catalog", Err: err}
	}
	return d, nil
}

// Catalog describes the topics that the bus publishes and handles up to now, with
// the groups that handle them.
func (b *Bus) Catalog() (*CatalogDocument, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, err := catalogOf(slices.Collect(maps.Values(b.topics.types)))
	if err != nil {
		return nil, &Error{Op: "catalog", Err: err}
	}
	d.Service, d.Environment = b.config.Service, b.config.Environment
	published := make(map[[2]string]bool, len(b.topics.outlets))
	for _, o := range b.topics.outlets {
		published[[2]string{o.decl.Suffix, o.decl.Typ}] = true
	}
	for i := range d.Topics {
		t := &d.Topics[i]
		for name, g := range b.groups {
			if g.topics[b.config.env+"."+t.Name] != nil {
				t.Groups = append(t.Groups, name)
			}
		}
		slices.Sort(t.Groups)
		for j := range t.Events {
			t.Events[j].Published = published[[2]string{t.Name, t.Events[j].Type}]
		}
	}
	return d, nil
}

// catalogOf makes the document of declarations in any order.
func catalogOf(declarations []*declare.Topic) (*CatalogDocument, error) {
	declarations = slices.SortedStableFunc(slices.Values(declarations), func(x, y *declare.Topic) int {
		return cmp.Or(strings.Compare(x.Suffix, y.Suffix), strings.Compare(x.Typ, y.Typ))
	})
	document := &CatalogDocument{Version: CatalogVersion, Topics: []CatalogTopic{}}
	var wrong []error
	var storage, last *declare.Topic // of the topic at hand, and the one before
	for _, d := range declarations {
		switch {
		case last != nil && last.ID == d.ID:
			continue
		case last == nil || last.Suffix != d.Suffix:
			storage = d
			document.Topics = append(document.Topics, newCatalogTopic(d))
		case last.Typ == d.Typ:
			wrong = append(wrong, fmt.Errorf("topic %s with type %s is declared twice, by %s and %s: share one Topic, or give one of them another Type",
				d.Suffix, d.Typ, last.Described(), d.Described()))
		default:
			if err := declare.SameStorage(d.Suffix, storage, d); err != nil {
				wrong = append(wrong, err)
			}
			storage = declare.Merged(storage, d)
		}
		last = d
		t := &document.Topics[len(document.Topics)-1]
		if t.Owner != "" && d.Owner != "" && t.Owner != d.Owner {
			wrong = append(wrong, fmt.Errorf("topic %s: Owner is %q and, for %s, %q: use one value", d.Suffix, t.Owner, d.Typ, d.Owner))
		}
		t.Owner = cmp.Or(t.Owner, d.Owner)
		t.keep(storage)
		t.Events = append(t.Events, newCatalogEvent(d))
	}
	return document, errors.Join(wrong...)
}

func newCatalogTopic(d *declare.Topic) CatalogTopic {
	t := CatalogTopic{Name: d.Suffix, Domain: d.Domain, Scope: d.Scope, Topic: d.Name, Version: d.Version, Names: make(map[string]string)}
	for _, env := range usualEnvironments {
		t.Names[env], _ = d.Resolve(env)
	}
	return t
}

// keep takes over how the topic is stored.
func (t *CatalogTopic) keep(d *declare.Topic) {
	t.Partitions, t.Replication, t.Compacted = d.Partitions, d.Replication, d.Compacted
	t.RetentionMs = d.Retention.Milliseconds()
	if d.Retention < 0 {
		t.RetentionMs = -1
	}
	t.Configs = nil
	if len(d.Configs) > 0 {
		t.Configs = maps.Clone(d.Configs)
	}
}

func newCatalogEvent(d *declare.Topic) CatalogEvent {
	e := CatalogEvent{Type: d.Typ, GoType: d.GoType, ContentType: d.CodecName, DataSchema: d.DataSchema, Description: d.Description}
	switch source, what, _ := strings.Cut(d.KeySource, " "); source {
	case "field", "fields":
		e.Key = CatalogKey{Source: KeyFromFields, Fields: strings.Split(what, "|")}
	default:
		e.Key.Source = KeySource(source)
	}
	return e
}

// retention is RetentionMs as a declaration has it.
func (t *CatalogTopic) retention() time.Duration {
	if t.RetentionMs < 0 {
		return -1
	}
	return time.Duration(t.RetentionMs) * time.Millisecond
}
