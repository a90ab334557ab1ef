package kafka

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocMaps holds the maps in the doc.go of this package and of those below it
// to the files that there are, in both directions.
func TestDocMaps(t *testing.T) {
	err := filepath.WalkDir(".", func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			return err
		}
		doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			return err
		}
		mapped := map[string]bool{"doc.go": true}
		for line := range strings.Lines(string(doc)) {
			if entry, ok := strings.CutPrefix(line, "//\t"); ok {
				name, _, _ := strings.Cut(strings.TrimSpace(entry), " ")
				mapped[name] = strings.HasSuffix(name, ".go")
			}
		}
		for _, file := range files {
			if name := filepath.Base(file); !strings.HasSuffix(name, "_test.go") {
				if !mapped[name] {
					t.Errorf("doc.go does not mention %s", file)
				}
				delete(mapped, name)
			}
		}
		for name, isFile := range mapped {
			if isFile {
				t.Errorf("%s mentions %s, which does not exist", filepath.Join(dir, "doc.go"), name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
