package codec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
)

// writer is how a codec writes on one topic. It never changes.
type writer struct {
	topic  string
	encode Encoder
	uri    string           // dataschema
	header transport.Header // of Header framing
	prefix []byte           // of Prefix framing
}

// writer returns the writer of a topic. The first call for a topic asks the registry.
func (c *codec) writer(ctx context.Context, topic string) (*writer, error) {
	c.mu.Lock()
	w := c.writers[topic]
	c.mu.Unlock()
	if w == nil {
		var err error
		if w, err = c.newWriter(ctx, topic); err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.writers[topic] = w
		c.mu.Unlock()
	}
	c.last.Store(w)
	return w, nil
}

// newWriter finds the schema to write a topic's events with. If events don't name
// their schema, it does not ask the registry.
func (c *codec) newWriter(ctx context.Context, topic string) (*writer, error) {
	w := &writer{topic: topic, encode: c.own}
	if !c.names() {
		return w, nil
	}
	s, err := c.resolve(ctx, topic)
	if err != nil {
		return nil, err
	}
	if c.options.Latest || c.options.ID != 0 {
		if w.encode, err = c.format.Writer(s, c.load(ctx)); err != nil {
			return nil, fmt.Errorf("schema id %d can't be used for writing: %w", s.ID, err)
		}
	}
	// Header and prefix are the same for every event of the topic.
	index, err := c.format.Index(s)
	if err != nil {
		return nil, fmt.Errorf("schema id %d: %w", s.ID, err)
	}
	w.uri = c.registry.SchemaURI(s.ID)
	w.header = registry.HeaderOf(s, index)
	w.prefix = registry.AppendPrefix(nil, s.ID, index)
	return w, nil
}

// resolve returns the schema that events of a topic are written with.
func (c *codec) resolve(ctx context.Context, topic string) (*registry.Schema, error) {
	// A schema with a given id needs no subject.
	if c.options.ID != 0 {
		s, err := c.registry.Schema(ctx, registry.ID{Number: c.options.ID})
		return s, err
	}
	subject, err := c.options.Subject(topic, c.format.Record())
	if err != nil {
		return nil, err
	}
	if c.options.Latest {
		return c.registry.Latest(ctx, subject)
	}
	// The environment is the first part of every topic's name.
	if c.options.Register && !c.options.InProduction && strings.HasPrefix(topic, "prod.") {
		return nil, fmt.Errorf("subject %s: schemas are not registered in Production: register it beforehand, or say RegisterInProduction", subject)
	}
	d, err := c.definition(ctx)
	if err != nil {
		return nil, err
	}
	var s *registry.Schema
	if c.options.Register {
		s, err = c.registry.Register(ctx, subject, d, c.options.Normalize)
	} else {
		s, err = c.registry.Lookup(ctx, subject, d, c.options.Normalize)
		if errors.Is(err, registry.ErrUnknown) {
			err = fmt.Errorf("%w: register it there, or declare the codec with Register or UseLatest", err)
		}
	}
	if err == nil {
		c.warnForeign(ctx, subject, s)
	}
	return s, err
}

// definition returns the codec's own definition with its references, which it
// registers or looks up.
func (c *codec) definition(ctx context.Context) (registry.Definition, error) {
	d := c.format.Definition()
	// Each dependency may refer to those before it, by their subjects and versions.
	var earlier []registry.Reference
	for _, dependency := range c.options.Dependencies {
		own := registry.Definition{Type: d.Type, Text: dependency.Text, References: c.referred(dependency.Text, earlier)}
		var s *registry.Schema
		var err error
		if c.options.Register {
			s, err = c.registry.Register(ctx, dependency.Subject, own, c.options.Normalize)
		} else {
			s, err = c.registry.Lookup(ctx, dependency.Subject, own, c.options.Normalize)
		}
		if err != nil {
			return d, fmt.Errorf("the schema %s: %w", dependency.Name, err)
		}
		earlier = append(earlier, registry.Reference{Name: dependency.Name, Subject: dependency.Subject, Version: max(s.Version, 1)})
	}
	d.References = c.referred(d.Text, earlier)
	return d, nil
}

// referred returns the references that a text uses. Registries refuse others, or treat
// the schema as a different one.
func (c *codec) referred(text string, all []registry.Reference) (named []registry.Reference) {
	for _, r := range all {
		if c.format.Refers(text, r.Name) {
			named = append(named, r)
		}
	}
	return named
}

// warnForeign logs a warning if other writers have registered schemas at the subject,
// since their readers may not read the header.
func (c *codec) warnForeign(ctx context.Context, subject string, own *registry.Schema) {
	if c.framing != registry.Header {
		return
	}
	// This is only a warning, so a failing registry does not fail the start.
	latest, err := c.registry.Latest(ctx, subject)
	if err == nil && latest.ID != own.ID {
		c.registry.Logger().Warn("a subject's newest schema is not this service's: somebody else writes it too. Readers that don't know the header "+registry.HeaderName+
			" need framing Prefix", "subject", subject, "own", own.ID, "newest", latest.ID)
	}
}

// load returns a function that returns the schemas of references. They are not cached,
// since each is needed only to compile a schema, and the result is kept.
func (c *codec) load(ctx context.Context) Load {
	return func(r registry.Reference) (*registry.Schema, error) {
		return c.registry.Version(ctx, r.Subject, r.Version)
	}
}
