package transport_test

import (
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

func TestDefaults(t *testing.T) {
	p := transport.ProducerConfig{}.WithDefaults()
	if p.DeliveryTimeout != 2*time.Minute || p.BufferBytes != 32<<20 || p.BufferRecords != 100_000 || p.BatchBytes != 1_000_000 || p.RequestBytes != 16<<20 {
		t.Errorf("%+v", p)
	}
	if got := (transport.ProducerConfig{BatchBytes: 7, BufferBytes: -1}).WithDefaults(); got.BatchBytes != 7 || got.BufferBytes != -1 {
		t.Errorf("fields that were set have changed: %+v", got)
	}
	c := transport.ConsumerConfig{}.WithDefaults()
	if c.SessionTimeout != 45*time.Second || c.HeartbeatInterval != 3*time.Second || c.RebalanceTimeout != time.Minute || c.FetchBytes != 16<<20 || c.Logger == nil {
		t.Errorf("%+v", c)
	}
	if c := (transport.ConsumerConfig{SessionTimeout: 6 * time.Second}).WithDefaults(); c.HeartbeatInterval != 2*time.Second {
		t.Errorf("a session of 6 s has a heartbeat every %v, want a third", c.HeartbeatInterval)
	}
	if r := (transport.ReaderConfig{}).WithDefaults(); r.FetchBytes != 8<<20 || r.Logger == nil {
		t.Errorf("%+v", r)
	}
}

func TestOutOfRangeString(t *testing.T) {
	for policy, want := range map[transport.OutOfRange]string{transport.ToEarliest: "to earliest", transport.ToLatest: "to latest", transport.StayOutOfRange: "stay", -1: "policy -1"} {
		if got := policy.String(); got != want {
			t.Errorf("%d is %q, want %q", int(policy), got, want)
		}
	}
}
