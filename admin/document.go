package admin

import (
	"fmt"
	"net/http"

	"github.com/eventbus-go/eventbus/catalog"
)

// document returns a handler that shows something made from the service's catalogue. If
// the declarations contradict each other it answers with a conflict, since no document
// could be right.
func (h *handler) document(show func(http.ResponseWriter, *http.Request, *catalog.Document)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := catalog.OfBus(h.bus)
		if err != nil {
			refuse(w, http.StatusConflict, err.Error())
			return
		}
		show(w, r, d)
	}
}

// whole answers GET /catalog.
func whole(w http.ResponseWriter, _ *http.Request, d *catalog.Document) {
	answer(w, http.StatusOK, d)
}

// asyncAPI answers GET /catalog/asyncapi, with the topics' addresses in the service's
// environment.
func (h *handler) asyncAPI(w http.ResponseWriter, r *http.Request, d *catalog.Document) {
	text, err := d.AsyncAPI(catalog.AsyncAPIConfig{Environment: d.Environment, Version: r.URL.Query().Get("version"), Protobuf: h.protobuf})
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusOK)
	w.Write(text)
}

// page answers GET /catalog/pages/{page}. Pages link to each other by name.
func page(w http.ResponseWriter, r *http.Request, d *catalog.Document) {
	name := r.PathValue("page")
	for _, f := range d.Markdown() {
		if f.Name == name {
			w.Header().Set("Content-Type", markdown)
			w.WriteHeader(http.StatusOK)
			w.Write(f.Content)
			return
		}
	}
	refuse(w, http.StatusNotFound, fmt.Sprintf("there is no page %q: begin with index.md", name))
}

// markdown is the media type of pages (RFC 7763). Browsers show or save them as text,
// so markup in declarations does not run.
const markdown = "text/markdown; charset=utf-8"
