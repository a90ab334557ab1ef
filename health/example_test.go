package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func ExampleHandler() {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "sales-api", Environment: "Development"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bus.Close(context.Background())
	mux := http.NewServeMux()
	mux.Handle("/health", health.Handler(bus))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"status":"Healthy","checks":{"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]}}}
}

func ExampleCheck() {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "sales-api", Environment: "Development"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bus.Close(context.Background())
	ping := func(context.Context) error { return errors.New("connect as sales with password …: refused") }
	handler := health.Handler(bus, health.Check("database", "orders database", ping, "db"), health.Logger(slog.New(slog.DiscardHandler)))

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health/ready", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 503 {"status":"Unhealthy","checks":{"database":{"status":"Unhealthy","description":"orders database","tags":["db"],"error":"failed"},"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]}}}
}
