// Package errtree searches errors that user code returned. It visits a bounded number of
// causes, so an error that is its own cause ends the search. It distinguishes an error
// from one of several joined with it: errors.Join(dbErr, errors.ErrUnsupported) is an
// unsupported operation, but not only that.
package errtree

import (
	"errors"
	"iter"
)

// A search visits at most this many errors, and goes this deep: PublishBatch joins one
// error for each event, and wrapping goes a few levels down.
const (
	most    = 1 << 16
	deepest = 100
)

// Any reports whether err or one of its causes is target, by equality or by its Is
// method.
func Any(err, target error) bool {
	return search(err, func(e error) bool { return is(e, target) }, false)
}

// Only reports whether err is target and nothing else: it follows causes that wrap one
// error, and of several joined errors each must be target.
func Only(err, target error) bool {
	return search(err, func(e error) bool { return is(e, target) }, true)
}

// Contains reports whether err or one of its causes is a T.
func Contains[T error](err error) bool {
	return search(err, func(e error) bool { _, ok := e.(T); return ok }, false) //nolint:errorlint // the tree is walked here
}

// Chain yields err and its causes, until one wraps several errors or none.
func Chain(err error) iter.Seq[error] {
	return func(yield func(error) bool) {
		for range deepest {
			if err == nil || !yield(err) {
				return
			}
			causes := unwrap(err)
			if len(causes) != 1 {
				return
			}
			err = causes[0]
		}
	}
}

// Alone returns the first T of Chain. It does not find a T that is joined with another
// error.
func Alone[T error](err error) (found T, ok bool) {
	for e := range Chain(err) {
		if found, ok = e.(T); ok { //nolint:errorlint // the chain is walked here
			return found, true
		}
	}
	return found, false
}

// Worded returns an error with a text of the bus, for a cause whose text may show the
// data of an event or is no longer safe to call. errors.Is and errors.As still find the
// cause.
func Worded(text string, cause error) error { return &worded{text, cause} }

// worded is an error that hides the text of its cause.
type worded struct {
	text  string
	cause error
}

// Error implements error. It does not ask the cause, whose method may panic.
func (e *worded) Error() string { return e.text }

// Unwrap returns the cause.
func (e *worded) Unwrap() error { return e.cause }

// errNothing is an error that no user's error can match.
var errNothing = errors.New("nothing")

// is reports whether err itself is target, without its causes. An Is method that accepts
// every error does not count.
func is(err, target error) bool {
	if err == target { //nolint:errorlint // the tree is walked here
		return true
	}
	own, ok := err.(interface{ Is(error) bool })
	return ok && own.Is(target) && !own.Is(errNothing)
}

// unwrap returns the causes of an error, nil if it has none. Nil ones do not count.
func unwrap(err error) []error {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		causes := make([]error, 0, len(all)) // the list is the user's
		for _, cause := range all {
			if cause != nil {
				causes = append(causes, cause)
			}
		}
		return causes
	}
	return nil
}

// search searches err and its causes for an error that found accepts. Without all one
// such error suffices; with all every branch must have one, and a branch ends at an
// error without causes.
func search(err error, found func(error) bool, all bool) bool {
	left := most
	return walk(err, &left, deepest, found, all)
}

// walk is search with what is left of both bounds.
func walk(err error, left *int, depth int, found func(error) bool, all bool) bool {
	*left--
	switch {
	case err == nil || *left < 0 || depth < 0:
		return false
	case found(err):
		return true
	}
	causes := unwrap(err)
	for _, cause := range causes {
		if walk(cause, left, depth-1, found, all) != all {
			return !all
		}
	}
	return all && len(causes) > 0
}
