package brokergate

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// TestPublishBreaker: it opens for one broker alone, closes by probes after a
// while, and closes at once if the broker accepts records from before.
func TestPublishBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []resilience.State // by the breakers' goroutine: read it after synctest.Wait
		p := &Breakers{Changed: func(broker int32, _, to resilience.State, _ func(from, to resilience.State)) {
			if broker != 1 {
				t.Errorf("the breaker of broker %d is %s", broker, to)
			}
			changes = append(changes, to)
		}}
		open := func() {
			t.Helper()
			for range 5 {
				if err := p.Allow(1); err != nil {
					t.Fatal(err)
				}
				p.Report(1, errors.New("not enough replicas"))
			}
			if err := p.Allow(1); !errors.Is(err, resilience.ErrOpen) {
				t.Fatalf("after five failures: %v", err)
			}
			if err := p.Allow(2); err != nil {
				t.Fatalf("another broker: %v", err)
			}
		}
		open()
		p.Report(1, errors.New("still not enough"))
		time.Sleep(10*time.Second + 1)
		for range 3 {
			if err := p.Allow(1); err != nil {
				t.Fatalf("a probe: %v", err)
			}
			p.Report(1, nil)
		}
		open()
		p.Report(1, nil)
		if err := p.Allow(1); err != nil || len(p.Open()) > 0 {
			t.Errorf("the broker has written what it was sent: %v, open are %v", err, p.Open())
		}
		open() // the window began again
		synctest.Wait()
		want := []resilience.State{resilience.Open, resilience.HalfOpen, resilience.Closed, resilience.Open, resilience.Closed, resilience.Open}
		if !slices.Equal(changes, want) {
			t.Errorf("the breaker was %v, want %v", changes, want)
		}
	})
}

// TestPublishBreakerWithoutReports: records that take a probe's place and are never
// sent (too large, or overtaken by a new leader) do not keep it indefinitely.
func TestPublishBreakerWithoutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Breakers{Changed: func(int32, resilience.State, resilience.State, func(from, to resilience.State)) {}}
		for range 5 {
			if err := p.Allow(1); err != nil {
				t.Fatal(err)
			}
			p.Report(1, errors.New("down"))
		}
		<-time.After(p.of(1).Cooldown() + time.Second)
		for range p.of(1).Probes() {
			if err := p.Allow(1); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Allow(1); !errors.Is(err, resilience.ErrOpen) {
			t.Fatalf("beyond the probes: %v, want resilience.ErrOpen", err)
		}
		<-time.After(p.of(1).Cooldown() + time.Second)
		_ = p.Allow(1) // it finds that the probes were never reported
		if err := p.Allow(1); err != nil {
			t.Errorf("the probes' places are never free again: %v", err)
		}
	})
}
