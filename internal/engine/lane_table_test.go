package engine

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLaneTable compares a table with a map, with keys that end alike.
func TestLaneTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var table laneTable
	model := make(map[uint64]*lane)
	for range 20_000 {
		key := r.Uint64N(500) << (8 * r.Uint64N(3))
		l := table.get(key)
		if l != model[key] {
			t.Fatalf("key %#x has lane %p, want %p", key, l, model[key])
		}
		if l == nil {
			l = &lane{key: key}
			table.add(l)
			model[key] = l
		} else if r.IntN(2) == 0 {
			table.remove(l)
			delete(model, key)
		}
		if table.count != len(model) {
			t.Fatalf("%d lanes, want %d", table.count, len(model))
		}
	}
	all := make(map[uint64]*lane)
	for l := range table.all() {
		if all[l.key] != nil {
			t.Fatalf("key %#x comes twice", l.key)
		}
		all[l.key] = l
	}
	if !maps.Equal(all, model) {
		t.Errorf("all gives keys %v, want %v", slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(model)))
	}
}
