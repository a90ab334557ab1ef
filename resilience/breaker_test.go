package resilience

import (
	"math"
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

// failKeys makes n keys fail, twice each.
func failKeys(b *Breaker, from, n int) {
	for k := range 2 * n {
		try(b, uint64(from+k%n), Failure)
	}
}

func wantState(t *testing.T, b *Breaker, want State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("the breaker is %v, want %v", got, want)
	}
}

func TestBreakerOpensOnDistinctKeys(t *testing.T) {
	succeed := func(b *Breaker, n int) {
		for k := range n {
			try(b, uint64(k+100), Success)
		}
	}
	for _, c := range []struct {
		name   string
		config BreakerConfig
		run    func(*Breaker)
		want   State
	}{
		{"ten keys that fail", BreakerConfig{After: -1}, func(b *Breaker) { failKeys(b, 0, 10) }, Open},
		{"but not at once", BreakerConfig{}, func(b *Breaker) { failKeys(b, 0, 1000) }, Closed},
		{"nine are too few", BreakerConfig{After: -1}, func(b *Breaker) { failKeys(b, 0, 9) }, Closed},
		{"once each is too little", BreakerConfig{After: -1}, func(b *Breaker) {
			for k := range uint64(19) {
				try(b, k, Failure)
			}
		}, Closed},
		{"one key, however often", BreakerConfig{After: -1}, func(b *Breaker) {
			for range 1000 {
				try(b, 7, Failure)
			}
		}, Closed},
		{"one key, whatever is configured", BreakerConfig{MinKeys: 1, Ratio: 0.01, After: -1}, func(b *Breaker) {
			for range 1000 {
				try(b, 7, Failure)
			}
		}, Closed},
		{"one success in eleven", BreakerConfig{After: -1}, func(b *Breaker) {
			failKeys(b, 0, 9)
			succeed(b, 20)
			failKeys(b, 9, 91)
		}, Closed},
		{"one success in sixty", BreakerConfig{After: -1}, func(b *Breaker) {
			failKeys(b, 0, 9)
			succeed(b, 3)
			failKeys(b, 9, 91)
		}, Open},
		{"half, if that is what is asked for", BreakerConfig{Ratio: 0.5, After: -1}, func(b *Breaker) {
			failKeys(b, 0, 9)
			succeed(b, 20)
			failKeys(b, 9, 1)
		}, Open},
		{"what is ignored does not count", BreakerConfig{After: -1}, func(b *Breaker) {
			for k := range uint64(100) {
				try(b, k, Ignored)
			}
		}, Closed},
		{"disabled", BreakerConfig{Disabled: true, After: -1}, func(b *Breaker) { failKeys(b, 0, 100) }, Closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBreaker("b", c.config)
			c.run(b)
			wantState(t, b, c.want)
		})
	}
}

// It opens when nearly nothing has worked for After, and not before.
func TestBreakerOpensAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{})
		for elapsed := time.Duration(0); elapsed < 5*time.Second; elapsed += 100 * time.Millisecond {
			failKeys(b, 0, 20)
			wantState(t, b, Closed)
			time.Sleep(100 * time.Millisecond)
		}
		failKeys(b, 0, 1)
		wantState(t, b, Open)
	})
}

// Concurrency falls to half where most attempts fail, no further, and comes back.
func TestBreakerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{Ratio: 1})
		want := func(limit int) {
			t.Helper()
			if got := b.Limit(64); got != limit {
				t.Errorf("%d of 64 may run, want %d", got, limit)
			}
		}
		want(64)
		failKeys(b, 0, 9)
		want(64) // too few to judge
		failKeys(b, 0, 20)
		want(32)
		if b.Limit(1) != 1 {
			t.Error("nothing may run")
		}
		if got := b.Limit(math.MaxInt); got < math.MaxInt/2 || got > math.MaxInt/2+thousand {
			t.Errorf("%d of as many as there can be may run", got)
		}
		for k := range uint64(29) {
			try(b, 100+k, Success)
		}
		want(43) // a third succeeds
		for k := range uint64(29) {
			try(b, 200+k, Success)
		}
		want(64)
		failKeys(b, 300, 500)
		want(32)
		time.Sleep(time.Minute)
		for k := range uint64(10) {
			try(b, 100+k, Success)
		}
		want(64)
		wantState(t, b, Closed)
	})
}

// Failures that lie further apart than the window do not add up.
func TestBreakerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 4, Window: time.Second, After: -1})
		for k := range uint64(20) {
			try(b, k, Failure)
			time.Sleep(600 * time.Millisecond)
		}
		wantState(t, b, Closed)
		failKeys(b, 0, 4)
		wantState(t, b, Open)
	})
}

