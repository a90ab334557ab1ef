package eventbus

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// TestSpread: what a handler says of a part of a batch is said of its events' places
// in the batch, and an index that the part does not have is no panic.
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
		want string // "" if it is of single events
		all  map[int]error
	}{
		{"nothing", nil, "", map[int]error{0: no}},
		{"of all", no, "no", map[int]error{0: no}},
		{"of one", marks(1), "", map[int]error{0: no, 3: no}},
		{"of each", marks(0, 1), "", map[int]error{0: no, 2: no, 3: no}},
		{"beyond", marks(2), "BatchError marks index 2 of 2 events", map[int]error{0: no}},
		{"before", marks(-1), "BatchError marks index -1 of 2 events", map[int]error{0: no}},
	} {
		failed := map[int]error{0: no}
		err := spread(c.err, []int{2, 3}, failed)
		if err == nil && c.want != "" || err != nil && err.Error() != c.want || !maps.Equal(failed, c.all) {
			t.Errorf("%s: %v and %v, want %q and %v", c.name, err, failed, c.want, c.all)
		}
	}
}
