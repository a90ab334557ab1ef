package eventid_test

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/eventid"
)

var form = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// TestNext: ids are UUIDs of version 7 that begin with the time and grow, also within
// a millisecond, beyond the number of ids that fit into one, and when the clock goes
// back.
func TestNext(t *testing.T) {
	var g eventid.Generator
	at := time.UnixMilli(0x017f22e279b0) // RFC 9562, A.6
	if id := g.Next(at); id[:13] != "017f22e2-79b0" {
		t.Errorf("the id at %v is %s", at, id)
	}
	before := ""
	for i := range 10_000 {
		now := at
		if i%3 == 0 {
			now = at.Add(-time.Second)
		}
		id := g.Next(now)
		if !form.MatchString(id) {
			t.Fatalf("%q is not a UUID of version 7", id)
		}
		if id <= before {
			t.Fatalf("id %d is %s, after %s", i, id, before)
		}
		before = id
	}
	if id := g.Next(at.Add(time.Hour)); id <= before {
		t.Errorf("an hour later it is %s, after %s", id, before)
	}
}

// TestNextConcurrently: no two are equal.
func TestNextConcurrently(t *testing.T) {
	var g eventid.Generator
	var mu sync.Mutex
	var wait sync.WaitGroup
	seen := make(map[string]bool)
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				id := g.Next(time.Now())
				mu.Lock()
				if seen[id] {
					t.Errorf("%s twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
}
