package eventbus_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateNotice = flag.Bool("update-notice", false, "write NOTICE")

// TestNotice compares NOTICE with the modules that programs link through the library, its test
// kit and its nested modules, on every system. Versions are left out, since go.sum has them
// and licences rarely change.
func TestNotice(t *testing.T) {
	if testing.Short() {
		t.Skip("lists the dependencies of every system")
	}
	used := map[string]map[string]bool{} // by module: who links it
	directories := map[string]string{}
	programs := map[string]string{"library": ".", "test kit": "."}
	for _, dir := range moduleDirs(t) {
		if !slices.Contains([]string{".", "bench", "examples", "examples/migration", "kafkatest/kafkacontainer"}, dir) { // nobody ships these
			programs[dir] = dir
		}
	}
	for name, dir := range programs {
		packages := "./..."
		if name == "test kit" {
			packages = "./kafkatest/..."
		}
		for _, system := range []string{"linux", "darwin", "windows"} {
			for module, source := range linkedModules(t, dir, packages, name == "library", system) {
				directories[module] = cmp.Or(directories[module], source)
				if used[module] == nil {
					used[module] = map[string]bool{}
				}
				used[module][name] = true
			}
		}
	}
	var b strings.Builder
	b.WriteString("eventbus\nCopyright the eventbus authors. MIT licence, see LICENSE.\n\n" +
		"Programs that use eventbus link parts of these modules. Their licences ask to be kept with\n" +
		"binaries that are given to others; each module's source has the whole text.\n")
	for _, module := range slices.Sorted(maps.Keys(used)) {
		licence, copyright := licenceOf(t, module, directories[module])
		by := slices.Sorted(maps.Keys(used[module]))
		fmt.Fprintf(&b, "\n%s\n  %s; linked by: %s\n", module, licence, strings.Join(by, ", "))
		for _, line := range copyright {
			b.WriteString("  " + line + "\n")
		}
	}
	if *updateNotice {
		if err := os.WriteFile("NOTICE", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, "NOTICE") != b.String() {
		t.Error("NOTICE is not what the programs link: run go test -run TestNotice . -update-notice")
	}
}

// linkedModules returns the modules outside this repository that packages link,
// with their directories. Of the library, packages that only tests use are left
// out.
func linkedModules(t *testing.T, dir, packages string, library bool, system string) map[string]string {
	t.Helper()
	patterns := strings.Fields(packages)
	if library {
		list := exec.Command("go", "list", "./...")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		patterns = slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
			return regexp.MustCompile(`/(kafkatest|chaos|interop|transporttest|internal)(/|$)`).MatchString(path)
		})
	}
	list := exec.Command("go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Dir}}{{end}}"}, patterns...)...)
	list.Dir = dir
	list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if module, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(module, "github.com/eventbus-go/eventbus") {
			modules[module] = dir
		}
	}
	return modules
}

// licenceOf returns the SPDX names of a module's licences and the lines that name
// the holders of its copyright.
func licenceOf(t *testing.T, module, dir string) (name string, copyright []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[LC][IO][CP][EY]*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no licence in %s: %v", module, dir, err)
	}
	var names []string
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		text := read(t, file)
		names = append(names, spdx(text)...)
		for _, line := range regexp.MustCompile(`(?m)^[ \t]*(Copyright (?:\([cC]\)|©|[0-9]|The ).*)$`).FindAllStringSubmatch(text, -1) {
			if holder := strings.TrimSpace(line[1]); !slices.Contains(copyright, holder) {
				copyright = append(copyright, holder)
			}
		}
	}
	if len(names) == 0 {
		t.Errorf("the licence of %s is unknown to this test", module)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " AND "), copyright
}

// spdx returns the names of the licences that text contains. A licence that is not listed here
// needs a decision before a module is used.
func spdx(text string) (names []string) {
	text = strings.Join(strings.Fields(text), " ")
	if strings.Contains(text, "Apache License Version 2.0") {
		names = append(names, "Apache-2.0")
	}
	if strings.Contains(text, "Permission is hereby granted, free of charge, to any person obtaining a copy") {
		names = append(names, "MIT")
	}
	if strings.Contains(text, "Permission to use, copy, modify, and/or distribute this software") {
		names = append(names, "ISC")
	}
	if strings.Contains(text, "Redistributions of source code must retain") {
		if strings.Contains(text, "Neither the name") || strings.Contains(text, "may be used to endorse or promote") {
			names = append(names, "BSD-3-Clause")
		} else {
			names = append(names, "BSD-2-Clause")
		}
	}
	if strings.Contains(text, "Mozilla Public License") {
		names = append(names, "MPL-2.0")
	}
	return names
}
