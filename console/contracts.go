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
	"github.com/eventbus-go/eventbus/internal/mask"
)

// catalogView is the page of topics and types.
// Changes are from Config.Catalog to what the members have. More counts topics that match
// Find beyond maxTopicsShown.
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
// It points into the catalogue, which is shared: pages do not change it.
type topicView struct {
	*catalog.Topic
	Types []typeView
}

// typeView is a type of event.
// Fields are those of a JSON Schema, Text a schema of another kind; both are empty for a
// type without a schema.
type typeView struct {
	*catalog.Event
	Publishers []string
	Fields     []fieldView
	Text       string // of a schema that is not a JSON Schema
}

// fieldView is a field of a type.
// Path names it from the top of the data, with [] for the elements of a list. Type is in
// words. Personal is what the schema marks, which pages mask in data.
type fieldView struct {
	Path, Type, Doc    string
	Required, Personal bool
}

// maxTopicsShown bounds the page. Downloads have the whole catalogue.
const maxTopicsShown = 200

// contracts makes the page of the catalogue. Members are asked for theirs once a minute, so
// the page may be that much older than a deployment.
func (d *desk) contracts(ctx context.Context, r *http.Request) (any, error) {
	// Its result is of no use here. It has members asked that were not heard for some time, and
	// their catalogues with it.
	d.watch.look(ctx)
	v := &catalogView{Find: r.URL.Query().Get("find"), Compare: d.config.Catalog != nil}
	// There may be a document with the error: the page shows both.
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
		// A topic is found by its types too, and then shown with all of them: who looks for a
		// type wants to see what else is in its topic.
		if v.Find != "" && !strings.Contains(strings.ToLower(t.Name+" "+typeNames(t)), strings.ToLower(v.Find)) {
			continue
		}
		// The rest is still counted, so the page can say how many it leaves out.
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
	// Without a member's catalogue the document is Config.Catalog itself, and equal to it.
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
		// Members of two versions contradict each other during each deployment that changes a
		// declaration. One catalogue is better then than none.
		return all[0], fmt.Errorf("the members' catalogues contradict each other, the first one's is shown: %w", err)
	}
	return merged, nil
}

// publishers returns the services that publish each type on each topic.
// The keys are topic and type. It reads the members' own catalogues: a merged one says that
// a type is published, and no more of which service does.
func (d *desk) publishers() map[[2]string][]string {
	all := make(map[[2]string][]string)
	for _, document := range d.watch.catalogs() {
		for _, t := range document.Topics {
			for _, e := range t.Events {
				id := [2]string{t.Name, e.Type}
				// Several members are of one service.
				if e.Published && document.Service != "" && !slices.Contains(all[id], document.Service) {
					all[id] = append(all[id], document.Service)
				}
			}
		}
	}
	return all
}

// typeNames returns the types of a topic in one text, to be searched.
func typeNames(t *catalog.Topic) string {
	var b strings.Builder
	for _, e := range t.Events {
		b.WriteString(e.Type + " ")
	}
	return b.String()
}

// newTypeView parses the schema of a type. One that is not JSON leaves the fields empty: the
// type itself is still worth a row.
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
// Schemas come from members, and may refer to themselves: depth ends that, and the number
// of fields what a wide schema makes of it.
const (
	maxFields     = 200
	maxFieldDepth = 5
)

// fieldsOf adds the fields of a schema, by their paths.
func fieldsOf(all []fieldView, prefix string, schema any, root any, depth int) []fieldView {
	s := mask.Resolved(schema, root)
	if s == nil || depth > maxFieldDepth {
		return all
	}
	// A list has no row of its own here: the field that it is the value of has one.
	if items, ok := s["items"]; ok {
		return fieldsOf(all, prefix+"[]", items, root, depth+1)
	}
	required, _ := s["required"].([]any)
	properties, _ := s["properties"].(map[string]any)
	// The order of a schema's own text is lost in the map, so names are sorted.
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if len(all) == maxFields {
			return all
		}
		path := strings.TrimPrefix(prefix+"."+name, ".")
		// A reference may have words beside it (JSON Schema 2020-12, section 8.2.3.1): the
		// description and the mark of this use are in outer, those of what it refers to in inner.
		outer, _ := properties[name].(map[string]any)
		inner := mask.Resolved(properties[name], root)
		f := fieldView{Path: path, Type: typeOf(inner), Required: slices.Contains(required, any(name)), Personal: outer[jsonschema.Personal] == true || inner[jsonschema.Personal] == true}
		f.Doc, _ = outer["description"].(string)
		all = fieldsOf(append(all, f), path, inner, root, depth+1)
	}
	return all
}

// typeOf returns the type of a schema in a word or two.
// It is for readers. The schema itself is in the download.
func typeOf(s map[string]any) string {
	// The values say more than the type that they have.
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
	// JSON Schema allows several types, mostly one and null.
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
