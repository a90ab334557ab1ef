// Package declare contains topics' declarations without their type parameters, and
// checks them. Faults are worded for the author of the declaration: they name the
// field and say what to write instead.
//
//	declaration.go  Topic, its names and its settings at creation
//	check.go        attributes and storage
//	same.go         several declarations of one Kafka topic
//	use.go          the topics that a bus uses
package declare

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Topic is an eventbus.Topic[T] without its type parameter: what a bus, a catalogue
// and the admin pages need to know about it. It does not change after NewTopic has
// returned it.
type Topic struct {
	Domain  string
	Name    string // in the plural if it was asked for
	Scope   string
	Version string // empty if unversioned
	Suffix  string // all that follows the environment and its dot; Address, where there is one
	// Address is the full name of an existing topic, with {env} in place of the
	// environment if it has one. Addresses are its names in single environments.
	// Create reports whether a bus may create it.
	Address     string
	Addresses   map[string]string
	Create      bool
	Form        *wire.Form // nil: CloudEvents
	Partitioner Partitioner
	Typ         string
	GoType      string
	Partitions  int32
	Replication int16
	Retention   time.Duration
	Compacted   bool
	// Configs are Kafka's names and values; nil if there are none.
	Configs     map[string]string
	Description string
	Owner       string
	// KeySource is "function", "method PartitionKey", "field ID", "fields A|B", or
	// "none".
	KeySource string
	// Keyed reports whether every event has a key.
	Keyed bool
	// Unkeyed reports whether events have no key on purpose.
	Unkeyed   bool
	CodecName string
	// StartCodec is nil if the codec needs no start.
	StartCodec func(ctx context.Context, topic string) error
	DataSchema string
	Samples    Samples
	// ID is the *Topic[T] itself: declarations are compared by it.
	ID any
}

// Samples makes values of a topic's type without its T, for catalogues. A value is
// a *T.
type Samples struct {
	Type  reflect.Type // T
	Given []any        // the examples of the declaration
	Key   func(v any) (key string, ok bool)
	// Encode encodes with the innermost codec, without a bus. Wrapped reports whether
	// the topic's codec is another one, which may encode a value differently each time.
	Encode  func(v any) ([]byte, error)
	Wrapped bool
	JSON    bool   // the codec is the default one
	Schema  string // the codec's own schema, "" if it has none
}

// In returns the topic's full name in an environment, whose segment
// naming.Environment has returned.
func (d *Topic) In(env string) string {
	if d.Address == "" {
		return env + "." + d.Suffix
	}
	if name, ok := d.Addresses[env]; ok {
		return name
	}
	return strings.ReplaceAll(d.Address, EnvironmentMark, env)
}

// Named reports whether a full name is the topic's in some environment.
func (d *Topic) Named(full string) bool {
	before, after, marked := strings.Cut(d.Address, EnvironmentMark)
	for _, name := range d.Addresses {
		if name == full {
			return true
		}
	}
	if !marked {
		return d.Address == full
	}
	env, ok := strings.CutPrefix(full, before)
	env, closed := strings.CutSuffix(env, after)
	return ok && closed && env != "" && naming.SegmentFault(env) == ""
}

// EnvironmentMark stands for the environment's segment in an Address.
const EnvironmentMark = naming.EnvironmentMark

// Existing reports whether the bus must not create the topic.
func (d *Topic) Existing() bool { return d.Address != "" && !d.Create }

// FormName returns the name of the records' form.
func (d *Topic) FormName() string {
	if d.Form == nil {
		return "cloudevents"
	}
	return d.Form.Name
}

// OtherEnvironment returns the environment that the first part of an Address names,
// if it is one of the usual ones and not env. A name in Addresses was chosen for env.
func (d *Topic) OtherEnvironment(env string) string {
	if _, chosen := d.Addresses[env]; chosen || d.Address == "" {
		return ""
	}
	return naming.OtherEnvironment(d.In(env), env)
}

// Joined returns the suffix that the parts form. It equals Suffix in a checked
// declaration.
func (d *Topic) Joined() string {
	parts := []string{d.Domain, d.Scope, d.Name}
	if d.Version != "" {
		parts = append(parts, d.Version)
	}
	return strings.Join(parts, ".")
}

