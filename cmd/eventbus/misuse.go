package main

import (
	"errors"
	"fmt"
)

// misuseError is a command line that can't be understood.
type misuseError struct{ text string }

func (e *misuseError) Error() string { return e.text }

func misuse(format string, args ...any) error {
	return &misuseError{fmt.Sprintf(format, args...)}
}

// errReported fails a command that has said all there is to say.
var errReported = errors.New("failed, as was reported")
