package stack

import (
	"errors"
	"testing"
	"time"
)

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestValue(t *testing.T) {
	type order struct{ Card string }
	type name string
	circle := map[string]any{}
	circle["itself"] = circle
	list := []any{nil}
	list[0] = list
	for _, c := range []struct {
		v    any
		want string
	}{
		{"text", "text"},
		{name("text"), "text"},
		{errors.New("an error"), "an error"},
		{(*nilError)(nil), "<nil>"},
		{time.Second, "1s"},
		{42, "42"},
		{2.5, "2.5"},
		{true, "true"},
		{nil, "a value of type <nil>"},
		{order{"4111"}, "a value of type stack.order"},
		{&order{"4111"}, "a value of type *stack.order"},
		{[]string{"4111"}, "a value of type []string"},
		{circle, "a value of type map[string]interface {}"},
		{list, "a value of type []interface {}"},
	} {
		if got := Value(c.v); got != c.want {
			t.Errorf("%T: %q, want %q", c.v, got, c.want)
		}
	}
}
