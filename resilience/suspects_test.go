package resilience

import (
	"testing"
	"testing/synctest"
	"time"
)

// suspectKeys makes keys suspects, while another key works.
func suspectKeys(b *Breaker, keys ...uint64) {
	try(b, 1<<40, Success)
	for _, k := range keys {
		b.Suspect(k, 0)
	}
}

// A key that keeps failing while others work is no evidence, until it succeeds.
func TestSuspectsDoNotOpenTheBreaker(t *testing.T) {
	b := NewBreaker("b", BreakerConfig{MinKeys: 4, After: -1, Ratio: 0.9})
	suspectKeys(b, 0, 1, 2, 3, 4, 5)
	failKeys(b, 0, 6)
	wantState(t, b, Closed)
	failKeys(b, 10, 3)
	wantState(t, b, Closed)
	try(b, 5, Success) // cleared
	if b.Suspected(5) {
		t.Error("still a suspect after its success")
	}
	failKeys(b, 5, 1)
	failKeys(b, 10, 3)
	wantState(t, b, Open)
}

// A key that is given up while nothing works may be an outage's victim.
func TestNoSuspectsWhileNothingWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{Window: 10 * time.Second, OpenFor: time.Second, MinKeys: 2, After: -1})
		try(b, 1, Success)
		since := b.Mark()
		for range 4 {
			try(b, 7, Failure)
			time.Sleep(5 * time.Second)
		}
		b.Suspect(7, since)
		if b.Suspected(7) {
			t.Error("suspected, though nothing worked since it failed first")
		}
		failKeys(b, 7, 2)
		wantState(t, b, Open)
		b.Suspect(7, since)
		if b.Suspected(7) {
			t.Error("suspected, though the breaker is open and nothing has answered")
		}
		time.Sleep(time.Second)
		try(b, 9, Success)
		b.Suspect(7, since)
		if !b.Suspected(7) {
			t.Error("not suspected, though a probe has worked")
		}
	})
}

// While a breaker is open, suspects wait as long as other keys can probe. Then they
// may try, fail at their own expense, and change nothing.
func TestSuspectsProbeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("b", BreakerConfig{MinKeys: 2, Probes: 2, After: -1, OpenFor: time.Second})
		suspectKeys(b, 7, 8)
		failKeys(b, 0, 2)
		for range 30 { // an outage of half a minute
			time.Sleep(time.Second + 1)
			if try(b, 7, Failure) {
				t.Fatal("a suspect probes in place of those whose word counts")
			}
			if !try(b, 1, Failure) {
				t.Fatal("no probe")
			}
			wantState(t, b, Open)
		}
		time.Sleep(time.Second + 1)
		slow, _ := b.Allow(1)
		time.Sleep(time.Minute)
		if _, ok := b.Allow(7); ok {
			t.Fatal("a suspect probes while another key is asked")
		}
		slow.Done(Ignored)
		for range 10 {
			ticket, ok := b.Allow(7)
			if !ok || ticket.Blameless() {
				t.Fatalf("let through: %v, blameless: %v", ok, ticket.Blameless())
			}
			ticket.Done(Failure)
			wantState(t, b, HalfOpen)
		}
		try(b, 7, Success)
		wantState(t, b, Closed)
		if b.Suspected(7) {
			t.Error("a suspect after its success")
		}
	})
}

func TestSuspectsAreBounded(t *testing.T) {
	var s suspects
	for k := range uint64(maxSuspects) {
		s.add(k)
	}
	s.remove(0)
	s.add(1 << 40) // in place of key 0
	s.add(1)       // known
	s.remove(2)
	s.add(2) // in place of key 1, and key 2's old place is free
	s.add(1 << 41)
	for key, want := range map[uint64]bool{0: false, 1: false, 2: true, 3: true, 1 << 40: true, 1 << 41: true} {
		if s.has(key) != want {
			t.Errorf("has %d: %v", key, !want)
		}
	}
	for k := range uint64(10 * maxSuspects) {
		s.add(k + 1<<50)
	}
	if s.len() != maxSuspects || len(s.ring) != maxSuspects {
		t.Errorf("%d suspects in %d places", s.len(), len(s.ring))
	}
}

func TestDisabledBreakerHasNoSuspects(t *testing.T) {
	b := NewBreaker("b", BreakerConfig{Disabled: true})
	suspectKeys(b, 1)
	if b.Suspected(1) {
		t.Error("a disabled breaker suspects")
	}
}
