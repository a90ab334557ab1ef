package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// measurementLog keeps every measurement of a campaign in a file, one JSON
// object per line, so that an interrupted campaign can continue.
// It belongs to one goroutine.
type measurementLog struct {
	measurements []measurement
	// file is nil if measurements are kept in memory alone.
	file *os.File
}

// openLog reads the measurements in the file. If its writer was killed the last
// line may be incomplete: it is dropped, and measured again.
func openLog(path string) (*measurementLog, error) {
	l := new(measurementLog)
	// A single run needs no file.
	if path == "" {
		return l, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Everything after the last line break is incomplete.
	whole := old[:strings.LastIndexByte(string(old), '\n')+1]
	// Lines are far below the scanner's 64 KiB: the longest text is an error's, of which
	// spawn keeps 2,000 bytes.
	scanner := bufio.NewScanner(strings.NewReader(string(whole)))
	for line := 1; scanner.Scan(); line++ {
		var m measurement
		if err := json.Unmarshal(scanner.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s:%d: %w: remove the line, or the file to start over", path, line, err)
		}
		// Failed measurements are in the file for people, and are measured again.
		if m.Error == "" {
			l.measurements = append(l.measurements, m)
		}
	}
	// Don't open it for appending, since its end may have to be cut off first.
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	// Remove the incomplete line, so that the next one does not continue it.
	if err := l.file.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	_, err = l.file.Seek(int64(len(whole)), 0)
	return l, err
}

// add appends a measurement. A failed one is recorded but does not count.
func (l *measurementLog) add(m measurement) error {
	if m.Error == "" {
		l.measurements = append(l.measurements, m)
	}
	if l.file == nil {
		return nil
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	// Write a line at once, so that a kill can cut off only the last one.
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// has reports whether there is a measurement that did not fail.
// A campaign has a few thousand measurements at most, so it just looks at all.
func (l *measurementLog) has(peer, workload string, round int) bool {
	for _, m := range l.measurements {
		if m.Peer == peer && m.Workload == workload && m.Round == round {
			return true
		}
	}
	return false
}

// close closes the file, if there is one.
func (l *measurementLog) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
