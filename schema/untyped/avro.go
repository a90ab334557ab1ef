package untyped

import (
	"errors"
	"fmt"

	"github.com/twmb/avro"

	"github.com/eventbus-go/eventbus/schema/internal/avroschema"
	"github.com/eventbus-go/eventbus/schema/registry"
)

const (
	// deepest bounds references between schemas, and schemas inside schemas.
	deepest = 100
	// mostDigits bounds the digits of a decimal behind its point: a byte of data may
	// stand for as many.
	mostDigits = 1000
)

// avroDecoder decodes by the writer's schema alone, into maps and slices, and writes these
// as Avro's JSON: logical types keep their meaning, as dates and decimals.
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
		// Data of another schema often decodes by accident, and then seldom ends where
		// the value does.
		rest, err := schema.Decode(data, &v)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%d bytes are left behind the value", len(rest))
		}
		if err != nil {
			return record, nil, err
		}
		text, err := schema.EncodeJSON(v)
		return record, text, err
	}, func(string) fields { return avroFields(root) }, nil
}

// sizes looks at a schema for what a few bytes of data could stand for. Empty are the
// names of the types whose values take no byte; Avro declares a type before it is
// referred to.
type sizes struct{ empty map[string]bool }

// check refuses lists of items that take no byte, and decimals with very many digits.
func (s *sizes) check(n *avro.SchemaNode, depth int) error {
	switch {
	case depth > deepest:
		return fmt.Errorf("it is more than %d deep", deepest)
	case n.Scale > mostDigits:
		return fmt.Errorf("a decimal has %d digits behind its point", n.Scale)
	}
	// Inner types first: Empty has to know those that the outer ones refer to.
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
		return errors.New("it has a list of items that take no byte")
	}
	return nil
}

// isEmpty reports whether values of a type take no byte. A type that is none of Avro's
// kinds is a reference to one that has a name.
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
