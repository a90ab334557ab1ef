package main

import (
	"errors"
	"fmt"
)

// misuseError is the error of a command line that can't be understood. The
// program then exits with 2 and points to --help.
type misuseError struct{ text string }

func (e *misuseError) Error() string { return e.text }

// misuse returns a misuseError. Its text says what to write instead.
func misuse(format string, args ...any) error {
	return &misuseError{fmt.Sprintf(format, args...)}
}

// errReported makes the program exit with 1 without a further message: the
// command has printed what is wrong.
var errReported = errors.New("failed, as was reported")
