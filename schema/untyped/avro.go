package untyped

import (
	"errors"
	"fmt"

	"github.com/twmb/avro"

	"github.com/eventbus-go/eventbus/schema/internal/avroschema"
	"github.com/eventbus-go/eventbus/schema/registry"
)

const (
	// deepest bounds the depth of references between schemas, and of nested types.
	deepest = 100
	// mostDigits bounds the digits of a decimal after its point, of which one byte of
	// data may produce very many.
	mostDigits = 1000
)

// avroDecoder decodes with the writer's schema into maps and slices, and encodes these
// as JSON. Logical types such as dates and decimals keep their meaning.
func avroDecoder(s *registry.Schema, load load) (decode, func(string) fields, error) {
	schema, err := avroschema.Parse(s, load, deepest)
	if err != nil {
		return nil, nil, err
	}
	root := schema.Root()
	bounds := sizes{empty: make(map[string]bool)}
	if err := bounds.check(root, 0); err != nil {
		return nil, nil, err
	}
	record := root.Name
	if root.Namespace != "" {
		record = root.Namespace + "." + record
	}
	return func(data, _ []byte, _ bool, _ string) (string, []byte, error) {
		var v any
		// Data of another schema may decode by accident, but then rarely ends with the
		// value.
		rest, err := schema.Decode(data, &v)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%d bytes are left after the value", len(rest))
		}
		if err != nil {
			return record, nil, err
		}
		text, err := schema.EncodeJSON(v)
		return record, text, err
	}, func(string) fields { return avroFields(root) }, nil
}

// sizes checks a schema for types of which a few bytes of data could become a huge
// value. empty has the names of the types whose values take no bytes; Avro declares a
// type before references to it.
type sizes struct{ empty map[string]bool }

// check refuses lists of items that take no bytes, and decimals with very many digits.
func (s *sizes) check(n *avro.SchemaNode, depth int) error {
	switch {
	case depth > deepest:
		return fmt.Errorf("it is more than %d deep", deepest)
	case n.Scale > mostDigits:
		return fmt.Errorf("a decimal has %d digits after its point", n.Scale)
	}
	// Inner types come first, since outer ones may refer to them.
	inner := []*avro.SchemaNode{n.Items, n.Values}
	for i := range n.Fields {
		inner = append(inner, &n.Fields[i].Type)
	}
	for i := range n.Branches {
		inner = append(inner, &n.Branches[i])
	}
	for _, i := range inner {
		if i == nil {
			continue
		}
		if err := s.check(i, depth+1); err != nil {
			return err
		}
	}
	if n.Name != "" && s.isEmpty(n) {
		s.empty[n.Name], s.empty[n.Namespace+"."+n.Name] = true, true
	}
	if n.Items != nil && s.isEmpty(n.Items) {
		return errors.New("it has a list of items that take no bytes")
	}
	return nil
}

// isEmpty reports whether values of a type take no bytes. A type that is not a kind of
// Avro's is a reference to a named type.
func (s *sizes) isEmpty(n *avro.SchemaNode) bool {
	switch n.Type {
	case "null":
		return true
	case "fixed":
		return n.Size == 0
	case "record", "error":
		for i := range n.Fields {
			if !s.isEmpty(&n.Fields[i].Type) {
				return false
			}
		}
		return true
	}
	return s.empty[n.Type]
}
