package avro

import (
	"fmt"
	"slices"

	"github.com/twmb/avro"
)

// unitOf has the units of the logical types that represent times as numbers.
var unitOf = map[string]string{
	"date": "days", "time-millis": "milliseconds", "time-micros": "microseconds",
	"timestamp-millis": "milliseconds", "timestamp-micros": "microseconds", "timestamp-nanos": "nanoseconds",
	"local-timestamp-millis": "milliseconds", "local-timestamp-micros": "microseconds", "local-timestamp-nanos": "nanoseconds",
}

// units finds times that two schemas count in different units. Schema resolution ignores logical
// types, so a reader would take the number as it is, and the time would silently be wrong by a
// factor of a thousand.
type units struct {
	writer, reader map[string]*avro.SchemaNode // by full name
	seen           map[[2]*avro.SchemaNode]bool
}

// checkUnits returns an error for the first place where two schemas differ in a unit.
func checkUnits(writer, reader *avro.Schema) error {
	w, r := writer.Root(), reader.Root()
	u := units{named(w, nil), named(r, nil), make(map[[2]*avro.SchemaNode]bool)}
	return u.check("", w, r)
}

// named adds the records of a schema to all, by full name.
func named(n *avro.SchemaNode, all map[string]*avro.SchemaNode) map[string]*avro.SchemaNode {
	if all == nil {
		all = make(map[string]*avro.SchemaNode)
	}
	if n == nil {
		return all
	}
	if len(n.Fields) > 0 || n.Type == "record" {
		name := n.Name
		if n.Namespace != "" {
			name = n.Namespace + "." + name
		}
		all[name] = n
	}
	for i := range n.Fields {
		named(&n.Fields[i].Type, all)
	}
	for i := range n.Branches {
		named(&n.Branches[i], all)
	}
	named(n.Items, all)
	return named(n.Values, all)
}

// check compares types as readers resolve them: fields by names and aliases, and union
// branches of the same type.
func (u *units) check(path string, w, r *avro.SchemaNode) error {
	if w == nil || r == nil {
		return nil
	}
	if known := u.writer[w.Type]; known != nil {
		w = known
	}
	if known := u.reader[r.Type]; known != nil {
		r = known
	}
	if u.seen[[2]*avro.SchemaNode{w, r}] {
		return nil
	}
	u.seen[[2]*avro.SchemaNode{w, r}] = true
	if from, to := unitOf[w.LogicalType], unitOf[r.LogicalType]; from != "" && to != "" && from != to {
		return fmt.Errorf("field %s: it was written as %s, and would be read as %s", path, w.LogicalType, r.LogicalType)
	}
	if w.Branches != nil || r.Branches != nil {
		return u.branches(path, w, r)
	}
	for i := range r.Fields {
		field := &r.Fields[i]
		at := slices.IndexFunc(w.Fields, func(f avro.SchemaField) bool { return f.Name == field.Name || slices.Contains(field.Aliases, f.Name) })
		if at < 0 {
			continue
		}
		if err := u.check(path+"."+field.Name, &w.Fields[at].Type, &field.Type); err != nil {
			return err
		}
	}
	if err := u.check(path+"[]", w.Items, r.Items); err != nil {
		return err
	}
	return u.check(path+"{}", w.Values, r.Values)
}

// branches compares the branches of two types, at least one of which is a union.
func (u *units) branches(path string, w, r *avro.SchemaNode) error {
	of := func(n *avro.SchemaNode) []avro.SchemaNode {
		if n.Branches != nil {
			return n.Branches
		}
		return []avro.SchemaNode{*n}
	}
	from, to := of(w), of(r)
	for i := range from {
		for j := range to {
			if from[i].Type != to[j].Type || from[i].Name != to[j].Name {
				continue
			}
			if err := u.check(path, &from[i], &to[j]); err != nil {
				return err
			}
		}
	}
	return nil
}
