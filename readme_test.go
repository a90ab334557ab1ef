package eventbus_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?s)(?:^|\n)```([a-z]*)\n(.*?)\n```")
	linked = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
)

// TestReadmeIsShort keeps README.md short enough to be read to its end.
func TestReadmeIsShort(t *testing.T) {
	if words := len(strings.Fields(read(t, "README.md"))); words > 900 {
		t.Errorf("README.md has %d words, 900 at most", words)
	}
}

// TestReadmeFiguresAreMeasured compares the rows of README.md that have units
// with docs/performance.md: a figure that was measured again changes in both.
func TestReadmeFiguresAreMeasured(t *testing.T) {
	measured := read(t, "docs/performance.md")
	found := 0
	for line := range strings.Lines(read(t, "README.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || !strings.Contains(cells[0], "event") && !strings.Contains(cells[0], "µs") {
			continue
		}
		for _, cell := range cells[1:] {
			if figure := strings.TrimSpace(cell); figure != "eventbus" && strings.ContainsAny(figure, "0123456789") {
				found++
				if !strings.Contains(measured, "| "+figure+" |") {
					t.Errorf("docs/performance.md has no figure %q, which README.md gives for %q", figure, cells[0])
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("README.md has %d figures in its table; this test no longer finds them", found)
	}
}

// TestDocumentsAreTrue checks README.md and the guides: a Go block is an excerpt of
// an example that has tests, a configuration is a file that a test loads, a command
// exists with its flags, and a link leads to a file.
func TestDocumentsAreTrue(t *testing.T) {
	pages, err := filepath.Glob("docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "README.md")
	sources := exampleFiles(t)
	tool := builtTool(t)
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			text := read(t, page)
			for _, block := range fenced.FindAllStringSubmatch(text, -1) {
				switch language, code := block[1], block[2]; language {
				case "go", "json", "yaml":
					if !excerpt(sources[language], code) {
						t.Errorf("no %s file of examples has this block:\n%s", language, code)
					}
				case "sh":
					checkShell(t, tool, code)
				case "text": // output; the page says how to get it
				default:
					t.Errorf("a block of %q, which nothing checks", language)
				}
			}
			checkLinks(t, page, text)
		})
	}
	index := read(t, "docs/guide/README.md")
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/guide/README.md does not list %s", name)
		}
	}
}

// TestDesignNamesFiles: the files that docs/design.md names exist.
func TestDesignNamesFiles(t *testing.T) {
	names := regexp.MustCompile("`([a-z_0-9/]+\\.go)`").FindAllStringSubmatch(read(t, "docs/design.md"), -1)
	if len(names) < 30 {
		t.Errorf("docs/design.md names %d files; this test no longer finds them", len(names))
	}
	for _, name := range names {
		if _, err := os.Stat(name[1]); err != nil {
			t.Errorf("docs/design.md names a file that does not exist: %v", err)
		}
	}
}

// TestLinksOfDocuments checks the links of all other documents.
func TestLinksOfDocuments(t *testing.T) {
	for _, pattern := range []string{"*.md", "docs/*.md", ".github/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			checkLinks(t, page, read(t, page))
		}
	}
}

func checkLinks(t *testing.T, page, text string) {
	t.Helper()
	for _, link := range linked.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
			t.Errorf("%s has a dead link: %v", page, err)
		}
	}
}

// exampleFiles returns the texts of the examples that documents quote, by the
// language of their blocks.
func exampleFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	take := func(path string, _ fs.DirEntry, err error) error {
		if language := strings.TrimPrefix(filepath.Ext(path), "."); err == nil && slices.Contains([]string{"go", "json", "yaml"}, language) {
			files[language] = append(files[language], unindented(read(t, path)))
		}
		return err
	}
	// The examples of the schema module need generated code and other modules.
	for _, dir := range []string{"examples", "schema/avro/example_test.go", "schema/protobuf/example_test.go", "schema/registry/example_test.go", "schema/registry/testdata"} {
		if err := filepath.WalkDir(dir, take); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// excerpt reports whether one of sources contains code.
func excerpt(sources []string, code string) bool {
	code = strings.TrimSpace(unindented(code))
	return slices.ContainsFunc(sources, func(source string) bool { return strings.Contains(source, code) })
}

// unindented returns text without leading white space in lines, since documents
// show excerpts without their indentation.
func unindented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}

// builtTool returns a function that runs the eventbus tool, which is built when
// it is first called.
func builtTool(t *testing.T) func(arguments ...string) error {
	program := filepath.Join(t.TempDir(), "eventbus")
	build := sync.OnceValue(func() error {
		out, err := exec.Command("go", "-C", "cmd/eventbus", "build", "-o", program, ".").CombinedOutput()
		if err != nil {
			return fmt.Errorf("building the tool: %w: %s", err, out)
		}
		return nil
	})
	return func(arguments ...string) error {
		if err := build(); err != nil {
			return err
		}
		if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

func checkShell(t *testing.T, tool func(...string) error, code string) {
	t.Helper()
	for line := range strings.Lines(code) {
		words := strings.Fields(strings.SplitN(line, "#", 2)[0])
		var err error
		switch {
		case len(words) == 0:
		case words[0] == "make" && len(words) > 1:
			_, err = exec.Command("make", append([]string{"-n"}, words[1:]...)...).Output()
		case words[0] == "eventbus" && len(words) > 1:
			err = tool(append(words[1:], "--help")...) // the flags are parsed before the help is shown
		case len(words) >= 5 && words[0] == "go" && words[1] == "-C":
			_, err = os.Stat(filepath.Join(words[2], words[4]))
		case len(words) == 3 && words[0] == "go" && (words[1] == "get" || words[1] == "install"):
			if !strings.HasPrefix(words[2], "github.com/eventbus-go/eventbus") {
				err = errors.New("not a module of this project")
			}
		case len(words) > 2 && words[0] == "go" && words[1] == "vet": // TestDroppedResults runs it
		default:
			err = errors.New("nothing checks this line")
		}
		if err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
