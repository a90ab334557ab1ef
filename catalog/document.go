package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/transport"
)

// maxDocument bounds a document, in bytes: about ten thousand topics.
const maxDocument = 16 << 20

// Read reads a document. It returns an error if it is not a catalogue, has a later
// version, has an unknown field (which may be misspelled), or describes an impossible
// topic. The error says where.
func Read(r io.Reader) (*Document, error) {
	// One byte more than allowed distinguishes a document that is too long from one
	// that just fits.
	source, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case err != nil:
		return nil, &eventbus.Error{Op: "read catalog", Err: err}
	case len(source) > maxDocument:
		return nil, &eventbus.Error{Op: "read catalog", Err: fmt.Errorf("it is longer than %d MiB", maxDocument>>20)}
	}
	d, err := parse(source)
	if err != nil {
		return nil, &eventbus.Error{Op: "read catalog", Err: err}
	}
	return d, nil
}

// parse parses a whole document. Unlike the standard library's decoder, that of JSON
// v2 refuses duplicate names and distinguishes upper and lower case.
func parse(source []byte) (*Document, error) {
	// An interrupted redirection leaves an empty file, for which the decoder's own
	// error is less clear.
	if len(bytes.TrimSpace(source)) == 0 {
		return nil, errors.New("it is empty")
	}
	// The version is checked first: a later version explains unknown fields. It is a
	// pointer, to distinguish a missing version from zero.
	var form struct {
		Version *int `json:"catalogVersion"`
	}
	if err := jsonv2.Unmarshal(source, &form); err != nil {
		return nil, fmt.Errorf("it is not a catalogue: %w", err)
	}
	switch v := form.Version; {
	case v == nil:
		return nil, errors.New("it is not a catalogue: catalogVersion is missing")
	case *v < 1:
		return nil, fmt.Errorf("catalogVersion is %d: the first was 1", *v)
	case *v > Version:
		return nil, fmt.Errorf("catalogVersion is %d, and %d is the newest known here: update the reader", *v, Version)
	}
	d := new(Document)
	// In a known version, unknown members are mistakes.
	if err := jsonv2.Unmarshal(source, d, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	d.compact()
	for i := range d.Topics {
		d.Topics[i].sortLetters()
	}
	return d, nil
}

// check returns everything that is wrong with a document, one error for each fault.
// Documents may be written by hand.
func (d *Document) check() error {
	var wrong []error
	seen := make(map[string]bool, len(d.Topics))
	for i := range d.Topics {
		t := &d.Topics[i]
		for _, fault := range t.faults() {
			wrong = append(wrong, fmt.Errorf("topics[%d] %q: %s", i, t.Name, fault))
		}
		if seen[t.Name] {
			wrong = append(wrong, fmt.Errorf("topics[%d] %q: the name is there twice", i, t.Name))
		}
		seen[t.Name] = true
	}
	return errors.Join(wrong...)
}

// faults returns what NewTopic would refuse, by the document's field names.
func (t *Topic) faults() declare.Faults {
	var wrong declare.Faults
	// A topic has either the parts of a name or an address. Parts beside an address
	// would suggest a name that no bus uses.
	if t.Address == "" {
		declare.CheckSegment(&wrong, "domain", t.Domain, "sales")
		declare.CheckSegment(&wrong, "topic", t.Topic, "customers")
		if t.Scope != eventbus.Public.String() && t.Scope != eventbus.Internal.String() {
			wrong.Add("scope", "is %q: write %q or %q", t.Scope, eventbus.Public, eventbus.Internal)
		}
		declare.DeclareVersion(&wrong, t.Version, t.Version == "")
	} else if t.Domain+t.Scope+t.Topic+t.Version != "" {
		wrong.Add("address", "is set beside parts of a name: remove domain, scope, topic and version")
	}
	// The name is checked only if its parts are valid: otherwise the messages below
	// would repeat the faults above.
	if len(wrong) == 0 {
		d := t.declaration()
		if parts := cmp.Or(t.Address, d.Joined()); t.Name != parts {
			wrong.Add("name", "is not that of its parts, %q", parts)
			// "prod." is the longest prefix of the usual environments, "stag."
			// included.
		} else if most := naming.MaxTopicName - len("prod."); len(t.Name) > most {
			wrong.Add("name", "has %d characters, Kafka takes %d with the environment", len(t.Name), naming.MaxTopicName)
		}
		for _, env := range slices.Sorted(maps.Keys(t.Names)) {
			if name, err := t.In(env); err != nil || name != t.Names[env] {
				wrong.Add("names", "has %q for %s: write %q", t.Names[env], env, name)
			}
		}
	}
	// The storage is checked even if the name is wrong.
	d := t.declaration()
	declare.CheckStorage(&wrong, &d)
	// A larger number would overflow a Duration and become negative, which means
	// unlimited retention.
	if most := time.Duration(math.MaxInt64).Milliseconds(); t.RetentionMs < -1 || t.RetentionMs > most {
		wrong.Add("retentionMs", "is %d: write up to %d, -1 without end, or leave it out for the broker's default", t.RetentionMs, most)
	}
	t.checkLetters(&wrong)
	if len(t.Events) == 0 {
		wrong.Add("events", "is empty: a topic has at least one type of event")
	}
	seen := make(map[string]bool, len(t.Events))
	for i := range t.Events {
		t.Events[i].check(&wrong, t.Compacted)
		if typ := t.Events[i].Type; seen[typ] {
			wrong.Add("events", "have type %q twice", typ)
		} else {
			seen[typ] = true
		}
	}
	return wrong
}

// check adds what is wrong with a type to wrong.
func (e *Event) check(wrong *declare.Faults, compacted bool) {
	if e.Type == "" {
		wrong.Add("events", "have one without a type")
	}
	// CloudEvents 1.0 has rules for both attributes.
	declare.CheckAttributes(wrong, e.Type, e.DataSchema)
	switch e.Key.Source {
	case KeyFromFunction, KeyFromMethod, NoKey:
		if len(e.Key.Fields) > 0 {
			wrong.Add("key", "of type %q has fields and its source is %q", e.Type, e.Key.Source)
		}
	case KeyFromFields:
		if len(e.Key.Fields) == 0 {
			wrong.Add("key", "of type %q comes from fields and names none", e.Type)
		}
	default:
		wrong.Add("key", "of type %q has the source %q: write function, method, fields or none", e.Type, e.Key.Source)
	}
	// Brokers refuse records without a key on a compacted topic.
	if compacted && e.Key.Source == NoKey {
		wrong.Add("compacted", "is set and type %q has no key to compact by", e.Type)
	}
}

// compact removes white space from schemas and examples, which are compared byte by
// byte.
func (d *Document) compact() {
	for i := range d.Topics {
		for j := range d.Topics[i].Events {
			e := &d.Topics[i].Events[j]
			// Writing indents both with the document, while declarations have them
			// compact: a comparison would report each as changed.
			for _, raw := range []*json.RawMessage{&e.Schema, &e.Example} {
				var b bytes.Buffer
				if *raw != nil && json.Compact(&b, *raw) == nil {
					*raw = b.Bytes()
				}
			}
		}
	}
}

// WriteTo writes the document as indented JSON with a newline at the end, for a file
// under version control.
func (d *Document) WriteTo(w io.Writer) (int64, error) {
	// Everything is encoded before anything is written, so that an error leaves w
	// unchanged.
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// Schemas may contain < and > in patterns and descriptions.
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d); err != nil {
		return 0, &eventbus.Error{Op: "write catalog", Err: err}
	}
	return b.WriteTo(w)
}

// In returns the topic's full name in an environment, by the rules of
// [eventbus.EnvironmentSegment]. The error says why there is none.
func (t *Topic) In(env string) (string, error) {
	d := t.declaration()
	return d.Resolve(env)
}

// Spec returns how a bus would create the topic in an environment, including the
// configurations that retention, compaction and replication stand for. A zero number
// means the broker's default.
func (t *Topic) Spec(env string) (transport.TopicSpec, error) {
	d := t.declaration()
	name, err := d.Resolve(env)
	if err != nil {
		return transport.TopicSpec{}, err
	}
	return d.Spec(name), nil
}

// declaration returns the topic as NewTopic declares it, without its types. It
// shares the document's maps.
func (t *Topic) declaration() declare.Topic {
	return declare.Topic{
		Domain: t.Domain, Scope: t.Scope, Name: t.Topic, Version: t.Version, Suffix: t.Name,
		Address: t.Address, Addresses: t.Addresses, Create: t.Create,
		Partitions: t.Partitions, Replication: t.Replication, Retention: t.retention(), Compacted: t.Compacted, Configs: t.Configs,
	}
}
