package eventbus_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fenced = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// TestReadmeIsTrue holds README.md to what is compiled and run: each Go block
// stands word for word in an example that has tests, each make target exists,
// each program and linked file is there, and JSON is a configuration that loads.
func TestReadmeIsTrue(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	files, err := filepath.Glob("examples/readme/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(source))
	}
	blocks := fenced.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("no code blocks")
	}
	for _, block := range blocks {
		switch language, code := block[1], strings.TrimSpace(block[2]); language {
		case "go":
			if !containsAny(sources, code) {
				t.Errorf("this block is in no file of examples/readme:\n%s", code)
			}
		case "sh":
			checkShell(t, code)
		case "json":
			if sample, err := os.ReadFile("examples/readme/fxapp/appsettings.json"); err != nil || strings.TrimSpace(string(sample)) != code {
				t.Errorf("this block is not examples/readme/fxapp/appsettings.json (%v):\n%s", err, code)
			}
		default:
			t.Errorf("a block of %s, which nothing checks", language)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("dead link: %v", err)
		}
	}
}

func containsAny(sources []string, code string) bool {
	for _, s := range sources {
		if strings.Contains(s, code) {
			return true
		}
	}
	return false
}

func checkShell(t *testing.T, code string) {
	t.Helper()
	for line := range strings.Lines(code) {
		words := strings.Fields(strings.SplitN(line, "#", 2)[0])
		switch {
		case len(words) == 2 && words[0] == "make":
			if out, err := exec.Command("make", "-n", words[1]).CombinedOutput(); err != nil {
				t.Errorf("make %s: %v: %s", words[1], err, out)
			}
		case len(words) == 5 && words[0] == "go" && words[1] == "-C" && words[3] == "run":
			if _, err := os.Stat(filepath.Join(words[2], words[4])); err != nil {
				t.Error(err)
			}
		case len(words) == 3 && words[0] == "go" && words[1] == "get":
		default:
			t.Errorf("nothing checks the line %q", line)
		}
	}
}