// Rounds of probes grow and come less often, and the first success closes.
func TestBreakerProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []State
		b := NewBreaker("b", BreakerConfig{
			MinKeys: 2, Probes: 3, After: -1, OpenFor: 8 * time.Second, OnChange: func(_, to State) { changes = append(changes, to) },
		})
		probes := func(want int) (tickets []Ticket) {
			t.Helper()
			if got := b.Probes(); got != want {
				t.Errorf("the next round is of %d probes, want %d", got, want)
			}
			for k := range uint64(100) {
				if ticket, ok := b.Allow(k); ok {
					tickets = append(tickets, ticket)
				}
			}
			if len(tickets) != want {
				t.Fatalf("%d probes, want %d", len(tickets), want)
			}
			wantState(t, b, HalfOpen)
			return tickets
		}
		failKeys(b, 0, 2)
		for i, seconds := range []int{1, 2, 4, 8, 8, 8} {
			wantState(t, b, Open)
			time.Sleep(time.Duration(seconds)*time.Second - 1)
			if !b.Refuses() || try(b, 1, Success) {
				t.Fatalf("round %d began early", i)
			}
			time.Sleep(time.Nanosecond)
			if b.Refuses() {
				t.Fatalf("round %d does not begin", i)
			}
			for _, probe := range probes(3 << min(i, 3)) {
				wantState(t, b, HalfOpen)
				if !probe.Probe() || !probe.Blameless() {
					t.Error("the dependency has not answered yet")
				}
				probe.Done(Failure)
			}
		}
		time.Sleep(8 * time.Second)
		last := probes(24)
		last[0].Done(Ignored) // frees its place, and says nothing
		again, ok := b.Allow(200)
		if !ok {
			t.Fatal("the place of an ignored probe is not free")
		}
		if try(b, 201, Failure) {
			t.Error("it gave two places")
		}
		last[1].Done(Failure)
		again.Done(Success)
		wantState(t, b, Closed)
		for _, probe := range last[2:] {
			probe.Done(Failure) // of a round that is over
		}
		wantState(t, b, Closed)
		if b.Limit(10) != 10 || b.window.failed() != 0 {
			t.Error("a round that is over counts against the closed breaker")
		}
		synctest.Wait()
		if n := len(changes); changes[n-1] != Closed || changes[n-2] != HalfOpen {
			t.Errorf("changes %v", changes)
		}
	})
}

// A round whose probes are all ignored says nothing: the next one begins at once.
func TestBreakerIgnoredRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: time.Second})
		failKeys(b, 0, 2)
		time.Sleep(time.Second)
		for range 5 {
			if !try(b, 1, Ignored) {
				t.Fatal("refused")
			}
			wantState(t, b, HalfOpen)
		}
		try(b, 1, Success)
		wantState(t, b, Closed)
	})
}

func TestBreakerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 2, After: -1, OpenFor: time.Second})
		failKeys(b, 0, 2)
		time.Sleep(time.Second)
		try(b, 1, Success)
		wantState(t, b, Closed)
		if ticket, _ := b.Allow(1); ticket.Blameless() {
			t.Error("no probe, and blameless")
		}
		if open := b.OpenFor(); open != time.Second {
			t.Errorf("open for %v", open)
		}
		failKeys(b, 0, 1) // the window began again
		wantState(t, b, Closed)
		failKeys(b, 1, 1)
		wantState(t, b, Open)
		time.Sleep(time.Minute)
		if open := b.OpenFor(); open != time.Minute+time.Second {
			t.Errorf("open for %v", open)
		}
	})
}

// WorkedSince counts the successes after a mark, and none before it.
func TestBreakerMark(t *testing.T) {
	b := NewBreaker("b", BreakerConfig{})
	try(b, 1, Success)
	first := b.Mark()
	if b.WorkedSince(first) {
		t.Error("a success before the mark counts")
	}
	try(b, 1, Failure)
	if b.WorkedSince(first) || b.Mark() != first {
		t.Error("a failure counts")
	}
	try(b, 1, Success)
	second := b.Mark()
	if !b.WorkedSince(first) || b.WorkedSince(second) {
		t.Error("the success between the two is not where it was")
	}
}

// Attempts that began before the opening end after it: they neither take a
// probe's place nor open it again.
func TestBreakerLateOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: time.Second})
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
	b := NewBreaker("b", BreakerConfig{MinKeys: 4, Probes: 2, After: -1, OpenFor: time.Microsecond})
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
