package outage_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/guide/outage"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
)

var ada = sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"}

func TestPublishWaitsForTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		created := eventbus.NewPublisher(cluster.Start(t), sales.CustomerCreatedTopic)
		var refused atomic.Int32
		kafkatest.FailPublishes(cluster, sales.CustomerCreatedTopic, func(sales.CustomerCreated) error {
			if refused.Add(1) <= 3 {
				return eventbus.ErrCircuitOpen
			}
			return nil
		})
		begin := time.Now()
		if err := outage.Publish(t.Context(), created, ada); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begin); waited != 3*time.Second {
			t.Errorf("published after %v", waited)
		}
		kafkatest.Published(t, cluster, sales.CustomerCreatedTopic, ada)
	})
}

func TestHandlerSaysWhetherToTryAgain(t *testing.T) {
	for name, of := range map[string]struct {
		fails  error
		status int
	}{
		"published":       {nil, http.StatusCreated},
		"breaker open":    {eventbus.ErrCircuitOpen, http.StatusServiceUnavailable},
		"outcome unknown": {eventbus.ErrOutcomeUnknown, http.StatusServiceUnavailable},
		"too large":       {eventbus.ErrTooLarge, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.NewMemory(t)
				created := eventbus.NewPublisher(cluster.Start(t), sales.CustomerCreatedTopic)
				kafkatest.FailPublishes(cluster, sales.CustomerCreatedTopic, func(sales.CustomerCreated) error { return of.fails })
				request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/customers", strings.NewReader(`{"customerId":"c-1","name":"Ada"}`))
				request.Header.Set("Idempotency-Key", "r-1")
				answer := httptest.NewRecorder()
				outage.Handler(created)(answer, request)
				if answer.Code != of.status {
					t.Errorf("status %d, not %d", answer.Code, of.status)
				}
			})
		})
	}
}
