package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/secret"
)

type handler struct {
	bus   *eventbus.Bus
	token secret.Value
	level http.Handler
	// protobuf prints schemas for documents; nil prints none.
	protobuf func(json.RawMessage) (format, text string, err error)
}

// Handler returns a handler that serves a bus. To serve it under another path, wrap
// it in http.StripPrefix. It is safe for concurrent use and does not close the bus.
func Handler(bus *eventbus.Bus, options ...Option) http.Handler {
	h := &handler{bus: bus}
	for _, o := range options {
		o(h)
	}
	mux := http.NewServeMux()
	var served []string
	serve := func(pattern string, handler http.Handler) {
		mux.Handle(pattern, handler)
		served = append(served, pattern)
	}
	serve("GET /groups", http.HandlerFunc(h.groups))
	serve("GET /catalog", h.document(whole))
	serve("GET /catalog/asyncapi", h.document(h.asyncAPI))
	serve("GET /catalog/pages/{page}", h.document(page))
	serve("POST /groups/{group}/pause", order(func(group string, of subscription) error { return h.operator(of.said).Pause(group, of.Subscription) }))
	serve("POST /groups/{group}/resume", order(func(group string, of subscription) error { return h.operator(of.said).Resume(group, of.Subscription) }))
	serve("POST /groups/{group}/unpark", order(h.unpark))
	serve("POST /groups/{group}/skip", order(h.skip))
	serve("POST /groups/{group}/forget", order(func(group string, of forgotten) error {
		return h.operator(of.said).ForgetType(group, of.Topic, of.Type)
	}))
	serve("POST /groups/{group}/replay", http.HandlerFunc(h.replay))
	if h.level != nil {
		serve("GET /log-level", h.level)
		serve("PUT /log-level", h.level)
	}
	// A page of another origin must not give orders on behalf of the browser's user.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "a web page of another origin may not give orders")
	}))
	return h.guard(speakJSON(origin.Handler(mux), served))
}

// guard refuses callers without access, and bounds the bodies of all others.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if h.token.IsZero() {
			if !here(r) {
				refuse(w, http.StatusForbidden, "there is no token, so only this machine may ask, by a loopback address")
				return
			}
		} else {
			right, err := h.token.Reveal()
			if err != nil {
				refuse(w, http.StatusInternalServerError, "the token can't be read: "+err.Error())
				return
			}
			// Hashes have equal length, so the comparison does not reveal the token's length
			// either.
			want := sha256.Sum256([]byte(right))
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			got := sha256.Sum256([]byte(strings.TrimSpace(token)))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
				header.Set("WWW-Authenticate", `Bearer realm="eventbus"`)
				refuse(w, http.StatusUnauthorized, "wrong or missing token: send Authorization: Bearer and the token that the service was configured with")
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// forwarding lists the headers that proxies add to the requests they forward.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// here reports whether a request was made on this machine, and names a loopback
// host. The name is checked against DNS rebinding: a web page can have its own host
// name resolve to a loopback address. Requests that a local proxy forwards don't
// count, since they may come from elsewhere.
func here(r *http.Request) bool {
	for _, name := range forwarding {
		if _, forwarded := r.Header[name]; forwarded {
			return false
		}
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return loopback(remote) && loopback(strings.Trim(host, "[]"))
}
