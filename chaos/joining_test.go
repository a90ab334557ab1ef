package main

import (
	"maps"
	"testing"
	"time"
)

func TestLongestGaps(t *testing.T) {
	end := func(at int64, partition int32, owner uint16) entry {
		return entry{deed: handled, at: at, partition: partition, owner: owner}
	}
	gaps, owners := longestGaps([]entry{
		end(5, 0, 1), // before
		end(12, 0, 1), {deed: started, at: 13, partition: 0, owner: 9}, end(20, 0, 1), end(39, 0, 1),
		end(15, 1, 1), end(25, 1, 2),
		end(41, 1, 2), // after
	}, 10, 40)
	if want := map[int32]time.Duration{0: 19, 1: 15}; !maps.Equal(gaps, want) {
		t.Errorf("gaps %v, want %v", gaps, want)
	}
	if want := map[int32]uint16{0: 1, 1: 0}; !maps.Equal(owners, want) {
		t.Errorf("owners %v, want %v", owners, want)
	}
}
