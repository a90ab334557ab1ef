package jsonschema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/eventbus-go/eventbus/schema/internal/codec"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// own is the address of the schema itself; references resolve against it.
const own = "schema:///own"

// nowhere loads nothing: a $ref in a schema must not make this process open files
// or connections.
type nowhere struct{}

// Load refuses, and says what to write: references are named when the codec is declared.
func (nowhere) Load(string) (any, error) {
	return nil, errors.New("it is no reference of the schema: name it with registry.Refer")
}

// newCompiler takes draft-07 for a schema that names no draft, as registries do.
func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.DefaultDraft(jsonschema.Draft7)
	return c
}

// add makes a schema known by the name that a $ref uses, resolved as the $ref is.
func add(c *jsonschema.Compiler, name, text string) error {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	// A relative $ref is resolved against the address of the schema, own.
	if !strings.Contains(name, "://") {
		name = "schema:///" + strings.TrimPrefix(name, "/")
	}
	return c.AddResource(name, document)
}

// compile adds the schema under an address of its own, which its references resolve
// against, and compiles it with all that was added before.
func compile(c *jsonschema.Compiler, text string) (*jsonschema.Schema, error) {
	if err := add(c, own, text); err != nil {
		return nil, fmt.Errorf("the schema is no JSON: %w", err)
	}
	schema, err := c.Compile(own)
	if err != nil {
		return nil, fmt.Errorf("the schema can't be used: %w", err)
	}
	return schema, nil
}

// deepest bounds the references between schemas.
const deepest = 32

// compileAll compiles a schema of the registry with all that it refers to.
func compileAll(s *registry.Schema, load codec.Load) (*jsonschema.Schema, error) {
	c := newCompiler()
	if err := addAll(c, s, load, make(map[string]bool), 0); err != nil {
		return nil, err
	}
	return compile(c, s.Text)
}

// addAll adds what a schema refers to, each name once: references may form a circle, and
// two of them may lead to one schema.
func addAll(c *jsonschema.Compiler, s *registry.Schema, load codec.Load, have map[string]bool, depth int) error {
	if depth > deepest {
		return fmt.Errorf("its references are more than %d deep", deepest)
	}
	for _, r := range s.References {
		if have[r.Name] {
			continue
		}
		have[r.Name] = true
		referred, err := load(r)
		if err != nil {
			return fmt.Errorf("the schema %s that it refers to: %w", r.Name, err)
		}
		if err := add(c, r.Name, referred.Text); err != nil {
			return fmt.Errorf("the schema %s that it refers to: %w", r.Name, err)
		}
		if err := addAll(c, referred, load, have, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// faultOf says which part of the schema an event does not fit, for the first of the
// innermost faults. Places in the event are left out: the keys of its maps are data.
func faultOf(fault *jsonschema.ValidationError) error {
	for len(fault.Causes) > 0 {
		fault = fault.Causes[0]
	}
	// The address before the # is made up here and says nothing to people.
	_, place, _ := strings.Cut(fault.SchemaURL, "#")
	return fmt.Errorf("the event does not fit its schema at #%s: %s", place, strings.Join(fault.ErrorKind.KeywordPath(), "/"))
}
