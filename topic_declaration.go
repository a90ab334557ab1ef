package eventbus

import (
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// topicDeclaration is a Topic[T] without its T: what a bus needs to know of it.
type topicDeclaration struct {
	domain      string
	name        string // in the plural if it was asked for
	scope       string
	version     string // empty if unversioned
	suffix      string // all that follows the environment and its dot
	typ         string
	goType      string
	partitions  int32
	replication int16
	retention   time.Duration
	compacted   bool
	configs     map[string]string
	description string
	owner       string
	keySource   string // "function", "method PartitionKey", "field ID", "fields A|B", or "none"
	keyed       bool
	codecName   string
	dataSchema  string
	id          any // the *Topic[T]: its identity
}

// in is the topic's full name; env is what EnvironmentSegment returned.
func (d *topicDeclaration) in(env string) string { return env + "." + d.suffix }

// joined is the suffix that the parts make.
func (d *topicDeclaration) joined() string {
	parts := []string{d.domain, d.scope, d.name}
	if d.version != "" {
		parts = append(parts, d.version)
	}
	return strings.Join(parts, ".")
}

// resolve is in for an environment as its user names it, with every check.
func (d *topicDeclaration) resolve(env string) (string, error) {
	segment, err := EnvironmentSegment(env)
	if err != nil {
		return "", err
	}
	name := d.in(segment)
	return name, checkTopicName(name)
}

// Names of topic configurations (Apache Kafka, "Topic Configs").
const (
	configCleanupPolicy = "cleanup.policy"
	configRetention     = "retention.ms"
	configMinInsync     = "min.insync.replicas"
)

// spec is how the topic is to be created under a name. With three replicas or
// more a write waits for two of them, so that acks=all means something.
func (d *topicDeclaration) spec(name string) transport.TopicSpec {
	configs := make(map[string]string, len(d.configs)+3)
	switch {
	case d.compacted && d.retention > 0:
		configs[configCleanupPolicy] = "compact,delete"
	case d.compacted:
		configs[configCleanupPolicy] = "compact"
	}
	switch {
	case d.retention > 0:
		configs[configRetention] = strconv.FormatInt(d.retention.Milliseconds(), 10)
	case d.retention < 0:
		configs[configRetention] = "-1"
	}
	if d.replication >= 3 {
		configs[configMinInsync] = "2"
	}
	maps.Copy(configs, d.configs)
	return transport.TopicSpec{Name: name, Partitions: d.partitions, Replication: d.replication, Configs: configs}
}

// faults gathers what is wrong with a declaration, in its caller's words.
type faults []string

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, field+" "+fmt.Sprintf(format, args...))
}

// declare checks a configuration and makes the declaration of it, without key
// and codec.
func declare[T any](c *TopicConfig[T]) (d topicDeclaration, wrong faults) {
	t := reflect.TypeFor[T]()
	d = topicDeclaration{
		domain: c.Domain, name: c.Name, scope: c.Scope.String(), typ: c.Type, goType: t.String(),
		partitions: c.Partitions, replication: c.Replication, retention: c.Retention, compacted: c.Compacted,
		configs: maps.Clone(c.Configs), description: c.Description, owner: c.Owner, dataSchema: c.DataSchema,
	}
	checkSegment(&wrong, "Domain", c.Domain, "sales")
	checkSegment(&wrong, "Name", c.Name, "order-payment")
	if c.Plural && segmentFault(c.Name) == "" {
		d.name = plural(c.Name)
	}
	if c.Scope != Public && c.Scope != Internal {
		wrong.add("Scope", "is %d: use eventbus.Public or eventbus.Internal", c.Scope)
	}
	d.version = declareVersion(&wrong, c.Version, c.Unversioned)
	if d.typ == "" {
		d.typ = declareType(&wrong, t)
	}
	checkAttributes(&wrong, d.typ, c.DataSchema)
	checkStorage(&wrong, &d)

	d.suffix = d.joined()
	if most := maxTopicName - len("prod."); len(d.suffix) > most {
		wrong.add("Domain and Name", "make a topic name of %d characters with the environment, Kafka takes %d: shorten them", len(d.suffix)+len("prod."), maxTopicName)
	}
	return d, wrong
}

func checkSegment(wrong *faults, field, value, example string) {
	why := segmentFault(value)
	switch {
	case why == "":
	case kebab(value) == "":
		wrong.add(field, "%s: write for example %q", why, example)
	default:
		wrong.add(field, "%q %s: write %q", value, why, kebab(value))
	}
}

// declareVersion takes v and a number, and after that what else belongs to it:
// v1, v2, v2beta1, v3-rc.
func declareVersion(wrong *faults, version string, unversioned bool) string {
	switch {
	case unversioned && version != "":
		wrong.add("Version", "is %q and Unversioned is set: keep one of them", version)
		return ""
	case unversioned:
		return ""
	case version == "":
		return "v1"
	}
	digits := strings.TrimLeft(version, "vV")
	digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	proper := version[0] == 'v' && digits != "" && strings.HasPrefix(version[1:], digits) && digits[0] != '0' && segmentFault(version) == ""
	if !proper {
		proposal := strings.TrimLeft(digits, "0")
		if proposal == "" {
			proposal = "1"
		}
		wrong.add("Version", "%q is no version: write %q", version, "v"+proposal)
	}
	return version
}

// declareType is the Go type's name, which says what happened in most contracts.
func declareType(wrong *faults, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch name := t.Name(); {
	case name == "":
		wrong.add("Type", "is empty and %s has no name to take: write what happened, for example %q", t, "CustomerCreated")
	case strings.Contains(name, "["):
		wrong.add("Type", "is empty and %s is generic, so its name is no event's: write what happened, for example %q", t, "CustomerCreated")
	default:
		return name
	}
	return ""
}
