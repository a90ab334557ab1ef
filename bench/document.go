package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The program writes the part of the document between these lines.
const (
	documentBegin = "<!-- measured: begin -->"
	documentEnd   = "<!-- measured: end -->"
	chartName     = "performance.svg"
)

// rewrite replaces the text between the markers of the document at path, and
// the chart beside it.
func rewrite(path string, measured string, chart []byte) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Without both markers nothing is written: figures in the wrong place are worse
	// than none.
	before, rest, begun := bytes.Cut(old, []byte(documentBegin))
	_, after, ended := bytes.Cut(rest, []byte(documentEnd))
	if !begun || !ended {
		return fmt.Errorf("%s lacks the lines %s and %s, between which the figures go", path, documentBegin, documentEnd)
	}
	// The text is trimmed, so that blank lines don't grow in number from run to run.
	var text bytes.Buffer
	text.Write(before)
	fmt.Fprintf(&text, "%s\n%s\n%s", documentBegin, strings.TrimSpace(measured), documentEnd)
	text.Write(after)
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(path), chartName), chart, 0o644)
}
