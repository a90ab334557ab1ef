// Package avroschema parses a registry's Avro schemas together with the schemas that
// they refer to.
package avroschema

import (
	"fmt"

	"github.com/twmb/avro"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// Parse parses a schema after its references, whose names it uses. References may be
// nested at most deepest deep, since a registry is not trusted. load returns the
// schema of a reference.
func Parse(s *registry.Schema, load func(registry.Reference) (*registry.Schema, error), deepest int) (*avro.Schema, error) {
	p := parser{load: load, deepest: deepest, met: make(map[registry.Reference]bool)}
	return p.parse(s, 0)
}

// parser is one call of Parse.
type parser struct {
	// names has the types of all schemas that were parsed, for those that follow.
	names   avro.SchemaCache
	load    func(registry.Reference) (*registry.Schema, error)
	deepest int
	// met has the references that were followed, without the name, since several
	// schemas may refer to the same one, and some to each other.
	met map[registry.Reference]bool
}

func (p *parser) parse(s *registry.Schema, depth int) (*avro.Schema, error) {
	if depth > p.deepest {
		return nil, fmt.Errorf("its references are more than %d deep", p.deepest)
	}
	for _, r := range s.References {
		at := registry.Reference{Subject: r.Subject, Version: r.Version}
		if p.met[at] {
			continue
		}
		p.met[at] = true
		referred, err := p.load(r)
		if err != nil {
			return nil, fmt.Errorf("the schema %s that it refers to: %w", r.Name, err)
		}
		if _, err := p.parse(referred, depth+1); err != nil {
			return nil, err
		}
	}
	return p.names.Parse(s.Text)
}
