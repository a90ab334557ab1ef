package produce

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

// timed is a network connection that records its deadline.
type timed struct {
	net.Conn
	deadline time.Time
}

func (c *timed) SetDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// TestRoundReadEnds: the holder's context ends just before the deadline of the next response
// is set. The deadline still ends a running write, and the cause is reported.
func TestRoundReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wire := &timed{}
	r := &round{
		conn:   &cluster.Conn{Conn: protocol.NewConn(wire, ""), Link: &cluster.Link{}, Ctx: ctx},
		expect: make(chan *flight, 1), come: make(chan received, 1),
	}
	r.expect <- &flight{deadline: time.Now().Add(time.Hour)}
	r.read(r.expect, r.come)
	if !wire.deadline.Equal(cluster.Past) {
		t.Errorf("a write that nobody takes would end at %s", wire.deadline)
	}
	if err := r.cause(errors.New("the write")); !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is %v, want that of the read", err)
	}
}