// Resolve returns the topic's full name in an environment that a user named, with all
// checks.
func (d *Topic) Resolve(env string) (string, error) {
	segment, err := naming.Environment(env)
	if err != nil {
		return "", err
	}
	name := d.In(segment)
	return name, naming.CheckTopicName(name)
}

// Names of topic configurations (Apache Kafka, "Topic Configs").
const (
	ConfigCleanupPolicy = "cleanup.policy"
	ConfigRetention     = "retention.ms"
	configMinInsync     = "min.insync.replicas"
)

// Spec returns the settings with which the topic is created under a name. With
// three replicas or more a write waits for two of them: with acks=all and the
// broker's default of one, a single broker could lose it.
func (d *Topic) Spec(name string) transport.TopicSpec {
	configs := make(map[string]string, len(d.Configs)+3)
	switch {
	case d.Compacted && d.Retention > 0:
		configs[ConfigCleanupPolicy] = "compact,delete"
	case d.Compacted:
		configs[ConfigCleanupPolicy] = "compact"
	}
	switch {
	case d.Retention > 0:
		configs[ConfigRetention] = strconv.FormatInt(d.Retention.Milliseconds(), 10)
	case d.Retention < 0:
		configs[ConfigRetention] = "-1"
	}
	if d.Replication >= 3 {
		configs[configMinInsync] = "2"
	}
	// What the author wrote by Kafka's names wins; CheckStorage has refused
	// contradictions.
	maps.Copy(configs, d.Configs)
	return transport.TopicSpec{Name: name, Partitions: d.Partitions, Replication: d.Replication, Configs: configs}
}

// Faults collects everything that is wrong with a declaration, so that its author sees
// all of it at once, in the words of the declaration.
type Faults []string

// Add adds a fault of a field. The message follows the field's name, and says
// what to write instead.
//
//go:noinline
func (f *Faults) Add(field, format string, args ...any) {
	*f = append(*f, field+" "+fmt.Sprintf(format, args...))
}

// CheckSegment checks a part of the topic's name, and proposes a valid one near
// it.
func CheckSegment(wrong *Faults, field, value, example string) {
	why := naming.SegmentFault(value)
	switch {
	case why == "":
	case naming.Kebab(value) == "":
		wrong.Add(field, "%s: write for example %q", why, example)
	default:
		wrong.Add(field, "%q %s: write %q", value, why, naming.Kebab(value))
	}
}

// DeclareVersion returns the version of a topic: v and a number, perhaps
// followed by more (v1, v2, v2beta1, v3-rc), or "" for an unversioned topic.
func DeclareVersion(wrong *Faults, version string, unversioned bool) string {
	switch {
	case unversioned && version != "":
		wrong.Add("Version", "is %q and Unversioned is set: keep one of them", version)
		return ""
	case unversioned:
		return ""
	case version == "":
		return "v1"
	}
	// A proposal keeps the number that the author wrote.
	digits := strings.TrimLeft(version, "vV")
	digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	proper := version[0] == 'v' && digits != "" && strings.HasPrefix(version[1:], digits) && digits[0] != '0' && naming.SegmentFault(version) == ""
	if !proper {
		proposal := strings.TrimLeft(digits, "0")
		if proposal == "" {
			proposal = "1"
		}
		wrong.Add("Version", "%q is not a version: write %q", version, "v"+proposal)
	}
	return version
}

// DeclareType returns the name of the Go type, the default CloudEvents type. A
// generic type's name contains its arguments' import paths, and a renamed
// package would change it.
func DeclareType(wrong *Faults, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch name := t.Name(); {
	case name == "":
		wrong.Add("Type", "is empty and %s has no name to take: write what happened, for example %q", t, "CustomerCreated")
	case strings.Contains(name, "["):
		wrong.Add("Type", "is empty and %s is generic, so its name is not an event's: write what happened, for example %q", t, "CustomerCreated")
	default:
		return name
	}
	return ""
}
