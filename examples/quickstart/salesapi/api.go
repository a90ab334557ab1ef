package salesapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// publisher is all that the API needs of the bus; tests write their own.
type publisher interface {
	Publish(ctx context.Context, e CustomerRegistered) error
}

// api answers HTTP requests.
type api struct {
	registered publisher
	customers  *customers
	log        *slog.Logger
}

func newAPI(registered publisher, customers *customers, log *slog.Logger) *api {
	return &api{registered, customers, log}
}

// routes returns the handler of all paths. The patterns name methods, so that
// http.ServeMux answers others with 405.
func (a *api) routes(health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /health", health)
	mux.HandleFunc("POST /customers", a.create)
	mux.HandleFunc("GET /customers", a.list)
	return mux
}

// maxBody bounds a request, in bytes.
const maxBody = 64 << 10

// create answers 201 when the event is safe: all in-sync replicas have it.
func (a *api) create(w http.ResponseWriter, r *http.Request) {
	// No tags: package json ignores the case of names when it decodes.
	var request struct{ GivenName, FamilyName, Email string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&request); err != nil {
		reply(w, http.StatusBadRequest, fault{"the body is not a JSON object with givenName, familyName and email"})
		return
	}
	// Refused before there is an event, since a published one can't be taken back.
	if strings.TrimSpace(request.FamilyName) == "" {
		reply(w, http.StatusBadRequest, fault{"familyName is missing"})
		return
	}
	// The id is new for each request: a client that repeats one makes another customer.
	e := CustomerRegistered{
		CustomerID: uuid.NewString(), GivenName: request.GivenName, FamilyName: request.FamilyName,
		Email: request.Email, RegisteredAt: time.Now().UTC(),
	}
	// The cause is for the log alone: it may name brokers. The event may be in the log
	// all the same, as with eventbus.ErrOutcomeUnknown.
	if err := a.registered.Publish(r.Context(), e); err != nil {
		a.log.Error("customer not registered", "error", err)
		reply(w, http.StatusServiceUnavailable, fault{"try again later"})
		return
	}
	reply(w, http.StatusCreated, e)
}

// list answers with the customers whose events this process has handled. One that was
// just created may be missing.
func (a *api) list(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, a.customers.all())
}

// fault is the body of an answer that is not a success.
type fault struct {
	Error string `json:"error"`
}

// reply writes an answer in JSON.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The status is sent by now, and the client may have left: there is no one to tell.
	_ = json.NewEncoder(w).Encode(body)
}
