package jsonschema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/eventbus-go/eventbus/schema/internal/codec"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// own is the URL of the schema itself, against which references are resolved.
const own = "schema:///own"

// nowhere is a loader that loads nothing: a $ref must not make this process open files
// or connections.
type nowhere struct{}

// Load always fails: references are named when the codec is declared.
func (nowhere) Load(string) (any, error) {
	return nil, errors.New("it is not a reference of the schema: name it with registry.Refer")
}

// newCompiler returns a compiler that, like registries, uses draft-07 for a schema
// that names no draft.
func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.DefaultDraft(jsonschema.Draft7)
	return c
}

// add adds a schema under the name that a $ref uses. The name is resolved like the
// $ref.
func add(c *jsonschema.Compiler, name, text string) error {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	// A relative $ref is resolved against own.
	if !strings.Contains(name, "://") {
		name = "schema:///" + strings.TrimPrefix(name, "/")
	}
	return c.AddResource(name, document)
}

// compile compiles a schema, with the schemas added before.
func compile(c *jsonschema.Compiler, text string) (*jsonschema.Schema, error) {
	if err := add(c, own, text); err != nil {
		return nil, fmt.Errorf("the schema is not JSON: %w", err)
	}
	schema, err := c.Compile(own)
	if err != nil {
		return nil, fmt.Errorf("the schema can't be used: %w", err)
	}
	return schema, nil
}

// deepest bounds the references between schemas.
const deepest = 32

// compileAll compiles a schema of the registry with the schemas that it refers to.
func compileAll(s *registry.Schema, load codec.Load) (*jsonschema.Schema, error) {
	c := newCompiler()
	if err := addAll(c, s, load, make(map[string]bool), 0); err != nil {
		return nil, err
	}
	return compile(c, s.Text)
}

// addAll adds the schemas that a schema refers to, each once: references may form a
// circle, and several may lead to the same schema.
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

// faultOf returns an error with the part of the schema that an event does not fit, for
// the first of the innermost faults. It omits the place in the event, since the keys
// of maps are data.
func faultOf(fault *jsonschema.ValidationError) error {
	for len(fault.Causes) > 0 {
		fault = fault.Causes[0]
	}
	// The URL before the # is own, and means nothing to people.
	_, place, _ := strings.Cut(fault.SchemaURL, "#")
	return fmt.Errorf("the event does not fit its schema at #%s: %s", place, strings.Join(fault.ErrorKind.KeywordPath(), "/"))
}
