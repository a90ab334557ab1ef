package admin

import (
	"encoding/json"
	"net/http"
)

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer can't be written as JSON"}`)
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

// speakJSON has what net/http itself refuses said in JSON: paths and methods that
// are not served, and orders from another origin.
func speakJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&translator{ResponseWriter: w}, r)
	})
}

// translator replaces answers in plain text.
type translator struct {
	http.ResponseWriter
	drop bool
}

func (t *translator) WriteHeader(status int) {
	header := t.Header()
	if header.Get("Content-Type") == "application/json" {
		t.ResponseWriter.WriteHeader(status)
		return
	}
	t.drop = true
	header.Set("Content-Type", "application/json")
	refuse(t.ResponseWriter, status, http.StatusText(status))
}

func (t *translator) Write(b []byte) (int, error) {
	if t.drop {
		return len(b), nil
	}
	return t.ResponseWriter.Write(b)
}
