package errtree

import (
	"errors"
	"fmt"
	"testing"
)

type own struct{ error }

type circle struct{}

func (c *circle) Error() string { return "circle" }
func (c *circle) Unwrap() error { return c }

type circles struct{}

func (c *circles) Error() string   { return "circles" }
func (c *circles) Unwrap() []error { return []error{c, c} }

// liar takes every error for its own.
type liar struct{}

func (liar) Error() string { return "liar" }

func (liar) Is(error) bool { return true }

// list is a list of causes as it is.
type list []error

func (l list) Error() string { return "list" }

func (l list) Unwrap() []error { return l }

func repeated(err error, n int) (errs []error) {
	for range n {
		errs = append(errs, fmt.Errorf("publish: %w", err))
	}
	return errs
}

func TestTree(t *testing.T) {
	target, other := errors.New("target"), errors.New("other")
	for _, c := range []struct {
		name      string
		err       error
		any, only bool
	}{
		{"itself", target, true, true},
		{"wrapped", fmt.Errorf("w: %w", target), true, true},
		{"joined with another", errors.Join(other, target), true, false},
		{"joined with itself", errors.Join(target, fmt.Errorf("w: %w", target)), true, true},
		{"joined alone", errors.Join(target), true, true},
		{"two causes", fmt.Errorf("%w and %w", target, other), true, false},
		{"another", other, false, false},
		{"nil", nil, false, false},
		{"a circle", new(circle), false, false},
		{"a growing circle", new(circles), false, false},
		{"one that is everything", liar{}, false, false},
		{"one that is everything, wrapped", fmt.Errorf("w: %w", liar{}), false, false},
		{"nothing beside it", list{nil, target, nil}, true, true},
		{"nothing at all", list{nil, nil}, false, false},
		{"an error that can't be compared", list{list{target}}, true, true},
		{"each of ten thousand", errors.Join(repeated(target, 10_000)...), true, true},
		{"one of ten thousand", errors.Join(append(repeated(other, 10_000), target)...), true, false},
	} {
		if got := Any(c.err, target); got != c.any {
			t.Errorf("%s: Any %v", c.name, got)
		}
		if got := Only(c.err, target); got != c.only {
			t.Errorf("%s: Only %v", c.name, got)
		}
	}
}

func TestContains(t *testing.T) {
	mark := own{errors.New("own")}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"itself", mark, true},
		{"joined with another", errors.Join(errors.New("db"), nil, fmt.Errorf("w: %w", mark)), true},
		{"another", errors.New("db"), false},
		{"nil", nil, false},
		{"a circle", new(circle), false},
		{"a growing circle", new(circles), false},
	} {
		if got := Contains[own](c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAlone(t *testing.T) {
	mark := own{errors.New("own")}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"itself", mark, true},
		{"wrapped", fmt.Errorf("w: %w", mark), true},
		{"joined alone", errors.Join(mark, nil), true},
		{"joined with another", errors.Join(mark, errors.New("db")), false},
		{"nil", nil, false},
		{"nothing beside it", list{nil, mark}, true},
		{"a circle", new(circle), false},
	} {
		if _, got := Alone[own](c.err); got != c.want {
			t.Errorf("%s: found %v, want %v", c.name, got, c.want)
		}
	}
}
