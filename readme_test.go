package eventbus_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?s)(?:^|\n)```([a-z]*)\n(.*?)\n```")
	linked = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
)

// TestReadmeIsShort keeps README.md at a length that is read to its end.
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

// TestDocumentsAreTrue holds README.md and the guides to what is compiled and
// run: a Go block is an excerpt of an example that has tests, a configuration
// is a file that a test loads, a command exists with its flags, a link leads to
// a file.
func TestDocumentsAreTrue(t *testing.T) {
	pages, err := filepath.Glob("docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "README.md")
	sources := exampleFiles(t)
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			text := read(t, page)
			for _, block := range fenced.FindAllStringSubmatch(text, -1) {
				switch language, code := block[1], block[2]; language {
				case "go", "json", "yaml":
					if !excerpt(sources[language], code) {
						t.Errorf("no %s file of examples/readme or examples/guide has this block:\n%s", language, code)
					}
				case "sh":
					checkShell(t, code)
				case "text": // Output, which the page says how to get.
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
	for _, root := range []string{"examples/readme", "examples/guide"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			language := strings.TrimPrefix(filepath.Ext(path), ".")
			files[language] = append(files[language], unindented(read(t, path)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// excerpt reports whether code stands in one of sources. A line of "// …" or
// "# …" leaves lines out.
func excerpt(sources []string, code string) bool {
	parts := regexp.MustCompile(`(?m)^(?://|#) …\n`).Split(unindented(code), -1)
	for _, source := range sources {
		rest, found := source, true
		for _, part := range parts {
			_, after, ok := strings.Cut(rest, strings.TrimSpace(part))
			if !ok {
				found = false
				break
			}
			rest = after
		}
		if found {
			return true
		}
	}
	return false
}

// unindented returns text without the white space that lines begin with, since
// an excerpt of a function is shown at the margin.
func unindented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}

func checkShell(t *testing.T, code string) {
	t.Helper()
	for line := range strings.Lines(code) {
		words := strings.Fields(strings.SplitN(line, "#", 2)[0])
		switch {
		case len(words) == 0:
		case words[0] == "make" && len(words) > 1:
			if out, err := exec.Command("make", append([]string{"-n"}, words[1:]...)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", line, err, out)
			}
		case len(words) >= 5 && words[0] == "go" && words[1] == "-C":
			if _, err := os.Stat(filepath.Join(words[2], words[4])); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		case len(words) == 3 && words[0] == "go" && (words[1] == "get" || words[1] == "install"):
			if !strings.HasPrefix(words[2], "github.com/eventbus-go/eventbus") {
				t.Errorf("%s: not a module of this project", line)
			}
		default:
			t.Errorf("nothing checks the line %q", line)
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
