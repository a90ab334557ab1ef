package eventbus

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/resilience"
)

// publishBreakers is the circuit breaker of publishing, one per broker, so that
// one broker without a quorum does not fail what the others accept. It
// implements transport.Gate.
type publishBreakers struct {
	config  resilience.BreakerConfig
	changed func(broker int32, from, to resilience.State, user func(from, to resilience.State))

	brokers sync.Map // int32 → *brokerBreaker
}

// brokerBreaker is the breaker of one broker. A Breaker counts distinct keys;
// here each request counts as a key of its own.
type brokerBreaker struct {
	*resilience.Breaker
	requests atomic.Uint64
	mu       sync.Mutex
	probes   []resilience.Ticket
	probed   time.Time
}

// of returns the breaker of a broker, and makes it on first use.
func (p *publishBreakers) of(broker int32) *brokerBreaker {
	if b, ok := p.brokers.Load(broker); ok {
		return b.(*brokerBreaker)
	}
	config, user := p.config, p.config.OnChange
	config.OnChange = func(from, to resilience.State) { p.changed(broker, from, to, user) }
	// A request fails only after its own time, and holds the requests behind it up
	// meanwhile: so a few of them are enough, at once.
	if config.MinKeys == 0 {
		config.MinKeys = 5
	}
	if config.MinAttempts == 0 {
		config.MinAttempts = config.MinKeys
	}
	if config.After == 0 {
		config.After = -1
	}
	b, _ := p.brokers.LoadOrStore(broker, &brokerBreaker{Breaker: resilience.NewBreaker("publish", config)})
	return b.(*brokerBreaker)
}

// Allow implements transport.Gate.
func (p *publishBreakers) Allow(broker int32) error {
	if p.config.Disabled {
		return nil
	}
	b := p.of(broker)
	if b.State() == resilience.Closed {
		return nil
	}
	ticket, ok := b.Breaker.Allow(b.requests.Add(1))
	if !ok {
		b.releaseProbes()
		return ErrCircuitOpen
	}
	b.mu.Lock()
	b.probed = time.Now()
	b.probes = append(b.probes, ticket)
	b.mu.Unlock()
	return nil
}

// releaseProbes gives back probes whose outcome was never reported, such as
// those of requests that were cancelled. Otherwise they would keep the breaker
// half-open indefinitely.
func (b *brokerBreaker) releaseProbes() {
	b.mu.Lock()
	var probes []resilience.Ticket
	if time.Since(b.probed) > b.Cooldown() {
		probes, b.probes = b.probes, nil
	}
	b.mu.Unlock()
	for _, t := range probes {
		t.Done(resilience.Ignored)
	}
}

// Report implements transport.Gate.
func (p *publishBreakers) Report(broker int32, err error) {
	if p.config.Disabled {
		return
	}
	b := p.of(broker)
	outcome := resilience.Success
	if err != nil {
		outcome = resilience.Failure
	}
	b.mu.Lock()
	probes := b.probes
	b.probes = nil
	b.mu.Unlock()
	if err == nil && len(probes) == 0 && b.State() == resilience.Open {
		// What was accepted before it opened is sent again and again meanwhile. The
		// broker has taken some of it: there is no reason to wait for a probe. The
		// breaker starts again.
		p.brokers.CompareAndSwap(broker, b, &brokerBreaker{Breaker: b.Renew()})
		return
	}
	for _, t := range probes {
		t.Done(outcome)
	}
	if len(probes) == 0 && b.State() == resilience.Closed {
		if t, ok := b.Breaker.Allow(b.requests.Add(1)); ok {
			t.Done(outcome)
		}
	}
}

// open returns the brokers to which nothing is published now. A broker that
// leads no partition any more gets no requests, so its breaker stays open and
// has no effect.
func (p *publishBreakers) open() (brokers []int32) {
	p.brokers.Range(func(k, v any) bool {
		if v.(*brokerBreaker).Refuses() {
			brokers = append(brokers, k.(int32))
		}
		return true
	})
	return brokers
}

// publishBreakerChanged reports a change of a broker's breaker.
func (b *Bus) publishBreakerChanged(broker int32, from, to resilience.State, user func(from, to resilience.State)) {
	b.breakerChanged(telemetry.PublishBreakerName(broker), from, to, user)
}

// breakerChanged reports a change of a breaker, also to the user's OnChange, whose
// panic ends nothing.
func (b *Bus) breakerChanged(name string, from, to resilience.State, user func(from, to resilience.State)) {
	b.config.Logger.Warn("circuit breaker changed", "breaker", name, "from", from.String(), "to", to.String())
	b.signals.BreakerChanged(name, to)
	if user == nil {
		return
	}
	if err := notify(user, from, to); err != nil {
		b.config.Logger.Error("a callback of a circuit breaker failed", "breaker", name, telemetry.LogError, err)
	}
}

// notify calls a breaker's OnChange.
func notify(user func(from, to resilience.State), from, to resilience.State) (err error) {
	defer rescue(&err, "OnChange")
	user(from, to)
	return nil
}

// states yields the state of each broker's breaker, for metrics.
func (p *publishBreakers) states(yield func(int32, resilience.State) bool) {
	p.brokers.Range(func(broker, b any) bool { return yield(broker.(int32), b.(*brokerBreaker).State()) })
}
