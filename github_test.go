package eventbus_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
)

// TestDependabotKnowsEveryModule compares Dependabot's list with the go.mod files.
func TestDependabotKnowsEveryModule(t *testing.T) {
	var want []string
	for _, dir := range moduleDirs(t) {
		want = append(want, "/"+strings.TrimPrefix(dir, "."))
	}
	var got []string
	for _, update := range parsed(t, ".github/dependabot.yml")["updates"].([]any) {
		if of := update.(map[string]any); of["package-ecosystem"] == "gomod" {
			for _, dir := range of["directories"].([]any) {
				got = append(got, fmt.Sprint(dir))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("dependabot.yml lists %q, the modules are %q", got, want)
	}
}

// moduleDirs returns the directories that have a go.mod.
func moduleDirs(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == ".cache" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if err == nil && entry.Name() == "go.mod" {
			dirs = append(dirs, filepath.ToSlash(filepath.Dir(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestWorkflowTestsEveryKafka looks for each version that scripts/matrix.sh runs.
func TestWorkflowTestsEveryKafka(t *testing.T) {
	jobs := parsed(t, ".github/workflows/ci.yml")["jobs"].(map[string]any)
	matrix := jobs["kafka"].(map[string]any)["strategy"].(map[string]any)["matrix"].(map[string]any)["kafka"].([]any)
	_, line, _ := strings.Cut(read(t, "scripts/matrix.sh"), "|| set -- ")
	line, _, _ = strings.Cut(line, "\n")
	for _, version := range strings.Fields(line) {
		if !slices.Contains(matrix, any(version)) {
			t.Errorf("ci.yml does not test Apache Kafka %s, which scripts/matrix.sh runs", version)
		}
	}
}

// TestWorkflowRunsEveryTest looks for each target of the Makefile that tests: .ci/run names
// it, and the workflow runs .ci/run. The matrix of Kafka versions has a job of its own.
func TestWorkflowRunsEveryTest(t *testing.T) {
	if !strings.Contains(read(t, ".github/workflows/ci.yml"), "- run: .ci/run\n") {
		t.Error("ci.yml does not run .ci/run")
	}
	targets := regexp.MustCompile(`(?m)^(test-[a-z]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	if len(targets) < 6 {
		t.Errorf("the Makefile has %d targets that test; this test no longer finds them", len(targets))
	}
	_, line, _ := strings.Cut(read(t, ".ci/run"), "\nfor target in ")
	line, _, _ = strings.Cut(line, ";")
	for _, target := range targets {
		if !slices.Contains(strings.Fields(line), target[1]) && target[1] != "test-matrix" {
			t.Errorf(".ci/run does not run make %s", target[1])
		}
	}
}

// TestGitHubFilesParse parses the files that only GitHub reads.
func TestGitHubFilesParse(t *testing.T) {
	files, err := filepath.Glob(".github/*/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		parsed(t, file)
	}
}

func parsed(t *testing.T, name string) map[string]any {
	t.Helper()
	document, err := yaml.Parser().Unmarshal([]byte(read(t, name)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return document
}
