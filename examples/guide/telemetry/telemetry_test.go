package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/guide/telemetry"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// TestTheBusReports publishes and handles one event, then asks for its spans and
// its metrics.
func TestTheBusReports(t *testing.T) {
	var sent atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	end, err := telemetry.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster := kafkatest.NewMemory(t)
	cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, func(context.Context, sales.CustomerCreated) error { return nil }))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, sales.CustomerCreated{CustomerID: "c-1"})
	cluster.Settle(t)
	metrics := httptest.NewRecorder()
	promhttp.Handler().ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, name := range []string{"messaging_process_duration_seconds_count", "eventbus_partition_lag"} {
		if !strings.Contains(metrics.Body.String(), name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	if err := end(t.Context()); err != nil || sent.Load() == 0 {
		t.Errorf("%d requests with spans, %v", sent.Load(), err)
	}
}
