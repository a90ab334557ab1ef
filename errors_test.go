package eventbus

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// TestSpread: errors of events in a part of a batch apply to those events' indexes
// in the batch, and an index outside the part is ignored.
func TestSpread(t *testing.T) {
	no := errors.New("no")
	marks := func(at ...int) error {
		e := &BatchError{Errors: make(map[int]error)}
		for _, i := range at {
			e.Errors[i] = no
		}
		return fmt.Errorf("wrapped: %w", e)
	}
	for _, c := range []struct {
		name string
		err  error
		each bool
		all  map[int]error
	}{
		{"of all", no, false, map[int]error{0: no}},
		{"of one", marks(1), true, map[int]error{0: no, 3: no}},
		{"of each", marks(0, 1), true, map[int]error{0: no, 2: no, 3: no}},
		{"beyond", marks(2), false, map[int]error{0: no}},
		{"before", marks(-1), false, map[int]error{0: no}},
		{"one of them beyond", marks(1, 7), true, map[int]error{0: no, 3: no}},
		{"stopped at the last", StoppedAt(1, no), true, map[int]error{0: no, 3: no}},
		{"joined with another", errors.Join(no, marks(1)), false, map[int]error{0: no}},
		{"published", &PublishBatchError{Errors: map[int]error{1: no}}, false, map[int]error{0: no}},
		{"nil marks", (*BatchError)(nil), false, map[int]error{0: no}},
	} {
		failed := map[int]error{0: no}
		if each := spread(c.err, []int{2, 3}, failed); each != c.each || !maps.Equal(failed, c.all) {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, each, failed, c.each, c.all)
		}
	}
}
