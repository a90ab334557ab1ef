package eight

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestLines counts what a user writes for both services: contract, wiring, programs,
// configuration and the test of a handler, without blank lines and comments.
func TestLines(t *testing.T) {
	all, own := 0, 0
	for _, name := range []string{
		"shop/shop.go", "service/service.go", "shopapi/main.go", "shopapi/appsettings.json", "billing/main.go", "billing/appsettings.json", "billing/bill_test.go",
	} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		imports := false
		for line := range strings.Lines(string(source)) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "//") {
				continue
			}
			all++
			imports = imports || line == "import ("
			if !imports && !strings.HasPrefix(line, "package ") && !strings.HasPrefix(line, "import ") && !strings.HasPrefix(line, "func main()") {
				own++
			}
			imports = imports && line != ")"
		}
	}
	guide, err := os.ReadFile("../../docs/guide/first-service.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d lines with imports and `main`, %d without", all, own); !strings.Contains(string(guide), want) {
		t.Errorf("docs/guide/first-service.md does not say %q", want)
	}
	if all > 100 || own > 60 {
		t.Errorf("%d lines and %d without imports and main: 100 and 60 at most", all, own)
	}
}
