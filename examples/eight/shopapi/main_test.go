package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/eight/shop"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// TestApp runs the whole program: it publishes, is healthy, tells what it does, and has
// sent its traces when it has stopped.
func TestApp(t *testing.T) {
	var traced atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		traced.Add(int32(len(body))) //nolint:gosec // some hundred bytes
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("EventBus__Health__Address", "127.0.0.1:0")
	t.Setenv("EventBus__Admin__Address", "127.0.0.1:0")
	cluster := kafkatest.NewMemory(t)
	var admin *fxmodule.AdminEndpoint
	application := fxtest.New(t, app, cluster.Module(), fx.Populate(&admin))
	application.RequireStart()
	topic := shop.Topics[0].(*eventbus.Topic[shop.OrderPlaced])
	kafkatest.Published(t, cluster, topic, shop.OrderPlaced{ID: "o-1", Email: "ada@example.com"})
	response, err := http.Get("http://" + admin.Addr().String() + "/groups")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the admin handler answers %s", response.Status)
	}
	application.RequireStop()
	if traced.Load() == 0 {
		t.Error("no traces were sent")
	}
}
