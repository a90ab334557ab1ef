package registry

import (
	"errors"
	"testing"
	"time"
)

// An unknown id is requested repeatedly while it is waited for, so that it is found
// once it is registered, and rarely after that.
func TestUnknownIDsAreAskedForAgain(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for wait, most := range map[time.Duration]time.Duration{8 * time.Second: time.Second, time.Minute: time.Minute / asked, time.Hour: unknownFor} {
		c := newCache(10)
		asks := 0
		for now := began; now.Before(began.Add(wait)); {
			u := c.missing(ID{Number: 7}, errors.New("none"), now, wait)
			if next := u.until.Sub(now); next <= 0 || next > most || u.first != began {
				t.Fatalf("%v: asked for again after %v, at most %v", wait, next, most)
			}
			now = u.until
			asks++
		}
		if asks < asked {
			t.Errorf("%v: asked for %d times", wait, asks)
		}
		end := began.Add(wait)
		if u := c.missing(ID{Number: 7}, errors.New("none"), end, wait); u.until.Sub(end) != unknownFor {
			t.Errorf("%v: given up and asked for again after %v", wait, u.until.Sub(end))
		}
	}
}
