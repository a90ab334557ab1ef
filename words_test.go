package eventbus_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// refused matches phrases that no comment, message or document may have, also
// where a line break and the mark of a comment stand between their words. Plain
// English says: reports whether, again, indefinitely, ready, the caller, for nothing.
var refused = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	phrase("tells", "whether"), phrase("for", "ever"), phrase("at", "hand"), phrase("in", "vain"), "an" + "ew", "who" + "ever",
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
		"it tells " + "whether":            true,
		"it tells\n\t// whether it is so":  true,
		"# waits for\n# ever":              true,
		"Who" + "ever comes":               true,
		"a new one, manewer, a handful":    false,
		"tells us whether, forever, inane": false,
	} {
		if got := refused.MatchString(text); got != want {
			t.Errorf("%q is refused: %t, want %t", text, got, want)
		}
	}
}
