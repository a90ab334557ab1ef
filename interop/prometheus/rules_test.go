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

const folder = "../../docs/grafana"

// load reads rules as a Prometheus does at its start: fields, durations, expressions, names
// of labels, and the templates of texts.
func load(text string) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse([]byte(text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
}

// TestAlertRules: Prometheus takes the alert rules, and would refuse them with a fault.
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
		t.Errorf("the rules were not found: %+v", rules)
	}
	for name, planted := range map[string][2]string{
		"a misspelt field":       {"annotations:", "annotation:"},
		"no duration":            {"for: 2m", "for: two minutes"},
		"an expression":          {"> 300", "> "},
		"a function":             {"max by", "maximum by"},
		"a label's name":         {"labels: { severity: page }", `labels: { "": page }`},
		"a template":             {"humanizeDuration }}", "humaniseDuration }}"},
		"a name that is missing": {"alert: EventbusGroupBehind", "alert: ''"},
	} {
		if _, faults := load(strings.Replace(string(content), planted[0], planted[1], 1)); len(faults) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestDashboards: Prometheus can parse every query of the dashboards.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	// Grafana's durations are put in before the query is sent; other variables are in strings.
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
			t.Errorf("%s: %d queries: were they found?", file, queries)
		}
	}
}
