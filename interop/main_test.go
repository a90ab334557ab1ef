//go:build integration

package interop

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for a broker or another program.
const patience = 60 * time.Second

// CustomerCreated is the event that all clients exchange.
type CustomerCreated struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
}

var customers = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain:     "sales",
	Name:       "customer",
	Plural:     true,
	Partitions: 6,
	Key:        func(e CustomerCreated) string { return e.CustomerID },
})

// cluster is a bus in a separate environment, so that tests share neither topics
// nor groups.
type cluster struct {
	brokers string
	bus     *eventbus.Bus
	topic   string // the full name of customers
}

func newCluster(t *testing.T, config eventbus.Config) *cluster {
	t.Helper()
	return newClusterOver(t, kafka.Config{}, config)
}

// newClusterOver is newCluster with settings for the driver.
func newClusterOver(t *testing.T, driver kafka.Config, config eventbus.Config) *cluster {
	t.Helper()
	brokers := os.Getenv("EVENTBUS_TEST_BROKERS")
	if brokers == "" {
		unavailable(t, "EVENTBUS_TEST_BROKERS names no brokers; make test-kafka starts one")
	}
	config.Service = "interop"
	config.Environment = "interop-" + strings.ToLower(rand.Text()[:8])
	config.Source = "urn:interop"
	config.AutoProvision = eventbus.ProvisionAlways
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	driver.Brokers = strings.Split(brokers, ",")
	bus, err := eventbus.New(kafka.New(driver), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := bus.Close(ctx); err != nil {
			t.Errorf("closing the bus: %v", err)
		}
	})
	return &cluster{brokers: brokers, bus: bus, topic: customers.In(config.Environment)}
}

// deadline returns the test's context with a deadline.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// unavailable skips a test that lacks its counterpart, or fails it where all
// counterparts are required.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
