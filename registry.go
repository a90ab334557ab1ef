package eventbus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// registry holds the topics that a bus publishes and handles, and what is wrong
// with them together.
type registry struct {
	outlets map[any]*outlet                 // by declaration identity
	types   map[[2]string]*topicDeclaration // by Kafka name and type
	names   map[string]*topicDeclaration    // by Kafka name: the first with an opinion
	faults  []error
}

func (r *registry) err() error { return errors.Join(r.faults...) }

// outlet returns the publishing side of a topic.
func (b *Bus) outlet(d *topicDeclaration) *outlet {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.topics.outlets[d.id]; o != nil {
		return o
	}
	name, err := b.register(d)
	o := &outlet{bus: b, topic: name, decl: d, err: err, signals: b.signals.sending(name)}
	if err != nil {
		b.topics.faults = append(b.topics.faults, err)
	}
	if b.topics.outlets == nil {
		b.topics.outlets = make(map[any]*outlet)
	}
	b.topics.outlets[d.id] = o
	return o
}

// register checks a declaration against the others of the bus. The caller holds
// mu.
func (b *Bus) register(d *topicDeclaration) (name string, err error) {
	r := &b.topics
	if r.types == nil {
		r.types = make(map[[2]string]*topicDeclaration)
		r.names = make(map[string]*topicDeclaration)
	}
	name = d.in(b.config.env)
	if err := checkTopicName(name); err != nil {
		return name, err
	}
	id := [2]string{name, d.typ}
	if other := r.types[id]; other != nil && other.id != d.id {
		return name, fmt.Errorf("topic %s with type %s is declared twice, by %s and %s: share one Topic, or give one of them another Type",
			name, d.typ, other.described(), d.described())
	}
	if other := r.names[name]; other != nil {
		if err := sameStorage(name, other, d); err != nil {
			return name, err
		}
	}
	if err := checkCollisions(slices.Collect(maps.Keys(r.names))...); err != nil {
		return name, err
	}
	r.types[id] = d
	r.names[name] = merged(r.names[name], d)
	return name, nil
}

func (d *topicDeclaration) described() string {
	return fmt.Sprintf("%s (key: %s, codec: %s)", d.goType, d.keySource, d.codecName)
}

// sameStorage tells where two declarations of one Kafka topic disagree. Zero is
// no opinion.
func sameStorage(name string, a, b *topicDeclaration) error {
	var wrong []error
	differ := func(what string, x, y any) {
		wrong = append(wrong, fmt.Errorf("topic %s: %s is %v for %s and %v for %s: use one value", name, what, x, a.typ, y, b.typ))
	}
	if a.partitions != 0 && b.partitions != 0 && a.partitions != b.partitions {
		differ("Partitions", a.partitions, b.partitions)
	}
	if a.replication != 0 && b.replication != 0 && a.replication != b.replication {
		differ("Replication", a.replication, b.replication)
	}
	if a.retention != 0 && b.retention != 0 && a.retention != b.retention {
		differ("Retention", a.retention, b.retention)
	}
	if a.compacted != b.compacted {
		differ("Compacted", a.compacted, b.compacted)
	}
	for k, v := range a.configs {
		if w, ok := b.configs[k]; ok && v != w {
			differ("Configs["+k+"]", v, w)
		}
	}
	return errors.Join(wrong...)
}

// merged is a declaration with the opinions of both.
func merged(a, b *topicDeclaration) *topicDeclaration {
	if a == nil {
		return b
	}
	m := *a
	if m.partitions == 0 {
		m.partitions = b.partitions
	}
	if m.replication == 0 {
		m.replication = b.replication
	}
	if m.retention == 0 {
		m.retention = b.retention
	}
	m.configs = maps.Clone(a.configs)
	if m.configs == nil {
		m.configs = make(map[string]string)
	}
	maps.Copy(m.configs, b.configs)
	return &m
}
