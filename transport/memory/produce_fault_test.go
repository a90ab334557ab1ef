package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestProduceFaultsTakeTurns(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		c.FailProduces("t", 2, errors.New("disk full"))
		c.LoseAcknowledgements("t", 1)
		c.DuplicateProduces("t", 1)
		write(t, p, 0, &heard, "a", "b", "c", "d", "e")
		equal(t, "outcomes", fmt.Sprintf("%q", heard), `["disk full" "disk full" "outcome unknown: the acknowledgement was lost" "1" "3"]`)
		equal(t, "log", values(c), "c d d e")

		c.FailProduces("t", -1, errors.New("disk full"))
		write(t, p, 0, &heard, "f", "g")
		c.StopProduceFaults("t")
		write(t, p, 0, &heard, "h")
		equal(t, "log", values(c), "c d d e h")
	})
}

func TestHeldAcknowledgements(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		release := c.HoldAcknowledgements("t")
		write(t, p, 0, &heard, "a", "b")
		equal(t, "log while held", values(c), "a b")
		equal(t, "outcomes while held", heard, "[]")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush while held: %v", err)
		}
		release()
		release()
		write(t, p, 0, &heard, "c")
		equal(t, "outcomes", heard, "[0 1 2]")
		check(t, p.Flush(t.Context()))
	})
}

func TestHeldAcknowledgementsFillTheBuffer(t *testing.T) {
	for _, config := range []transport.ProducerConfig{{BufferRecords: 2}, {BufferBytes: 150}} {
		bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
			var heard outcomes
			p := producer(t, c, config)
			release := c.HoldAcknowledgements("t")
			write(t, p, 0, &heard, "a", "b")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			record := transport.Record{Topic: "t", Value: []byte("refused")}
			if err := p.Produce(ctx, &record, &heard); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Produce into a full buffer: %v", err)
			}
			waiting := make(chan error, 1)
			go func() {
				waiting <- p.Produce(t.Context(), &transport.Record{Topic: "t", Value: []byte("c")}, &heard)
			}()
			synctest.Wait()
			release()
			check(t, <-waiting)
			equal(t, "log", values(c), "a b c")
		})
	}
}

func TestHeldAcknowledgementsEnd(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{DeliveryTimeout: time.Minute})
		c.HoldAcknowledgements("t")
		write(t, p, 0, &heard, "a", "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		unknown := "outcome unknown: no acknowledgement within 1m0s"
		equal(t, "outcomes past the delivery timeout", fmt.Sprintf("%q", heard), fmt.Sprintf("%q", []string{unknown, unknown}))

		write(t, p, 0, &heard, "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while held: %v", err)
		}
		equal(t, "outcome of Close", heard[2], "producer: closed: outcome unknown")
	})
}

// again produces once more from its own completion.
type again struct {
	outcomes
	produce func()
}

func (a *again) Done(p transport.Position, err error) {
	a.outcomes.Done(p, err)
	if produce := a.produce; produce != nil {
		a.produce = nil
		produce()
		a.outcomes = append(a.outcomes, "returned")
	}
}

func TestCompletionThatProduces(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		p := producer(t, c, transport.ProducerConfig{})
		record := &transport.Record{Topic: "t"}
		a := new(again)
		a.produce = func() { check(t, p.Produce(t.Context(), record, a)) }
		check(t, p.Produce(t.Context(), record, a))
		equal(t, "completions", a.outcomes, "[0 returned 1]")
	})
}

func TestDuplicate(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "a", "b")
		m := consumer(t, c)
		check(t, c.Duplicate("t", 0, 0))
		m.gets("a b a")
		if err := c.Duplicate("t", 0, 9); !errors.Is(err, transport.ErrRejected) {
			t.Errorf("a duplicate of nothing: %v", err)
		}
	})
}

type countingGate struct{ reports []error }

func (g *countingGate) Allow(int32) error         { return nil }
func (g *countingGate) Report(_ int32, err error) { g.reports = append(g.reports, err) }

// TestGateHearsOfInfrastructure: a failure that is the record's fault counts as a
// success.
func TestGateHearsOfInfrastructure(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		g := new(countingGate)
		p := producer(t, c, transport.ProducerConfig{Gate: g})
		down := errors.New("down")
		for _, err := range []error{down, &transport.TooLargeError{Size: 1}, transport.ErrRejected, transport.ErrUnauthorized} {
			c.FailProduces("t", 1, err)
		}
		c.LoseAcknowledgements("t", 1)
		write(t, p, 0, &heard, "a", "b", "c", "d", "e", "f")
		c.Disconnect()
		write(t, p, 0, &heard, "g")
		if len(g.reports) != 7 || g.reports[0] != down || errors.Join(g.reports[1:4]...) != nil ||
			!errors.Is(g.reports[4], transport.ErrOutcomeUnknown) || g.reports[5] != nil || g.reports[6] != memory.ErrUnreachable {
			t.Errorf("the gate heard %v", g.reports)
		}
	})
}
