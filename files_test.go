package eventbus_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFilesDoNotSleep makes sure that tests wait for signals. Inside a bubble of
// testing/synctest a sleep takes no time and is exact, so packages whose tests use
// bubbles may sleep.
func TestFilesDoNotSleep(t *testing.T) {
	files := goFiles(t, true)
	bubbles := map[string]bool{} // by directory
	for name, file := range files {
		if slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
			bubbles[path.Dir(name)] = true
		}
	}
	for name := range files {
		if !strings.HasSuffix(name, "_test.go") || bubbles[path.Dir(name)] {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(source, []byte("time.Sleep(")) {
			t.Errorf("%s sleeps: wait on a channel or a deadline, or use testing/synctest", name)
		}
	}
}

// TestFilesAreShort limits every file of every module to 400 lines: one noun per file.
func TestFilesAreShort(t *testing.T) {
	for name, file := range goFiles(t, true) {
		if ast.IsGenerated(file) {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(source, []byte("\n")); lines > 400 {
			t.Errorf("%s has %d lines, more than 400: give one of its nouns a file of its own", name, lines)
		}
	}
}

// TestFilesAreSmall refuses large files, such as a program that a build left behind,
// which the repository would then keep.
func TestFilesAreSmall(t *testing.T) {
	const most = 512 << 10 // bytes; the flights of the example are 374 kB
	listed, err := exec.CommandContext(t.Context(), "git", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("this is not a checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(listed), "\x00"), "\x00") {
		if info, err := os.Stat(name); err == nil && info.Size() > most {
			t.Errorf("%s has %d bytes, more than %d: is it the output of a program?", name, info.Size(), most)
		}
	}
}

// goFiles parses the imports of every Go file of this module, by slashed path;
// nested adds the modules inside it.
func goFiles(t *testing.T, nested bool) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			if base := entry.Name(); base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && !nested {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
