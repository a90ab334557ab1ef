package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// answer writes v as JSON. A failed write is ignored, since the caller is gone.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer can't be written as JSON"}`)
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

// speakJSON answers paths and methods that are not served in JSON, where net/http
// would answer in plain text, and names what is served instead.
func speakJSON(next http.Handler, served []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&translator{ResponseWriter: w, method: r.Method, path: r.URL.Path, served: served}, r)
	})
}

// translator replaces plain-text answers.
type translator struct {
	http.ResponseWriter
	method, path string
	served       []string // patterns of http.ServeMux
	drop         bool
}

// Unwrap lets http.ResponseController reach the connection.
func (t *translator) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (t *translator) WriteHeader(status int) {
	header := t.Header()
	if is := header.Get("Content-Type"); is == "application/json" || is == markdown {
		t.ResponseWriter.WriteHeader(status)
		return
	}
	t.drop = true
	header.Set("Content-Type", "application/json")
	why := http.StatusText(status)
	switch status {
	case http.StatusNotFound:
		why = fmt.Sprintf("%s is not served; there are %s", t.path, strings.Join(t.served, ", "))
	case http.StatusMethodNotAllowed:
		why = fmt.Sprintf("%s takes %s, and not %s", t.path, header.Get("Allow"), t.method)
	}
	refuse(t.ResponseWriter, status, why)
}

// Write implements http.ResponseWriter. It reports dropped text as written,
// because net/http treats a short write as an error.
func (t *translator) Write(b []byte) (int, error) {
	if t.drop {
		return len(b), nil
	}
	return t.ResponseWriter.Write(b)
}
