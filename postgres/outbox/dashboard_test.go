package outbox

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/otlptranslator"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// measured returns the names of a relay's instruments, and the Prometheus labels of
// each.
func measured(t *testing.T) (labels map[string]string, instruments []string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/nothing") // connects to nothing yet
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	reader := sdk.NewManualReader()
	r, err := NewRelay(kafkatest.NewMemory(t).Bus(t), pool, Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	r.note(func(s *relayState) {
		s.leading = true
		s.status = &Status{Relays: []RelayStatus{{Name: "default", Pending: 1, Parked: 1, OldestAge: time.Second}}, Oldest: OldestTx{PID: 7, Age: time.Hour}}
	})
	r.metrics.sent(t.Context(), 1)
	r.metrics.deleted(t.Context(), 1)
	unregister := r.metrics.register()
	defer unregister()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	labels = make(map[string]string)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			instruments = append(instruments, m.Name)
			kind, suffix, own := otlptranslator.MetricType(otlptranslator.MetricTypeGauge), "", " eventbus_outbox_table eventbus_outbox_relay "
			switch m.Data.(type) {
			case metricdata.Sum[int64]:
				kind = otlptranslator.MetricTypeMonotonicCounter
			case metricdata.Histogram[int64]:
				kind, suffix, own = otlptranslator.MetricTypeHistogram, "_bucket", own+"le "
			}
			if strings.HasSuffix(m.Name, "horizon.age") {
				own += "eventbus_outbox_pid "
			}
			names := otlptranslator.MetricNamer{WithMetricSuffixes: true}
			name, err := names.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: kind})
			if err != nil {
				t.Fatal(err)
			}
			labels[name+suffix] = own
		}
	}
	return labels, instruments
}

// TestDashboard: the dashboard shows every metric, and no others.
func TestDashboard(t *testing.T) {
	content, err := os.ReadFile("../../docs/grafana/outbox.json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	labels, _ := measured(t)
	for _, found := range regexp.MustCompile(`(eventbus_outbox_\w+)\{`).FindAllStringSubmatch(text, -1) {
		if labels[found[1]] == "" {
			t.Errorf("nobody measures %s", found[1])
		}
	}
	for name, own := range labels {
		if !strings.Contains(text, name+"{") {
			t.Errorf("no panel shows %s", name)
		}
		for _, query := range regexp.MustCompile(`"expr": "[^\n]*`+name+`[^\n]*`).FindAllString(text, -1) {
			for _, label := range regexp.MustCompile(`(eventbus_outbox_(?:table|relay|pid))\b`).FindAllString(query, -1) {
				if !strings.Contains(own, " "+label+" ") {
					t.Errorf("%s has no label %s", name, label)
				}
			}
		}
	}
}

// TestAlerts: the handbook has an alert for each instrument except the batch size, and
// for no others.
func TestAlerts(t *testing.T) {
	content, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, instruments := measured(t)
	if len(instruments) != 8 {
		t.Errorf("%d instruments: %v", len(instruments), instruments)
	}
	known := strings.Join(instruments, "` ") + "`"
	for _, name := range instruments {
		if !strings.Contains(string(content), "`"+name+"`") && name != "eventbus.outbox.batch.size" {
			t.Errorf("no alert on %s", name)
		}
	}
	for _, found := range regexp.MustCompile("`(eventbus\\.outbox\\.[a-z.]+`)").FindAllStringSubmatch(string(content), -1) {
		if !strings.Contains(known, found[1]) {
			t.Errorf("there is no metric %s", found[1])
		}
	}
}
