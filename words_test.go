package eventbus_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// refused matches phrases that no comment, message or document may have, also
// where a line break and the mark of a comment stand between their words. Plain
// English says: reports whether, again, indefinitely, ready, the caller, for nothing,
// otherwise, resumed, your own.
var refused = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	phrase("tells", "whether"), phrase("for", "ever"), phrase("at", "hand"), phrase("in", "vain"), "an" + "ew", "who" + "ever",
	phrase("and", "else"), phrase("gone", "on", "with"), phrase("of", "one's", "own"),
}, "|") + `)\b`)

// phrase joins the words of a phrase, which are apart here so that this file
// does not contain what it refuses.
func phrase(words ...string) string { return strings.Join(words, `\s+(?://+\s*|#+\s*)?`) }

func TestWords(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".cache" || entry.Name() == ".git"):
			return fs.SkipDir
		case entry.Type().IsRegular() && hasProse(entry.Name(), filepath.Dir(name)):
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for _, at := range refused.FindAllIndex(text, -1) {
				t.Errorf("%s:%d: %q is not plain English", name, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func hasProse(name, dir string) bool {
	return slices.Contains([]string{".go", ".md", ".sh", ".yml", ".yaml", ".py"}, filepath.Ext(name)) || name == "Makefile" || filepath.Base(dir) == ".ci"
}

func TestWordsAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		"it tells " + "whether":                   true,
		"it tells\n\t// whether it is so":         true,
		"# waits for\n# ever":                     true,
		"Who" + "ever comes":                      true,
		"nil if it works, and" + " else why":      true,
		"a job that can be gone\n// on " + "with": true,
		"a name of one's " + "own":                true,
		"a new one, manewer, a handful":           false,
		"tells us whether, forever, inane":        false,
		"and elsewhere, if one's own":             false,
	} {
		if got := refused.MatchString(text); got != want {
			t.Errorf("%q is refused: %t, want %t", text, got, want)
		}
	}
}

// sentence matches a message that begins or ends like a sentence. One may begin with the
// name of a field or a method, which is a word of its own in front of a colon or has
// capitals inside.
var sentence = regexp.MustCompile(`^[A-Z][a-z]+ |[.!\n]$`)

// TestWordsOfErrors: errors and log messages are parts of longer texts, so they begin with
// a small letter and end without a full stop.
func TestWordsOfErrors(t *testing.T) {
	found := 0
	for name := range goFiles(t, true) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, argument := range call.Args[:min(2, len(call.Args))] { // behind a context, say
				literal, ok := argument.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING || !isMessage(call) {
					continue
				}
				found++
				if text, err := strconv.Unquote(literal.Value); err != nil || sentence.MatchString(text) {
					t.Errorf("%s: %q reads as a sentence of its own", set.Position(literal.Pos()), text)
				}
				break
			}
			return true
		})
	}
	if found < 500 {
		t.Errorf("%d messages; this test no longer finds them", found)
	}
}

// isMessage reports whether a call makes an error, or logs.
func isMessage(call *ast.CallExpr) bool {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, _ := function.X.(*ast.Ident)
	switch function.Sel.Name {
	case "New":
		return of != nil && of.Name == "errors"
	case "Errorf":
		return of != nil && of.Name == "fmt"
	case "Debug", "Info", "Warn", "Error", "InfoContext", "WarnContext", "ErrorContext":
		return of == nil || of.Name != "http"
	}
	return false
}
