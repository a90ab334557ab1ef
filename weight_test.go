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

// TestWeight builds a core service as a user would and looks at what came of it.
func TestWeight(t *testing.T) {
	goFiles(t, false) // opens the sources, so that a cached result expires with them
	program := filepath.Join(t.TempDir(), "core")
	// Debug information has the paths of the sources: without -trimpath the size would
	// depend on where they lie.
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
