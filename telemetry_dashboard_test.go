package eventbus_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"github.com/eventbus-go/eventbus/transport/memory"
)

// series has the names of the metrics that an endpoint serves, with the labels of each.
type series map[string]map[string]bool

// served runs a bus that measures everything, and returns the resulting series of
// Prometheus. The library of the OpenTelemetry exporter for Prometheus makes the names,
// so the exporter itself need not be a dependency here.
func served(t *testing.T) series {
	t.Helper()
	found := make(series)
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l := newListener()
		finish := everythingMeasured(t, cluster, l.config("sales-api"))
		defer finish()
		var all metricdata.ResourceMetrics
		if err := l.reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				found.add(t, m)
			}
		}
	})
	return found
}

// add adds a metric under the names that the strategy UnderscoreEscapingWithSuffixes
// gives it.
func (s series) add(t *testing.T, m metricdata.Metrics) {
	t.Helper()
	kind, suffixes := otlptranslator.MetricType(otlptranslator.MetricTypeGauge), []string{""}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		kind = otlptranslator.MetricTypeNonMonotonicCounter
		if d.IsMonotonic {
			kind = otlptranslator.MetricTypeMonotonicCounter
		}
	case metricdata.Histogram[float64]:
		kind, suffixes = otlptranslator.MetricTypeHistogram, []string{"_bucket", "_count", "_sum"}
	}
	names := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	name, err := names.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: kind})
	if err != nil {
		t.Fatal(err)
	}
	labels := make(map[string]bool)
	for _, p := range pointsOf(t, m.Data) {
		for _, a := range p.attributes.ToSlice() {
			label, err := new(otlptranslator.LabelNamer).Build(string(a.Key))
			if err != nil {
				t.Fatal(err)
			}
			labels[label] = true
		}
	}
	for _, suffix := range suffixes {
		s[name+suffix] = maps.Clone(labels)
		if suffix == "_bucket" {
			s[name+suffix]["le"] = true
		}
	}
}

// Prometheus's own names: the label that a scrape or an OTLP receiver adds to every
// series, from the service's name, and the metric with the service's other attributes.
const job, targetInfo = "job", "target_info"

// dashboard is the part of a Grafana dashboard that the test needs.
type dashboard struct {
	SchemaVersion int
	Title, UID    string
	ID            *int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
		}
	}
	Panels []panel
}

type panel struct {
	ID         int
	Title      string
	Type       string
	Datasource struct{ Type, UID string }
	Targets    []struct {
		Expr, LegendFormat, RefID string
		Datasource                struct{ UID string }
	}
	GridPos struct{ X, Y, W, H int }
}

