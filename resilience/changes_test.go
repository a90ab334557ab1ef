package resilience

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Changes are reported in order, one call at a time, whatever the calls before did.
func TestChangesAreReportedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []State // by the goroutine that reports: read after synctest.Wait
		stop := make(chan struct{})
		var b *Breaker
		b = NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: 8 * time.Second, OnChange: func(_, to State) {
			b.Probes() // it may call the breaker
			told = append(told, to)
			switch len(told) {
			case 1:
				panic(errors.New("no"))
			case 2:
				runtime.Goexit()
			case 3:
				<-stop
			}
		}})
		failKeys(b, 0, 2)
		want := []State{Open}
		for range 5 {
			synctest.Wait()
			time.Sleep(8 * time.Second)
			try(b, 1, Failure)
			want = append(want, HalfOpen, Open)
		}
		time.Sleep(8 * time.Second)
		try(b, 1, Success)
		want = append(want, HalfOpen, Closed)
		wantState(t, b, Closed)
		synctest.Wait()
		if len(told) != 3 {
			t.Errorf("%d changes are reported while the third call blocks", len(told))
		}
		close(stop)
		synctest.Wait()
		if !slices.Equal(told, want) {
			t.Errorf("reported were %v, want %v", told, want)
		}
	})
}

// What waits for a call that blocks is bounded, and none of it contradicts itself.
func TestChangesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		var told []change
		c := changes{call: func(from, to State) {
			<-stop
			told = append(told, change{from, to})
		}}
		c.report(Closed, Open)
		synctest.Wait()
		from := Open
		for range 1000 {
			to := (from + 1) % 3
			c.report(from, to)
			from = to
		}
		close(stop)
		synctest.Wait()
		if len(told) != 1+maxChanges || told[len(told)-1].to != from {
			t.Errorf("%d reports, the last %v", len(told), told[len(told)-1])
		}
		for i, now := range told[1:] {
			if now.from != told[i].to {
				t.Errorf("report %d is from %v, and the one before to %v", i+1, now.from, told[i].to)
			}
		}
	})
}

// A renewed breaker is closed and goes on with the reports; the one before reports
// nothing more.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []State
		old := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: time.Second, OnChange: func(_, to State) { told = append(told, to) }})
		failKeys(old, 0, 2)
		b := old.Renew()
		if again := old.Renew(); again.State() != Closed {
			t.Error("a second one is not closed")
		}
		wantState(t, b, Closed)
		failKeys(b, 0, 1)
		wantState(t, b, Closed)
		time.Sleep(time.Second)
		try(old, 1, Success)
		failKeys(b, 0, 2)
		wantState(t, b, Open)
		synctest.Wait()
		if want := []State{Open, Closed, Open}; !slices.Equal(told, want) {
			t.Errorf("reported were %v, want %v", told, want)
		}
	})
}
