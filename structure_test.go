package eventbus_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Above these sizes the right file can't be found by its name, and a change in one file of a circle
// can't be understood without all the others.
const (
	maxFolder = 30 // non-test Go files in a folder
	maxCircle = 12 // files that all refer to each other, directly or through others
)

func TestStructureFolders(t *testing.T) {
	sizes := map[string]int{}
	for name := range goFiles(t, true) {
		if !strings.HasSuffix(name, "_test.go") {
			sizes[path.Dir(name)]++
		}
	}
	for dir, size := range sizes {
		checkSize(t, dir, size, maxFolder, "non-test Go files", "move the files of one concern into a package of their own")
	}
}

// TestStructureCircles bounds the sets of files of a package that depend on each other in a circle.
// A file refers to another if it names an identifier of package level or a method that the other
// declares.
func TestStructureCircles(t *testing.T) {
	nested := nestedModules(t)
	for _, module := range append(nested, ".") {
		packages, imports := loadModule(t, module)
		maps.DeleteFunc(packages, func(dir string, _ []*ast.File) bool { return cmp.Or(moduleOf(nested, dir), ".") != module })
		for dir, files := range packages {
			circle := slices.MaxFunc(append(circles(references(t, imports, dir, files)), nil), func(a, b []string) int { return len(a) - len(b) })
			checkSize(t, dir, len(circle), maxCircle, "files that depend on each other in a circle",
				"have one side take a value or an interface instead of calling back: "+strings.Join(circle, " "))
		}
	}
}

func checkSize(t *testing.T, dir string, size, limit int, noun, remedy string) {
	t.Helper()
	if size > limit {
		t.Errorf("%s has %d %s, more than %d: %s", dir, size, noun, limit, remedy)
	}
}

// loadModule parses the packages of a module and those of this repository that
// it imports, by directory, and returns an importer for all that they import. The go command is asked once per module;
// the files are read here, so that a cached test result expires with them.
func loadModule(t *testing.T, module string) (map[string][]*ast.File, types.Importer) {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,Standard,GoFiles,CgoFiles"}
	if raceEnabled {
		args = append(args, "-race") // what go test -race has compiled already
	}
	command := exec.Command("go", append(args, "./...")...)
	command.Dir = module
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v: %s", module, err, complaint.String())
	}
	top, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	packages, exports := map[string][]*ast.File{}, map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir, Export string
			Standard                bool
			GoFiles, CgoFiles       []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		dir, err := filepath.Rel(top, p.Dir)
		if dir = filepath.ToSlash(dir); err != nil || p.Standard || strings.HasPrefix(dir, "..") || strings.HasPrefix(dir, ".cache") {
			continue
		}
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			name = path.Join(dir, name)
			file, err := parser.ParseFile(fileSet, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			packages[dir] = append(packages[dir], file)
		}
	}
	return packages, importer.ForCompiler(fileSet, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

var fileSet = token.NewFileSet()

// references returns which files of a package each of its files refers to.
func references(t *testing.T, imports types.Importer, dir string, files []*ast.File) map[string][]string {
	t.Helper()
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports, FakeImportC: true}
	p, err := config.Check(dir, fileSet, files, info)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	refs := map[string][]string{}
	for id, object := range info.Uses {
		function, isFunc := object.(*types.Func)
		isMethod := isFunc && function.Signature().Recv() != nil
		if object.Pkg() != p || !isMethod && object.Parent() != p.Scope() {
			continue
		}
		if isFunc {
			object = function.Origin()
		}
		from, to := path.Base(fileSet.Position(id.Pos()).Filename), path.Base(fileSet.Position(object.Pos()).Filename)
		if from != to && !slices.Contains(refs[from], to) {
			refs[from] = append(refs[from], to)
		}
	}
	return refs
}

// circles returns the strongly connected components of a graph that have more
// than one node, by Tarjan's algorithm.
func circles(edges map[string][]string) [][]string {
	var (
		found      [][]string
		stack      []string
		index, low = map[string]int{}, map[string]int{}
		visit      func(string)
	)
	visit = func(node string) {
		index[node] = len(index) + 1
		low[node] = index[node]
		stack = append(stack, node)
		for _, next := range edges[node] {
			if index[next] == 0 {
				visit(next)
				low[node] = min(low[node], low[next])
			} else if slices.Contains(stack, next) {
				low[node] = min(low[node], index[next])
			}
		}
		if low[node] != index[node] {
			return
		}
		first := slices.Index(stack, node)
		if component := slices.Clone(stack[first:]); len(component) > 1 {
			slices.Sort(component)
			found = append(found, component)
		}
		stack = stack[:first]
	}
	for _, node := range slices.Sorted(maps.Keys(edges)) {
		if index[node] == 0 {
			visit(node)
		}
	}
	return found
}

// TestStructureFindsCircles checks the search itself: it finds two circles, one of them closed only
// by a method, and nothing else.
func TestStructureFindsCircles(t *testing.T) {
	sources := map[string]string{
		"a.go":     "package p; type A struct{}; func (A) back() { NewC() }",
		"b.go":     "package p; func NewB() A { return A{} }",
		"c.go":     "package p; func NewC() { NewB().back() }",
		"d.go":     "package p; type D[T any] struct{}; func (*D[T]) D() { e() }",
		"e.go":     "package p; func e() { new(D[int]).D() }",
		"field.go": "package p; type field struct{ a A }",
		"reads.go": "package p; var read = field{}.a",
	}
	var files []*ast.File
	for name, source := range sources {
		file, err := parser.ParseFile(fileSet, name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	found := circles(references(t, nil, "p", files))
	want := [][]string{{"a.go", "b.go", "c.go"}, {"d.go", "e.go"}}
	if !slices.EqualFunc(found, want, slices.Equal) {
		t.Errorf("circles %v, want %v", found, want)
	}
}
