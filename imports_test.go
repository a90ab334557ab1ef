package eventbus_test

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/eventbus-go/eventbus"

// light lists what a contracts package, which imports only the root, pulls into a program
// besides the standard library.
var light = []string{
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/attribute",
	"go.opentelemetry.io/otel/codes",
	"go.opentelemetry.io/otel/metric/...",
	"go.opentelemetry.io/otel/propagation",
	"go.opentelemetry.io/otel/semconv/...",
	"go.opentelemetry.io/otel/trace/...",
	"github.com/cenkalti/backoff/v5",
	"github.com/goccy/go-json/...",
	"github.com/sony/gobreaker/v2",
}

// room lists our packages that tests of the packages below kafka may import: each other,
// the conformance suite and the memory transport, never the root.
var room = []string{"transport/...", "kafka/internal/..."}

// directions lists what the packages of a directory may import: ours are
// packages of this repository, others those of other modules. In patterns,
// "/..." stands for the directory and all below it. The first row that fits a
// directory holds; a directory that fits none (commands, examples, the test kit,
// the fx module, nested modules) may import anything that reserved and the rule
// about internal packages allow.
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
	{dir: "internal/lease", ours: []string{"transport"}},
	{dir: "internal/errtree"},
	{dir: "internal/eventid"},
	{dir: "internal/stack"},
	{dir: "internal/grouptypes", ours: []string{"transport"}},
	{dir: "internal/wire", ours: []string{"transport"}, others: []string{"github.com/goccy/go-json/jsontext"}},
	{dir: "internal/naming"},
	{dir: "internal/letter", ours: []string{"transport", "internal/wire", "internal/naming"}},
	{dir: "internal/declare", ours: []string{"transport", "internal/wire", "internal/naming", "internal/murmur2"}},
	{dir: "internal/keypath", ours: []string{"internal/declare", "internal/errtree"}},
	{dir: "internal/replay", ours: []string{"transport"}},
	{dir: "internal/brokergate", ours: []string{"resilience"}},
	{dir: "internal/jsonsame", ours: []string{"internal/keypath", "internal/errtree"}},
	{dir: "internal/scan", ours: []string{"transport", "kafka"}, tests: []string{"..."}},
	{dir: "internal/visible"},
	{dir: "internal/grouplag", ours: []string{"transport", "kafka", "internal/engine"}, tests: []string{"..."}},
	{dir: "internal/doctor", ours: []string{"transport", "kafka", "internal/grouplag", "internal/scan", "internal/declare", "internal/naming"}, tests: []string{"..."}},
	{dir: "internal/mask", ours: []string{"catalog", "internal/letter", "internal/naming", "internal/jsonschema", "internal/avroschema"}, tests: []string{"."}},
	{dir: "internal/foreign", ours: []string{".", "format", "transport", "internal/letter", "internal/wire"}},
	{dir: "internal/redrive", ours: []string{"transport", "kafka", "internal/letter", "internal/naming", "internal/wire", "internal/foreign", "internal/scan", "internal/declare"}, tests: []string{"..."}},
	{dir: "internal/engine", ours: []string{"transport", "resilience", "internal/stack"}, tests: []string{"transport/..."}},
	{dir: "internal/telemetry", ours: []string{"transport", "resilience", "internal/wire", "internal/letter", "internal/engine", "internal/errtree"}, others: light, tests: []string{"transport/..."}},
	{dir: "internal/...", ours: []string{"transport", "resilience", "internal/..."}, others: light, tests: []string{"transport/..."}},
	{dir: "kafka/internal/kerr", ours: []string{"transport"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/handshake", others: []string{"..."}, tests: room},
	{dir: "kafka/internal/balance", ours: []string{"transport", "internal/grouptypes"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/batch", ours: []string{"transport", "kafka/internal/kerr"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/cluster", ours: []string{"transport", "kafka/internal/kerr", "kafka/internal/handshake"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/produce", ours: []string{"transport", "kafka/internal/kerr", "kafka/internal/batch", "kafka/internal/cluster", "internal/murmur2"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/fetch", ours: []string{"transport", "kafka/internal/kerr", "kafka/internal/batch", "kafka/internal/cluster"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/group", ours: []string{"transport", "kafka/internal/kerr", "kafka/internal/balance", "kafka/internal/cluster", "kafka/internal/fetch", "internal/grouptypes"}, others: []string{"..."}, tests: room},
	{dir: "kafka/internal/bed", ours: []string{"transport", "kafka/internal/kerr", "kafka/internal/batch"}, others: []string{"..."}, tests: room},
	{dir: "secret", tests: []string{"..."}},
	{dir: "kafka", ours: []string{"internal/grouptypes", "transport", "secret", "kafka/internal/..."}, others: []string{"..."}, tests: append([]string{"kafkatest/embedded"}, room...)}, // which its examples run
	{dir: "kafka/...", ours: []string{"transport", "kafka/internal/..."}, others: []string{"..."}, tests: room},
	{dir: "catalog", ours: []string{".", "transport", "internal/declare", "internal/naming", "internal/jsonschema", "internal/avroschema"}, others: []string{"github.com/go-json-experiment/json/..."}, tests: []string{"..."}},
	{dir: "cloudevents", ours: []string{".", "internal/wire"}, others: []string{"github.com/cloudevents/sdk-go/v2/..."}, tests: []string{"..."}},
	{dir: "format", ours: []string{".", "transport", "internal/wire"}, tests: []string{"..."}},
	{dir: "inbox", ours: []string{"."}, tests: []string{"..."}},
	{dir: "admin", ours: []string{".", "transport", "catalog", "secret"}, tests: []string{"..."}},
	// A program that links a template package keeps every exported method, five megabytes
	// of a service: nothing else imports this one, but for the tool and fxmodule/fxconsole.
	{dir: "console", ours: []string{".", "transport", "kafka", "catalog", "secret", "internal/..."}, tests: []string{"..."}},
	{dir: "examples/contracts", ours: []string{".", "format"}, tests: []string{"catalog"}},
}

// inside names the nested modules that may import internal packages of the root,
// because no program ever builds them beside another version of it: the tool is
// a program of its own. A library module may be: a service that requires
// postgres v1.2.0 and the root at v1.3.0 gets both, and would not compile if an
// internal package had changed.
var inside = []string{"cmd/eventbus"}

// reserved names the modules that only the packages below these directories
// may import, in tests too.
var reserved = []struct {
	module string
	dirs   []string
}{
	{"github.com/segmentio/kafka-go", []string{"kafka/...", "bench/...", "examples/migration/..."}},
	{"github.com/twmb/franz-go", []string{"kafka/...", "schema/...", "cmd/eventbus", "kafkatest/...", "chaos/...", "interop/...", "examples/...", "bench/..."}}, // chaos, interop and bench compare with another's client; the tool's tests have its fake of a registry
	{"github.com/testcontainers", []string{"kafkatest/kafkacontainer", "postgres/..."}},
	{module + "/console", []string{"console/...", "fxmodule/fxconsole", "cmd/...", "examples/..."}}, // it links html/template
	{"html/template", []string{"console/...", "fxmodule/fxconsole", "cmd/..."}},
	{"text/template", []string{"console/...", "fxmodule/fxconsole", "cmd/..."}},
	{"go.opentelemetry.io/otel/sdk", []string{".", "internal/...", "fxmodule/...", "kafkatest/...", "examples/...", "cmd/...", "bench/...", "postgres/..."}},
}

// TestImports holds the import directions that docs/design.md draws. It parses
// the files itself: a test that asks the go command what is imported would be
// answered from the cache of test results after an import was added.
func TestImports(t *testing.T) {
	files := goFiles(t, true)
	modules := nestedModules(t)
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
			if m := moduleOf(modules, dir); reachesInside(m, imported) {
				t.Errorf("%s imports %s: module %s is built beside other versions of the root, whose internal packages change", name, imported, m)
			}
		}
	}
	// The rows above mean nothing if the walk misses the files that they are about.
	for _, name := range []string{"imports_test.go", "transport/record.go", "internal/murmur2/murmur2.go", "cmd/eventbus/main.go"} {
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
		{"internal/engine", module + "/internal/telemetry", false, false},
		{"internal/wire", module + "/internal/letter", false, false},
		{"internal/redrive", module + "/kafka", false, true},
		{"internal/telemetry", module + "/kafka", false, false},
		{"internal/naming", module + "/internal/declare", false, false},
		{"kafka", module, false, false},
		{"kafka", module, true, false},
		{"kafka", module + "/transport/transporttest", true, true},
		{"kafka", module + "/kafka/internal/group", false, true},
		{"kafka/internal/fetch", module + "/kafka/internal/cluster", false, true},
		{"kafka/internal/fetch", module + "/kafka/internal/group", false, false},
		{"kafka/internal/cluster", module + "/kafka/internal/batch", false, false},
		{"kafka/internal/kerr", module + "/kafka/internal/cluster", false, false},
		{"kafka/internal/group", module + "/kafka", false, false},
		{"kafka/internal/bed", module + "/kafka/internal/cluster", false, false},
		{"kafka", module + "/kafkatest/embedded", true, true},
		{"kafka", module + "/kafkatest/embedded", false, false},
		{"kafka", "github.com/segmentio/kafka-go/sasl", false, true},
		{"admin", module, false, true},
		{"admin", module + "/internal/engine", false, false},
		{"admin", "go.uber.org/zap", false, false},
		{"admin", module + "/console", false, false},
		{"fxmodule", module + "/console", false, false},
		{"fxmodule/fxconsole", module + "/console", false, true},
		{"kafka", "html/template", false, false},
		{"console", "html/template", false, true},
		{"console", module + "/admin", false, false},
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

// TestImportsInside tests the rule that library modules don't import the root's internal
// packages, with cases that the tree does not have.
func TestImportsInside(t *testing.T) {
	modules := []string{"bench", "cmd/eventbus", "postgres"}
	for _, c := range []struct {
		dir, imported string
		want          bool
	}{
		{"postgres", module + "/internal/wire", true},
		{"postgres/migrate", module + "/kafka/internal/batch", true},
		{"postgres", module + "/postgres/internal/sql", false},
		{"postgres", module + "/transport", false},
		{"bench", module + "/bench/internal/peer", false},
		{"cmd/eventbus", module + "/internal/wire", false},
		{"kafkatest", module + "/internal/letter", false}, // of the root module itself
	} {
		if got := reachesInside(moduleOf(modules, c.dir), c.imported); got != c.want {
			t.Errorf("%s importing %s reaches inside another module: %t, want %t", c.dir, c.imported, got, c.want)
		}
	}
}

// nestedModules returns the directories of the modules inside this one.
func nestedModules(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.Name() == "go.mod" && name != "go.mod":
			dirs = append(dirs, path.Dir(filepath.ToSlash(name)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// moduleOf returns which of the nested modules a directory belongs to, and ""
// if it belongs to the root module.
func moduleOf(modules []string, dir string) string {
	found := ""
	for _, m := range modules {
		if below(m+"/...", dir) && len(m) > len(found) {
			found = m
		}
	}
	return found
}

// reachesInside reports whether a package of the nested module may not import
// imported, because it is an internal package of another module.
func reachesInside(nested, imported string) bool {
	own, ours := strings.CutPrefix(imported, module+"/")
	return nested != "" && !slices.Contains(inside, nested) &&
		ours && slices.Contains(strings.Split(own, "/"), "internal") && !below(nested+"/...", own)
}

func anyBelow(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if below(pattern, name) {
			return true
		}
	}
	return false
}

// below reports whether name is pattern, or lies below a pattern that ends in
// "/...". The pattern "..." covers everything.
func below(pattern, name string) bool {
	root, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		return name == pattern
	}
	return root == "" || strings.HasPrefix(name+"/", root)
}
