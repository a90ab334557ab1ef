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
	"github.com/eventbus-go/eventbus/transport"
)

// topicDeclaration is a Topic[T] without its T: what a bus needs to know of it.
type Topic struct {
	Domain      string
	Name        string // in the plural if it was asked for
	Scope       string
	Version     string // empty if unversioned
	Suffix      string // all that follows the environment and its dot
	Typ         string
	GoType      string
	Partitions  int32
	Replication int16
	Retention   time.Duration
	Compacted   bool
	Configs     map[string]string
	Description string
	Owner       string
	KeySource   string // "function", "method PartitionKey", "field ID", "fields A|B", or "none"
	Keyed       bool
	CodecName   string
	StartCodec  func(ctx context.Context, topic string) error // nil if the codec needs no start
	DataSchema  string
	ID          any // the *Topic[T]: its identity
}

// in is the topic's full name; env is what EnvironmentSegment returned.
func (d *Topic) In(env string) string { return env + "." + d.Suffix }

// joined is the suffix that the parts make.
func (d *Topic) Joined() string {
	parts := []string{d.Domain, d.Scope, d.Name}
	if d.Version != "" {
		parts = append(parts, d.Version)
	}
	return strings.Join(parts, ".")
}

// resolve is in for an environment as its user names it, with every check.
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

// spec is how the topic is to be created under a name. With three replicas or
// more a write waits for two of them, so that acks=all means something.
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
	maps.Copy(configs, d.Configs)
	return transport.TopicSpec{Name: name, Partitions: d.Partitions, Replication: d.Replication, Configs: configs}
}

// faults gathers what is wrong with a declaration, in its caller's words.
type Faults []string

func (f *Faults) Add(field, format string, args ...any) {
	*f = append(*f, field+" "+fmt.Sprintf(format, args...))
}

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

// declareVersion takes v and a number, and after that what else belongs to it:
// v1, v2, v2beta1, v3-rc.
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
	digits := strings.TrimLeft(version, "vV")
	digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	proper := version[0] == 'v' && digits != "" && strings.HasPrefix(version[1:], digits) && digits[0] != '0' && naming.SegmentFault(version) == ""
	if !proper {
		proposal := strings.TrimLeft(digits, "0")
		if proposal == "" {
			proposal = "1"
		}
		wrong.Add("Version", "%q is no version: write %q", version, "v"+proposal)
	}
	return version
}

// declareType is the Go type's name, which says what happened in most contracts.
func DeclareType(wrong *Faults, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch name := t.Name(); {
	case name == "":
		wrong.Add("Type", "is empty and %s has no name to take: write what happened, for example %q", t, "CustomerCreated")
	case strings.Contains(name, "["):
		wrong.Add("Type", "is empty and %s is generic, so its name is no event's: write what happened, for example %q", t, "CustomerCreated")
	default:
		return name
	}
	return ""
}
