package prometheus

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// folder is the directory of the rules and dashboards.
const folder = "../../docs/grafana"

// load parses rules as Prometheus does at its start. It checks fields, durations,
// expressions, names of labels, and templates, and returns all faults.
func load(text string) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse([]byte(text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
}

// TestAlertRules: Prometheus accepts the alert rules. With any of several mistakes in them it
// would not.
func TestAlertRules(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(folder, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, faults := load(string(content))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 8 {
		t.Errorf("want one group of at least eight rules: %+v", rules)
	}
	for name, planted := range map[string][2]string{
		"a misspelt field":             {"annotations:", "annotation:"},
		"an invalid duration":          {"for: 2m", "for: two minutes"},
		"an incomplete expression":     {"> 300", "> "},
		"an unknown function":          {"max by", "maximum by"},
		"an empty label name":          {"labels: { severity: page }", `labels: { "": page }`},
		"an unknown template function": {"humanizeDuration }}", "humaniseDuration }}"},
		"an empty name of an alert":    {"alert: EventbusGroupBehind", "alert: ''"},
	} {
		if _, faults := load(strings.Replace(string(content), planted[0], planted[1], 1)); len(faults) == 0 {
			t.Errorf("%s is not a fault", name)
		}
	}
}

// TestDashboards: Prometheus parses every query of the dashboards.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	// Grafana replaces variables before it sends a query. Other variables are within strings,
	// so the queries are valid with them.
	duration := strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(content, &board); err != nil {
			t.Fatal(err)
		}
		queries := 0
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				queries++
				if _, err := parser.NewParser(parser.Options{}).ParseExpr(duration.Replace(target.Expr)); err != nil {
					t.Errorf("%s, %s: %v", file, p.Title, err)
				}
			}
		}
		if queries < 5 {
			t.Errorf("%s: found %d queries, want at least five", file, queries)
		}
	}
}
