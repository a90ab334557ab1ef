// Package stack reads the text of stack traces.
package stack

import "strings"

// Origin returns where a panic, or a runtime.Goexit, began: the directory, the file
// and the line, as "orders/handler.go:42". trace is what debug.Stack returned in the
// function that was deferred; the result is empty if it is something else.
//
// For a panic that was recovered and raised again, it returns where the first one
// began.
func Origin(trace []byte) string {
	lines := strings.Split(string(trace), "\n")
	begun := -1
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") || strings.HasPrefix(line, "runtime.Goexit(") {
			begun = i
		}
	}
	if begun < 0 {
		return ""
	}
	// Each frame is two lines: the function, and its place. The runtime's own frames
	// follow where it panics itself, as for a nil pointer.
	for i := begun; i+1 < len(lines); i += 2 {
		if strings.HasPrefix(lines[i], "panic(") || strings.HasPrefix(lines[i], "runtime.") {
			continue
		}
		if place, isPlace := strings.CutPrefix(lines[i+1], "\t"); isPlace {
			return short(place)
		}
		return ""
	}
	return ""
}

// short drops the offset after a place, and all directories but the last: the others
// belong to the machine on which the program was built.
func short(place string) string {
	place, _, _ = strings.Cut(place, " ")
	if file := strings.LastIndexByte(place, '/'); file >= 0 {
		if dir := strings.LastIndexByte(place[:file], '/'); dir >= 0 {
			return place[dir+1:]
		}
	}
	return place
}
