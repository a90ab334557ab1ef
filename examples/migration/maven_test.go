package migration_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is a Java program of testdata with what its pom.xml names.
type program struct{ path string }

// compiled compiles testdata/name/*.java. Without Maven the test is skipped, except where
// everything has to be there.
func compiled(t *testing.T, name string) *program {
	t.Helper()
	if !realKafka() {
		t.Skip("no real Kafka")
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "classpath")
	maven := func(more ...string) ([]byte, error) {
		return exec.CommandContext(deadline(t), "mvn", append(more, "--batch-mode", "--quiet", "--file", "testdata/"+name+"/pom.xml",
			"dependency:build-classpath", "-DincludeScope=runtime", "-Dmdep.outputFile="+list)...).CombinedOutput()
	}
	// What was fetched once is not asked for again.
	output, err := maven("--offline")
	if err != nil {
		output, err = maven()
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Maven: %v\n%s", err, output)
		}
		t.Skipf("Maven: %v\n%s", err, output)
	}
	path, err := os.ReadFile(list) //nolint:gosec // in the test's own directory
	check0(t, err)
	sources, err := filepath.Glob("testdata/" + name + "/*.java")
	check0(t, err)
	p := &program{dir + string(filepath.ListSeparator) + strings.TrimSpace(string(path))}
	p.execute(t, "javac", append([]string{"-nowarn", "-d", dir, "-cp", p.path}, sources...)...)
	return p
}

// run runs a class and returns what it printed.
func (p *program) run(t *testing.T, class string, args ...string) string {
	t.Helper()
	return p.execute(t, "java", append([]string{"-Xmx128m", "-cp", p.path, class}, args...)...)
}

func (*program) execute(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(deadline(t), name, args...)
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, complaint.String())
	}
	return output.String()
}
