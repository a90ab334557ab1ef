package catalog

import (
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/internal/avroschema"
)

// unnamed reports whether a schema is marked as one that its events don't name.
func unnamed(schema any) bool {
	props, _ := schema.(map[string]any)
	return props[avroschema.Unnamed] == true
}

// unnamedLayout compares the layout of data whose events name no schema. Readers have only their
// own schema to read it with, so defaults and promotions don't help. known is the number of
// changes found before this type.
func (c *avroComparison) unnamedLayout(path string, was, is avroschema.Type, known int) {
	a, b := layout{schema: c.old, met: make(map[string]int)}, layout{schema: c.now, met: make(map[string]int)}
	a.write(was)
	b.write(is)
	if a.String() == b.String() {
		return
	}
	for _, change := range c.changes[known:] {
		if change.Level == Breaking {
			return // the other change says more
		}
	}
	c.add(path, "layout-changed", Breaking, "", "", "events name no schema, so that readers take the data by their own, with which its bytes mean something else", "Name the schema by the framing Header or Prefix, or declare a new version of the topic")
}

// layout is a text of everything that decides how a value is encoded.
type layout struct {
	strings.Builder
	schema *avroschema.Schema
	met    map[string]int // numbers of types, by full name
}

// write adds a type. A type that was added before is written as its number, since types may
// contain themselves.
func (l *layout) write(t avroschema.Type) {
	if t.Name != "" {
		if n, ok := l.met[t.Name]; ok {
			fmt.Fprintf(l, "#%d ", n)
			return
		}
		l.met[t.Name] = len(l.met)
	}
	fmt.Fprintf(l, "%s(", t.Kind)
	switch t.Kind {
	case "record", "error":
		fields, _ := t.Props["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(map[string]any)
			fmt.Fprintf(l, "%v:", field["name"])
			l.write(l.schema.Read(field["type"], t.Namespace))
		}
	case "union":
		branches, _ := t.Props["branches"].([]any)
		for _, branch := range branches {
			l.write(l.schema.Read(branch, t.Namespace))
		}
	case "array":
		l.write(l.schema.Read(t.Props["items"], t.Namespace))
	case "map":
		l.write(l.schema.Read(t.Props["values"], t.Namespace))
	case "enum", "fixed":
		fmt.Fprint(l, t.Props["symbols"], t.Props["size"])
	}
	l.WriteString(")")
}
