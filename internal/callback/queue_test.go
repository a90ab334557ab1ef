package callback

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueCallsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(10)
		var seen []int // without a lock: the race detector says if two run at once
		for i := range 5 {
			q.Add(func() {
				if seen = append(seen, i); i == 2 {
					runtime.Goexit()
				}
			})
		}
		if lost, _ := q.Close(t.Context()); lost != 0 || !slices.Equal(seen, []int{0, 1, 2, 3, 4}) {
			t.Errorf("%v, %d lost", seen, lost)
		}
	})
}

// TestQueueIsBounded: functions that wait behind one that hangs are bounded, counted,
// and not called after Close.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, stop, called := NewQueue(2), make(chan struct{}), 0
		hung, _ := q.Add(func() { <-stop })
		for i := range 3 {
			done, lost := q.Add(func() { called++ })
			if full := i == 2; (done == nil) != full || (lost > 0) != full {
				t.Errorf("call %d: %v, %d lost", i, done, lost)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if lost, left := q.Close(ctx); lost != 3 || left != 2 || time.Since(start) != time.Second {
			t.Errorf("%d lost, closed in %v", lost, time.Since(start))
		}
		close(stop)
		<-hung
		synctest.Wait()
		if done, _ := q.Add(func() { called++ }); done != nil || called != 0 {
			t.Errorf("%d called after Close", called)
		}
	})
}
