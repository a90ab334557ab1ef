package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// registry holds the topics that a bus publishes and handles, and what is wrong
// with them together.
type registry struct {
	outlets map[any]*outlet              // by declaration identity
	types   map[[2]string]*declare.Topic // by Kafka name and type
	names   map[string]*declare.Topic    // by Kafka name: the first with an opinion
	faults  []error
}

func (r *registry) err() error { return errors.Join(r.faults...) }

// outlet returns the publishing side of a topic.
func (b *Bus) outlet(d *declare.Topic) *outlet {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.topics.outlets[d.ID]; o != nil {
		return o
	}
	name, err := b.register(d)
	o := &outlet{bus: b, topic: name, decl: d, err: err, signals: b.signals.SendSignals(name)}
	if err != nil {
		b.topics.faults = append(b.topics.faults, err)
	}
	if b.topics.outlets == nil {
		b.topics.outlets = make(map[any]*outlet)
	}
	b.topics.outlets[d.ID] = o
	return o
}

// register checks a declaration against the others of the bus. The caller holds
// mu.
func (b *Bus) register(d *declare.Topic) (name string, err error) {
	r := &b.topics
	if r.types == nil {
		r.types = make(map[[2]string]*declare.Topic)
		r.names = make(map[string]*declare.Topic)
	}
	name = d.In(b.config.env)
	if err := naming.CheckTopicName(name); err != nil {
		return name, err
	}
	id := [2]string{name, d.Typ}
	if other := r.types[id]; other != nil && other.ID != d.ID {
		return name, fmt.Errorf("topic %s with type %s is declared twice, by %s and %s: share one Topic, or give one of them another Type",
			name, d.Typ, other.Described(), d.Described())
	}
	if other := r.names[name]; other != nil {
		if err := declare.SameStorage(name, other, d); err != nil {
			return name, err
		}
	}
	if err := naming.CheckCollisions(slices.Collect(maps.Keys(r.names))...); err != nil {
		return name, err
	}
	r.types[id] = d
	r.names[name] = declare.Merged(r.names[name], d)
	return name, nil
}

// startCodecs makes the codecs of all topics ready; every one that can't be is in
// the error.
func (b *Bus) startCodecs(ctx context.Context) error {
	b.mu.Lock()
	declarations := maps.Clone(b.topics.types)
	b.mu.Unlock()
	var faults []error
	for id, d := range declarations {
		if d.StartCodec == nil {
			continue
		}
		if err := d.StartCodec(ctx, id[0]); err != nil {
			faults = append(faults, fmt.Errorf("the codec of topic %s, type %s: %w", id[0], d.Typ, err))
		}
	}
	return errors.Join(faults...)
}
