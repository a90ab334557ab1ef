package eventbus_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestExamples: every package has an introduction in doc.go and an example that runs, for
// pkg.go.dev. The example of a package whose functions take a *testing.T is only compiled.
func TestExamples(t *testing.T) {
	within := func(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }
	type public struct{ introduced, forTests, example, output bool }
	packages := map[string]*public{} // by directory
	files := goFiles(t, true)
	for name, file := range files {
		dir := path.Dir(name)
		mine := slices.ContainsFunc([]string{"bench", "chaos", "console/browsertest", "examples", "interop", "schema/interop"}, func(parent string) bool { return within(dir, parent) })
		if mine || strings.HasSuffix(name, "_test.go") || file.Name.Name == "main" || slices.Contains(strings.Split(dir, "/"), "internal") {
			continue
		}
		p := packages[dir]
		if p == nil {
			p = new(public)
			packages[dir] = p
		}
		p.introduced = p.introduced || path.Base(name) == "doc.go" && file.Doc != nil
		p.forTests = p.forTests || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` })
	}
	for name := range files {
		p := packages[path.Dir(name)]
		if p == nil || !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, example := range doc.Examples(file) {
			p.example = true
			p.output = p.output || example.Output != ""
		}
	}
	if len(packages) < 25 {
		t.Errorf("%d packages; this test no longer finds them", len(packages))
	}
	for dir, p := range packages {
		if !p.introduced {
			t.Errorf("%s has no doc.go with a package comment", dir)
		}
		// What package postgres shows as a whole needs a server; its parts have examples of their own.
		if !p.example || !p.output && !p.forTests && dir != "postgres" {
			t.Errorf("%s has no example with output", dir)
		}
	}
}
