package eventbus_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What a service pays for eventbus and kafka: a new dependency of either has to
// be weighed against these.
const (
	maxModules = 20
	maxBytes   = 18_000_000 // on linux/amd64, with symbols and debug information
)

// TestWeight builds a core service as a user would, and checks its size and modules.
func TestWeight(t *testing.T) {
	goFiles(t, false) // opens the sources, so that a cached result expires with them
	program := filepath.Join(t.TempDir(), "core")
	// Debug information has the paths of the sources: without -trimpath the size would
	// depend on their location.
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, "./testdata/core").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, module := range info.Deps {
		linked = append(linked, module.Path)
	}
	if !slices.Contains(linked, "github.com/segmentio/kafka-go") {
		t.Fatalf("the service links %d modules, none of which knows Kafka", len(linked))
	}
	if len(linked) > maxModules {
		t.Errorf("a core service links %d modules, more than %d:\n%s", len(linked), maxModules, strings.Join(linked, "\n"))
	}
	file, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS+"/"+runtime.GOARCH == "linux/amd64" && file.Size() > maxBytes {
		t.Errorf("a core service takes %d bytes, more than %d; go tool nm -size -sort size shows of what", file.Size(), maxBytes)
	}
	t.Logf("%d modules, %d bytes", len(linked), file.Size())
}

// TestTemplatesAreApart: a program that links a template package keeps every exported
// method of all that it links, since a template may call any. So a service that does
// not show pages links none.
func TestTemplatesAreApart(t *testing.T) {
	goFiles(t, false) // as above
	for _, of := range []string{".", "./kafka", "./admin", "./health", "./config", "./fxmodule", "./catalog"} {
		out, err := exec.Command("go", "list", "-deps", of).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, linked := range strings.Fields(string(out)) {
			if linked == "html/template" || linked == "text/template" {
				t.Errorf("%s links %s", of, linked)
			}
		}
	}
	if out, err := exec.Command("go", "list", "-deps", "./fxmodule/fxconsole").Output(); err != nil || !strings.Contains(string(out), "html/template") {
		t.Errorf("fxconsole links no template package: is this looked for? %v", err)
	}
}
