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
// Text is the schema if its fields are not known. Text and Fields are empty for a type without a
// schema.
type typeView struct {
	*catalog.Event
	Publishers []string
	Fields     []catalog.Field
	Text       string
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

// maxFields bounds the fields of a type that a page shows. Schemas come from members, and
// may describe any number.
const maxFields = 200

// newTypeView lists the fields of a type. A type without any is still worth a row.
func newTypeView(e *catalog.Event, publishers []string) typeView {
	v := typeView{Event: e, Publishers: publishers}
	for f := range e.Fields() {
		if len(v.Fields) == maxFields {
			break
		}
		v.Fields = append(v.Fields, f)
	}
	// It stays empty if the schema is not a JSON string.
	_ = json.Unmarshal(e.Schema, &v.Text)
	return v
}
