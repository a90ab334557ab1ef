package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestColumnsOfDocuments: the tables in documents have the column headings that the
// program prints.
func TestColumnsOfDocuments(t *testing.T) {
	row, word := regexp.MustCompile(`table\.Row\{("[^}]*")\}`), regexp.MustCompile(`"([^"]*)"`)
	var headings []string
	sources, _ := filepath.Glob("*.go")
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range row.FindAllStringSubmatch(string(source), -1) {
			heading := ""
			for _, w := range word.FindAllStringSubmatch(m[1], -1) {
				heading = strings.TrimSpace(heading + "|" + w[1])
			}
			headings = append(headings, strings.Trim(heading, "|"))
		}
	}
	documents, _ := filepath.Glob("../../docs/*.md")
	guides, _ := filepath.Glob("../../docs/guide/*.md")
	gap, found := regexp.MustCompile(` {2,}`), 0
	for _, name := range append(append(documents, guides...), "../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shown := false // the output of the program, whose first lines may be a heading
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case strings.HasPrefix(line, "```"):
				shown = false
			case strings.HasPrefix(line, "$ "):
				shown = strings.HasPrefix(line, "$ eventbus ")
			case shown && !strings.ContainsAny(line, "0123456789…/\"") && len(gap.FindAllString(strings.TrimSpace(line), -1)) >= 2:
				if heading := strings.ToLower(gap.ReplaceAllString(strings.TrimSpace(line), "|")); !slices.ContainsFunc(headings, func(h string) bool { return strings.ToLower(h) == heading }) {
					t.Errorf("%s:%d: no command prints the columns %q", name, i+1, heading)
				}
				found++
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d headings found in the documents", found)
	}
}
