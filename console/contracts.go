package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// catalogView is the page of topics and types.
type catalogView struct {
	Topics  []topicView
	Problem string // why the catalogues of the members are no whole
	Changes []catalog.Change
	Compare bool // there is a catalogue to compare with
	Find    string
	More    int
}

// Few reports whether there is room for the fields of all types.
func (v *catalogView) Few() bool { return len(v.Topics) <= 5 }

// topicView is a topic with who uses it.
type topicView struct {
	*catalog.Topic
	Types []typeView
}

// typeView is a type of event.
type typeView struct {
	*catalog.Event
	Publishers []string
	Fields     []fieldView
	Text       string // of a schema that is no JSON Schema
}

// fieldView is a field of a type.
type fieldView struct {
	Path, Type, Doc    string
	Required, Personal bool
}

const maxTopicsShown = 200

func (d *desk) contracts(ctx context.Context, r *http.Request) (any, error) {
	d.watch.look(ctx)
	v := &catalogView{Find: r.URL.Query().Get("find"), Compare: d.config.Catalog != nil}
	document, err := d.document()
	if err != nil {
		v.Problem = err.Error()
	}
	if document == nil {
		return v, nil
	}
	publishers := d.publishers()
	for i := range document.Topics {
		t := &document.Topics[i]
		if v.Find != "" && !strings.Contains(strings.ToLower(t.Name+" "+typeNames(t)), strings.ToLower(v.Find)) {
			continue
		}
		if len(v.Topics) == maxTopicsShown {
			v.More++
			continue
		}
		view := topicView{Topic: t}
		for k := range t.Events {
			e := &t.Events[k]
			view.Types = append(view.Types, newTypeView(e, publishers[[2]string{t.Name, e.Type}]))
		}
		v.Topics = append(v.Topics, view)
	}
	if d.config.Catalog != nil && len(d.watch.catalogs()) > 0 {
		v.Changes = catalog.Compare(d.config.Catalog, document)
	}
	return v, nil
}

// document returns the catalogue of all members as one, or the one that was given
// where no member has any.
func (d *desk) document() (*catalog.Document, error) {
	all := d.watch.catalogs()
	if len(all) == 0 {
		return d.config.Catalog, nil
	}
	merged, err := catalog.Merge(all...)
	if err != nil {
		return all[0], fmt.Errorf("the members' catalogues contradict each other, the first one's is shown: %w", err)
	}
	return merged, nil
}

// publishers returns the services that publish each type on each topic.
func (d *desk) publishers() map[[2]string][]string {
	all := make(map[[2]string][]string)
	for _, document := range d.watch.catalogs() {
		for _, t := range document.Topics {
			for _, e := range t.Events {
				id := [2]string{t.Name, e.Type}
				if e.Published && document.Service != "" && !slices.Contains(all[id], document.Service) {
					all[id] = append(all[id], document.Service)
				}
			}
		}
	}
	return all
}

func typeNames(t *catalog.Topic) string {
	var b strings.Builder
	for _, e := range t.Events {
		b.WriteString(e.Type + " ")
	}
	return b.String()
}

func newTypeView(e *catalog.Event, publishers []string) typeView {
	v := typeView{Event: e, Publishers: publishers}
	var schema any
	if json.Unmarshal(e.Schema, &schema) == nil {
		switch s := schema.(type) {
		case map[string]any:
			v.Fields = fieldsOf(nil, "", s, s, 0)
		case string:
			v.Text = s
		}
	}
	return v
}

// Bounds of the fields of a type that a page shows.
const (
	maxFields     = 200
	maxFieldDepth = 5
)

// fieldsOf adds the fields of a schema, by their paths.
func fieldsOf(all []fieldView, prefix string, schema any, root any, depth int) []fieldView {
	s := resolved(schema, root)
	if s == nil || depth > maxFieldDepth {
		return all
	}
	if items, ok := s["items"]; ok {
		return fieldsOf(all, prefix+"[]", items, root, depth+1)
	}
	required, _ := s["required"].([]any)
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if len(all) == maxFields {
			return all
		}
		path := strings.TrimPrefix(prefix+"."+name, ".")
		outer, _ := properties[name].(map[string]any)
		inner := resolved(properties[name], root)
		f := fieldView{Path: path, Type: typeOf(inner), Required: slices.Contains(required, any(name)), Personal: outer[jsonschema.Personal] == true || inner[jsonschema.Personal] == true}
		f.Doc, _ = outer["description"].(string)
		all = fieldsOf(append(all, f), path, inner, root, depth+1)
	}
	return all
}

// typeOf returns the type of a schema in a word or two.
func typeOf(s map[string]any) string {
	if values, ok := s["enum"].([]any); ok {
		var all []string
		for _, v := range values {
			all = append(all, fmt.Sprint(v))
		}
		return "one of " + strings.Join(all, ", ")
	}
	text := ""
	switch t := s["type"].(type) {
	case string:
		text = t
	case []any:
		var all []string
		for _, v := range t {
			all = append(all, fmt.Sprint(v))
		}
		text = strings.Join(all, " or ")
	}
	if format, ok := s["format"].(string); ok {
		text += " (" + format + ")"
	}
	if text == "" {
		return "any"
	}
	return text
}
