// Package outage publishes for an HTTP API while brokers come and go.
package outage

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
)

// Publish publishes an event and keeps trying until ctx ends, as long as the
// event was certainly not written.
func Publish(ctx context.Context, created *eventbus.Publisher[sales.CustomerCreated], e sales.CustomerCreated, options ...eventbus.PublishOption) error {
	for {
		err := created.PublishWith(ctx, e, options...)
		if !errors.Is(err, eventbus.ErrCircuitOpen) {
			return err // nil, or an error that waiting does not change
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}

// Handler registers customers. A client that repeats a request repeats its
// Idempotency-Key too, so the event keeps its id.
func Handler(created *eventbus.Publisher[sales.CustomerCreated]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var e sales.CustomerCreated
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&e); err != nil || r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "a customer and an Idempotency-Key, please", http.StatusBadRequest)
			return
		}
		// The client waits meanwhile: after two seconds it had better be told to come again.
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		switch err := Publish(ctx, created, e, eventbus.WithID(r.Header.Get("Idempotency-Key"))); {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
		case errors.Is(err, eventbus.ErrCircuitOpen), errors.Is(err, eventbus.ErrOutcomeUnknown):
			w.Header().Set("Retry-After", "5")
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			http.Error(w, "not registered", http.StatusInternalServerError)
		}
	}
}
