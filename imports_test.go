package eventbus_test

import (
	"path"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/eventbus-go/eventbus"

// light is what a contracts package, which imports the root alone, pulls into a
// program beside the standard library.
var light = []string{
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/attribute",
	"go.opentelemetry.io/otel/codes",
	"go.opentelemetry.io/otel/metric/...",
	"go.opentelemetry.io/otel/propagation",
	"go.opentelemetry.io/otel/semconv/...",
	"go.opentelemetry.io/otel/trace/...",
	"github.com/cloudevents/sdk-go/v2/event/...",
	"github.com/cloudevents/sdk-go/v2/types",
	"github.com/cenkalti/backoff/v5",
	"github.com/go-json-experiment/json/...",
	"github.com/goccy/go-json",
	"github.com/gofrs/uuid/v5",
	"github.com/gertd/go-pluralize",
	"github.com/sony/gobreaker/v2",
}

// directions says what the packages of a directory may import: ours within this
// module, others of other modules. In patterns, "/..." stands for the directory
// and all below it. The first row that fits a directory holds; what fits none
// (commands, examples, the test kit, the fx module) may import what it likes,
// but for reserved.
var directions = []struct {
	dir          string
	ours, others []string
	tests        []string // what tests may import of ours besides
}{
	{dir: ".", ours: []string{"transport", "resilience", "internal/..."}, others: light, tests: []string{"..."}},
	{dir: "transport"},
	{dir: "transport/memory", ours: []string{"transport", "internal/..."}, tests: []string{"transport/..."}},
	{dir: "transport/transporttest", ours: []string{"transport"}, others: []string{"go.uber.org/goleak"}, tests: []string{"transport/..."}},
	{dir: "resilience", others: []string{"github.com/cenkalti/backoff/v5", "github.com/sony/gobreaker/v2"}},
	{dir: "internal/murmur2"},
	{dir: "internal/...", ours: []string{"transport", "resilience", "internal/..."}, others: light, tests: []string{"transport/..."}},
	{dir: "kafka/...", ours: []string{"transport", "kafka/...", "internal/..."}, others: []string{"..."}, tests: []string{"transport/..."}},
	{dir: "admin", ours: []string{"."}, tests: []string{"..."}},
	{dir: "examples/contracts", ours: []string{"."}},
}

// reserved names the modules that only the packages below these directories
// may import, in tests too.
var reserved = []struct {
	module string
	dirs   []string
}{
	{"github.com/segmentio/kafka-go", []string{"kafka/..."}},
	{"github.com/twmb/franz-go", []string{"kafka/...", "kafkatest/...", "chaos/...", "interop/...", "examples/..."}}, // chaos and interop check with another's client
	{"github.com/testcontainers", nil},
	{"go.opentelemetry.io/otel/sdk", []string{".", "internal/...", "fxmodule/...", "kafkatest/...", "examples/...", "cmd/..."}},
}

// TestImports holds the import directions that docs/design.md draws. It parses
// the files itself: a test that asks the go command what is imported would be
// answered from the cache of test results after an import was added.
func TestImports(t *testing.T) {
	files := goFiles(t, false)
	for name, file := range files {
		dir := path.Dir(name)
		test := strings.HasSuffix(name, "_test.go")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: import %s: %v", name, spec.Path.Value, err)
			}
			if !allowed(dir, imported, test) {
				t.Errorf("%s imports %s, which packages in %s may not (see docs/design.md)", name, imported, dir)
			}
		}
	}
	// The rows above are worth nothing if the walk missed what they speak of.
	for _, name := range []string{"imports_test.go", "transport/record.go", "internal/murmur2/murmur2.go"} {
		if files[name] == nil {
			t.Errorf("%s was not looked at", name)
		}
	}
}

func TestImportsRules(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		test, want    bool
	}{
		{".", "context", false, true},
		{".", module + "/transport", false, true},
		{".", module + "/transport/memory", false, false},
		{".", module + "/transport/memory", true, true},
		{".", module + "/kafka", false, false},
		{".", "go.uber.org/fx", false, false},
		{".", "go.opentelemetry.io/otel/trace", false, true},
		{".", "go.opentelemetry.io/otel/sdk/trace", false, false},
		{"transport", module, false, false},
		{"resilience", module + "/transport", false, false},
		{"resilience", "github.com/sony/gobreaker/v2", false, true},
		{"internal/engine", module, false, false},
		{"internal/engine", "github.com/segmentio/kafka-go", false, false},
		{"kafka", module, false, false},
		{"kafka", module, true, false},
		{"kafka", module + "/transport/transporttest", true, true},
		{"kafka", "github.com/segmentio/kafka-go/sasl", false, true},
		{"admin", module, false, true},
		{"admin", module + "/internal/engine", false, false},
		{"admin", "go.uber.org/zap", false, false},
		{"fxmodule", "github.com/segmentio/kafka-go", false, false},
		{"fxmodule", module + "/kafka", false, true},
		{"kafkatest", "github.com/twmb/franz-go/pkg/kfake", false, true},
		{"examples/quickstart/contracts/sales", module, false, true},
		{"examples/quickstart/contracts/sales", module + "/kafka", false, false},
		{"examples/quickstart/contracts/sales", "github.com/google/uuid", false, false},
		{"examples/quickstart/mailer", module + "/kafka", false, true},
	} {
		if got := allowed(c.dir, c.imported, c.test); got != c.want {
			t.Errorf("%s importing %s (test: %t) is allowed: %t, want %t", c.dir, c.imported, c.test, got, c.want)
		}
	}
}

func allowed(dir, imported string, test bool) bool {
	for _, r := range reserved {
		if below(r.module+"/...", imported) && !anyBelow(r.dirs, dir) {
			return false
		}
	}
	if strings.HasPrefix(dir, "examples/") && strings.Contains(dir+"/", "/contracts/") {
		dir = "examples/contracts"
	}
	for _, d := range directions {
		if !below(d.dir, dir) {
			continue
		}
		own, ours := strings.CutPrefix(imported, module)
		switch {
		case ours:
			own = path.Join(".", strings.TrimPrefix(own, "/"))
			return own == dir && test || anyBelow(d.ours, own) || test && anyBelow(d.tests, own)
		case strings.Contains(strings.SplitN(imported, "/", 2)[0], "."): // a module's path begins with a domain name
			return test || anyBelow(d.others, imported)
		}
		break
	}
	return true
}

func anyBelow(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if below(pattern, name) {
			return true
		}
	}
	return false
}

// below tells whether name is pattern, or lies below a pattern that ends in
// "/...". The pattern "..." is everything.
func below(pattern, name string) bool {
	root, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		return name == pattern
	}
	return root == "" || strings.HasPrefix(name+"/", root)
}