// The parts of a PromQL expression that are names, once its strings, durations and
// variables are removed.
var (
	selector  = regexp.MustCompile(`([a-z_:][\w:]*)(?:\{([^}]*)\})?`)
	grouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	matched   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	noNames   = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]`)
	inLegend  = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	functions = []string{"sum", "max", "min", "rate", "increase", "histogram_quantile", "label_values", "and", "clamp_max", "count"}
)

// named returns the metrics and the labels that an expression names.
func named(expr string) (metrics, labels []string) {
	expr = noNames.ReplaceAllString(expr, "")
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(g[1], ",") {
			labels = append(labels, strings.TrimSpace(name))
		}
	}
	for _, s := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
		if slices.Contains(functions, s[1]) {
			continue
		}
		metrics = append(metrics, s[1])
		for _, m := range matched.FindAllStringSubmatch(s[2], -1) {
			labels = append(labels, m[1])
		}
	}
	return metrics, labels
}

// TestDashboard checks that the metrics and labels in every query of the dashboard are
// really served.
func TestDashboard(t *testing.T) {
	content, err := os.ReadFile("docs/grafana/eventbus.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	if d.SchemaVersion < 41 || d.Title == "" || d.UID == "" || d.ID != nil {
		t.Errorf("schema version %d, title %q, uid %q, id %v", d.SchemaVersion, d.Title, d.UID, d.ID)
	}
	served := served(t)
	check := func(where, expr string, inLegend ...string) {
		t.Helper()
		metrics, labels := named(expr)
		if len(metrics) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, m := range metrics {
			of := served[m]
			if m == targetInfo {
				continue // the exporter's, with the attributes of the resource
			}
			if of == nil {
				t.Errorf("%s: nobody serves %s, of %s", where, m, expr)
			}
			for _, l := range append(labels, inLegend...) {
				if of != nil && !of[l] && l != job {
					t.Errorf("%s: %s has no label %s", where, m, l)
				}
			}
		}
	}
	if sources := d.Templating.List; len(sources) == 0 || sources[0].Type != "datasource" || sources[0].Query != "prometheus" || sources[0].Name != "datasource" {
		t.Fatalf("the first variable is not a data source for Prometheus")
	}
	for _, v := range d.Templating.List[1:] {
		metric, last, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
		if metric, _, _ := strings.Cut(metric, "{"); last == job && served[metric] != nil {
			t.Errorf("variable %s: services are those of %s", v.Name, targetInfo)
		}
		if !ok {
			t.Errorf("variable %s: %s is not label_values(metric, label)", v.Name, v.Definition)
		}
		check("variable "+v.Name, metric, last)
	}
	ids, titles := make(map[int]bool), ""
	shown := make(map[string]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: id %d, at %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		titles += strings.ToLower(p.Title) + "\n"
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has %d queries of %s", p.Title, len(p.Targets), p.Datasource.UID)
		}
		for _, q := range p.Targets {
			if !strings.Contains(q.Expr, `job=~"$service"`) {
				t.Errorf("panel %q is not of the chosen services: %s", p.Title, q.Expr)
			}
			var legend []string
			for _, l := range inLegend.FindAllStringSubmatch(q.LegendFormat, -1) {
				legend = append(legend, l[1])
			}
			check("panel "+p.Title, q.Expr, legend...)
			metrics, _ := named(q.Expr)
			for _, m := range metrics {
				shown[m] = true
			}
		}
	}
	for name := range served {
		histogram := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
		if !shown[name] && !shown[histogram+"_bucket"] {
			t.Errorf("no panel shows %s", name)
		}
	}
	for _, about := range []string{
		"publish rate", "publish latency", "publish errors", "consume rate", "process latency", "errors by type", "lag", "oldest unfinished",
		"parked keys", "in flight", "retries", "dead letters", "breaker state", "breaker transitions", "rebalances", "buffer", "handled per second", "members",
	} {
		if !strings.Contains(titles, about) {
			t.Errorf("no panel shows %s", about)
		}
	}
}

// TestNamed checks named, since a test that finds no names finds no mistakes.
func TestNamed(t *testing.T) {
	metrics, labels := named(`histogram_quantile(0.99, sum by (le, topic) (rate(a_seconds_bucket{group=~"$group", error_type!=""}[$__rate_interval]))) and on (x) max(b_total)`)
	if !slices.Equal(metrics, []string{"a_seconds_bucket", "b_total"}) || !slices.Equal(labels, []string{"le", "topic", "x", "group", "error_type"}) {
		t.Errorf("metrics %q, labels %q", metrics, labels)
	}
}

// rule is an alert rule of Prometheus. Nothing else may be in the file.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// TestAlertRules loads the rules as strictly as Prometheus does, and checks that the
// metrics and labels in them and in their texts are served.
func TestAlertRules(t *testing.T) {
	file, err := os.Open("docs/grafana/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	served, names := served(t), make(map[string]bool)
	if len(all.Groups) != 1 || len(all.Groups[0].Rules) < 8 {
		t.Fatalf("the rules were not found: %+v", all)
	}
	for _, r := range all.Groups[0].Rules {
		if names[r.Alert] || !strings.HasPrefix(r.Alert, "Eventbus") || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
			t.Errorf("%s: labels %v", r.Alert, r.Labels)
		}
		names[r.Alert] = true
		if _, err := time.ParseDuration(r.For); err != nil && r.For != "" {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") || !regexp.MustCompile(`(>|==) \d+$`).MatchString(r.Expr) {
			t.Errorf("%s: %s compares nothing", r.Alert, r.Expr)
		}
		metrics, labels := named(r.Expr)
		if len(metrics) != 1 || served[metrics[0]] == nil {
			t.Errorf("%s: nobody serves %v", r.Alert, metrics)
			continue
		}
		for _, l := range labels {
			if !served[metrics[0]][l] && l != job {
				t.Errorf("%s: %s has no label %s", r.Alert, metrics[0], l)
			}
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s says nothing", r.Alert)
		}
		for _, text := range r.Annotations {
			for _, used := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
				if !slices.Contains(labels, used[1]) {
					t.Errorf("%s speaks of %s, which the expression does not keep", r.Alert, used[1])
				}
			}
		}
	}
}
