package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/catalog"
)

// catalogView is the page of topics and types.
// Changes lead from Config.Catalog to what the members have. More is how many further
// topics match Find, beyond maxTopicsShown.
type catalogView struct {
	Topics  []topicView
	Problem string // why the members' catalogues could not be merged
	Changes []catalog.Change
	Compare bool // Config.Catalog is set
	Find    string
	More    int
}

// Few reports whether the page has room for the fields of all types.
func (v *catalogView) Few() bool { return len(v.Topics) <= 5 }

// topicView is a topic and its types. The topic is part of a shared catalogue, which pages
// must not change.
type topicView struct {
	*catalog.Topic
	Types []typeView
}

// typeView is an event type. Text is the schema if it is not JSON Schema. Without a schema,
// Text and Fields are empty.
type typeView struct {
	*catalog.Event
	Publishers []string
	Fields     []catalog.Field
	Text       string
}

// maxTopicsShown bounds the page. Downloads contain the whole catalogue.
const maxTopicsShown = 200

// contracts makes the page of the catalogue. Members are asked for theirs once a minute, so
// after a deployment the page may be that far behind.
func (d *desk) contracts(ctx context.Context, r *http.Request) (any, error) {
	// The result is not needed. The call makes members answer that were not asked lately, and
	// so refreshes their catalogues.
	d.watch.look(ctx)
	v := &catalogView{Find: r.URL.Query().Get("find"), Compare: d.config.Catalog != nil}
	// A document may come with the error: the page shows both.
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
		// A topic also matches by its types, and is then shown with all of them: a user who looks
		// for a type wants to see what else is in its topic.
		if v.Find != "" && !strings.Contains(strings.ToLower(t.Name+" "+typeNames(t)), strings.ToLower(v.Find)) {
			continue
		}
		// Further topics are counted, so that the page can say how many it leaves out.
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
	// Without any member's catalogue the document is Config.Catalog itself.
	if d.config.Catalog != nil && len(d.watch.catalogs()) > 0 {
		v.Changes = catalog.Compare(d.config.Catalog, document)
	}
	return v, nil
}

// document returns the members' catalogues merged into one, or Config.Catalog if no member
// has any.
func (d *desk) document() (*catalog.Document, error) {
	all := d.watch.catalogs()
	if len(all) == 0 {
		return d.config.Catalog, nil
	}
	merged, err := catalog.Merge(all...)
	if err != nil {
		// Members of two versions contradict each other during every deployment that changes a
		// declaration. One of their catalogues is then better than none.
		return all[0], fmt.Errorf("the members' catalogues contradict each other, the first one's is shown: %w", err)
	}
	return merged, nil
}

// publishers returns the services that publish each type, by topic and type. It reads the
// members' own catalogues: a merged one says that a type is published, but not by which
// service.
func (d *desk) publishers() map[[2]string][]string {
	all := make(map[[2]string][]string)
	for _, document := range d.watch.catalogs() {
		for _, t := range document.Topics {
			for _, e := range t.Events {
				id := [2]string{t.Name, e.Type}
				// A service may have several members.
				if e.Published && document.Service != "" && !slices.Contains(all[id], document.Service) {
					all[id] = append(all[id], document.Service)
				}
			}
		}
	}
	return all
}

// typeNames returns the types of a topic as one text to search in.
func typeNames(t *catalog.Topic) string {
	var b strings.Builder
	for _, e := range t.Events {
		b.WriteString(e.Type + " ")
	}
	return b.String()
}

// maxFields bounds the fields of a type that a page shows. Members send the schemas, which
// may describe any number.
const maxFields = 200

// newTypeView lists the fields of a type, if its schema describes any.
func newTypeView(e *catalog.Event, publishers []string) typeView {
	v := typeView{Event: e, Publishers: publishers}
	for f := range e.Fields() {
		if len(v.Fields) == maxFields {
			break
		}
		v.Fields = append(v.Fields, f)
	}
	// Text stays empty if the schema is not a JSON string.
	_ = json.Unmarshal(e.Schema, &v.Text)
	return v
}
