// Package brokergate has the circuit breakers of publishing, one per broker.
package brokergate

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// Breakers is the circuit breaker of publishing, one per broker, so that
// one broker without a quorum does not fail what the others accept. It
// implements transport.Gate. It must not be copied after its first use.
type Breakers struct {
	// Config is the configuration of each breaker, and Changed is called when one
	// changes, with Config.OnChange. Both are set before the first use.
	Config  resilience.BreakerConfig
	Changed func(broker int32, from, to resilience.State, user func(from, to resilience.State))

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

// of returns the breaker of a broker, creating it on first use.
func (p *Breakers) of(broker int32) *brokerBreaker {
	if b, ok := p.brokers.Load(broker); ok {
		return b.(*brokerBreaker)
	}
	config, user := p.Config, p.Config.OnChange
	config.OnChange = func(from, to resilience.State) { p.Changed(broker, from, to, user) }
	// A request fails only after its own timeout, and holds up the requests behind
	// it meanwhile. So a few failures are enough, and open the breaker at once.
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
func (p *Breakers) Allow(broker int32) error {
	if p.Config.Disabled {
		return nil
	}
	b := p.of(broker)
	if b.State() == resilience.Closed {
		return nil
	}
	ticket, ok := b.Breaker.Allow(b.requests.Add(1))
	if !ok {
		b.releaseProbes()
		return resilience.ErrOpen
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
func (p *Breakers) Report(broker int32, err error) {
	if p.Config.Disabled {
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
		// Records that were accepted before the breaker opened are retried
		// meanwhile. The broker has taken some of them, so replace the breaker by a
		// closed one instead of waiting for a probe.
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

// Open returns the brokers to which nothing is published now. A broker that
// leads no partition any more gets no requests, so its breaker stays open and
// has no effect.
func (p *Breakers) Open() (brokers []int32) {
	p.brokers.Range(func(k, v any) bool {
		if v.(*brokerBreaker).Refuses() {
			brokers = append(brokers, k.(int32))
		}
		return true
	})
	return brokers
}

// States yields the state of each broker's breaker, for metrics.
func (p *Breakers) States(yield func(int32, resilience.State) bool) {
	p.brokers.Range(func(broker, b any) bool { return yield(broker.(int32), b.(*brokerBreaker).State()) })
}
