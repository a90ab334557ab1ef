package eventbus_test

import (
	"context"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestReplayThatIsRefused: its subscriptions' settings of a shared breaker have no
// effect.
func TestReplayThatIsRefused(t *testing.T) {
	bus, topic := newBus(t, memory.New(), config()), orders(t)
	defer closeBus(t, bus)
	behind := func(openFor time.Duration) eventbus.Subscription {
		return eventbus.On(topic, func(context.Context, order) error { return nil }, eventbus.SharedBreaker("x", resilience.BreakerConfig{OpenFor: openFor}))
	}
	if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, behind(time.Minute), eventbus.Subscription{}); err == nil {
		t.Fatal("it is not refused")
	}
	if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{Types: []string{"none"}}, behind(time.Minute)); err == nil {
		t.Fatal("a type that nothing handles is not refused")
	}
	must(t, bus.Add(behind(time.Second)))
}
