package resilience

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// try makes an attempt, if the breaker lets it.
func try(b *Breaker, key uint64, o Outcome) bool {
	ticket, ok := b.Allow(key)
	if ok {
		ticket.Done(o)
	}
	return ok
}

func failKeys(b *Breaker, from, n int) {
	for k := range n {
		try(b, uint64(from+k), Failure)
	}
}

func wantState(t *testing.T, b *Breaker, want State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("the breaker is %v, want %v", got, want)
	}
}

func TestBreakerOpensOnDistinctKeys(t *testing.T) {
	for _, c := range []struct {
		name   string
		config BreakerConfig
		run    func(*Breaker)
		want   State
	}{
		{"ten keys that fail", BreakerConfig{}, func(b *Breaker) { failKeys(b, 0, 10) }, Open},
		{"nine are too few", BreakerConfig{}, func(b *Breaker) { failKeys(b, 0, 9) }, Closed},
		{"one key, however often", BreakerConfig{}, func(b *Breaker) {
			for range 1000 {
				try(b, 7, Failure)
			}
		}, Closed},
		{"one key, whatever is configured", BreakerConfig{MinKeys: 1, Ratio: 0.01}, func(b *Breaker) {
			for range 1000 {
				try(b, 7, Failure)
			}
		}, Closed},
		{"one key among many", BreakerConfig{MinKeys: 2, Ratio: 0.01}, func(b *Breaker) {
			try(b, 7, Failure)
			for k := range uint64(20) {
				try(b, k+100, Success)
			}
			try(b, 7, Failure)
		}, Closed},
		{"a ratio below the bound", BreakerConfig{Ratio: 0.5}, func(b *Breaker) {
			failKeys(b, 0, 1)
			for k := range uint64(11) {
				try(b, k+100, Success)
			}
			failKeys(b, 1, 9)
		}, Closed},
		{"a ratio at the bound", BreakerConfig{Ratio: 0.5}, func(b *Breaker) {
			failKeys(b, 0, 1)
			for k := range uint64(10) {
				try(b, k+100, Success)
			}
			failKeys(b, 1, 9)
		}, Open},
		{"half of few keys, by chance", BreakerConfig{}, func(b *Breaker) {
			failKeys(b, 0, 1)
			for k := range uint64(5) {
				try(b, k+100, Success)
			}
			failKeys(b, 1, 6)
		}, Closed},
		{"four fifths of few keys", BreakerConfig{}, func(b *Breaker) {
			failKeys(b, 0, 1)
			for k := range uint64(2) {
				try(b, k+100, Success)
			}
			failKeys(b, 1, 7)
		}, Open},
		{"keys that recovered count as well", BreakerConfig{}, func(b *Breaker) {
			failKeys(b, 0, 9)
			for k := range uint64(9) {
				try(b, k, Success)
			}
			failKeys(b, 20, 8)
		}, Closed},
		{"what is ignored does not count", BreakerConfig{}, func(b *Breaker) {
			for k := range uint64(100) {
				try(b, k, Ignored)
			}
		}, Closed},
		{"disabled", BreakerConfig{Disabled: true}, func(b *Breaker) { failKeys(b, 0, 100) }, Closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBreaker("b", c.config)
			c.run(b)
			wantState(t, b, c.want)
		})
	}
}

// Failures that lie further apart than the window do not add up.
func TestBreakerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 4, Window: time.Second})
		for k := range uint64(20) {
			try(b, k, Failure)
			time.Sleep(600 * time.Millisecond)
		}
		wantState(t, b, Closed)
		failKeys(b, 0, 4)
		wantState(t, b, Open)
	})
}

func TestBreakerProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []State
		b := NewBreaker("b", BreakerConfig{
			MinKeys: 2, Probes: 3, OpenFor: time.Second, OnChange: func(_, to State) { changes = append(changes, to) },
		})
		reopened := func() {
			t.Helper()
			wantState(t, b, Open)
			if try(b, 1, Success) {
				t.Fatal("let through while open")
			}
			time.Sleep(time.Second + 1)
		}
		probes := func() []Ticket {
			t.Helper()
			var tickets []Ticket
			for k := range uint64(10) {
				if ticket, ok := b.Allow(k); ok {
					tickets = append(tickets, ticket)
				}
			}
			if len(tickets) != 3 {
				t.Fatalf("%d probes", len(tickets))
			}
			return tickets
		}
		failKeys(b, 0, 2)
		reopened()

		first := probes()
		wantState(t, b, HalfOpen)
		if !first[0].Blameless() {
			t.Error("the dependency has not answered yet")
		}
		first[0].Done(Success)
		if first[1].Blameless() {
			t.Error("the dependency has answered")
		}
		first[1].Done(Failure)
		reopened()
		second := probes()
		first[2].Done(Success) // of the time before: counts for nothing

		second[0].Done(Ignored) // frees its place, and says nothing
		if _, ok := b.Allow(11); !ok {
			t.Error("the place of an ignored probe is not free")
		}
		if _, ok := b.Allow(12); ok {
			t.Error("it gave two places")
		}
		second[1].Done(Success)
		second[2].Done(Success)
		wantState(t, b, HalfOpen)
		if try(b, 13, Success) {
			t.Error("let through while key 11 probes in the last place")
		}
		wantState(t, b, HalfOpen)
		if changes[len(changes)-1] != HalfOpen {
			t.Errorf("changes %v", changes)
		}
	})
}

func TestBreakerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 2, OpenFor: time.Second})
		failKeys(b, 0, 2)
		late, _ := NewBreaker("other", BreakerConfig{}).Allow(1)
		late.Done(Failure)
		time.Sleep(time.Second + 1)
		try(b, 1, Success)
		wantState(t, b, HalfOpen)
		try(b, 2, Success)
		wantState(t, b, Closed)
		if ticket, _ := b.Allow(1); ticket.Blameless() {
			t.Error("no probe, and blameless")
		}
		if open := b.OpenFor(); open != time.Second+1 {
			t.Errorf("open for %v", open)
		}
		failKeys(b, 0, 1) // the window began anew
		wantState(t, b, Closed)
		failKeys(b, 1, 1)
		wantState(t, b, Open)
		time.Sleep(time.Minute)
		if open := b.OpenFor(); open != time.Minute+time.Second+1 {
			t.Errorf("open for %v", open)
		}
	})
}

// Attempts that began before the opening end after it: they neither take a
// probe's place nor open it again.
func TestBreakerLateOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 1, OpenFor: time.Second})
		var late []Ticket
		for k := range uint64(20) {
			ticket, _ := b.Allow(k)
			late = append(late, ticket)
		}
		failKeys(b, 100, 2)
		for _, ticket := range late[:10] {
			ticket.Done(Failure)
		}
		time.Sleep(time.Second + 1)
		probe, ok := b.Allow(1)
		if !ok {
			t.Fatal("no probe")
		}
		for _, ticket := range late[10:] {
			ticket.Done(Failure)
		}
		wantState(t, b, HalfOpen)
		probe.Done(Success)
		wantState(t, b, Closed)
		failKeys(b, 200, 1)
		wantState(t, b, Closed)
	})
}

// Concurrent use: never more probes at once than allowed, and when all is well
// again it closes.
func TestBreakerConcurrently(t *testing.T) {
	b := NewBreaker("b", BreakerConfig{MinKeys: 4, Probes: 2, OpenFor: time.Microsecond})
	var down atomic.Bool
	down.Store(true)
	var wait sync.WaitGroup
	for w := range 8 {
		rng := rand.New(rand.NewPCG(uint64(w), 1))
		wait.Go(func() {
			for i := range 20_000 {
				if i == 15_000 {
					down.Store(false)
				}
				o := Success
				if down.Load() {
					o = Failure
				} else if rng.IntN(10) == 0 {
					o = Ignored
				}
				try(b, rng.Uint64N(50), o)
				b.OpenFor()
			}
		})
	}
	wait.Wait()
	for k := range uint64(1000) {
		if b.State() == Closed {
			return
		}
		try(b, k, Success)
	}
	t.Errorf("the breaker is %v", b.State())
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Closed: "closed", HalfOpen: "half-open", Open: "open"} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s.String())
		}
	}
}

func BenchmarkBreakerClosed(b *testing.B) {
	br := NewBreaker("b", BreakerConfig{})
	b.ReportAllocs()
	for b.Loop() {
		try(br, 1, Success)
	}
}
