package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestDisconnect(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		m := consumer(t, c)
		write(t, p, 0, &heard, "a")
		c.Disconnect()

		if _, err := c.Cluster(t.Context()); !errors.Is(err, memory.ErrUnreachable) {
			t.Errorf("Cluster: %v", err)
		}
		if _, err := c.Admin().Topics(t.Context()); !errors.Is(err, memory.ErrUnreachable) {
			t.Errorf("Topics: %v", err)
		}
		write(t, p, 0, &heard, "b")
		equal(t, "outcomes", heard, "[0 no broker answers]")
		m.gets("")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := m.Commit(ctx, transport.Commit{Partition: transport.Partition{Topic: "t"}, Epoch: m.epoch(0), Offset: 1})
		if !errors.Is(err, memory.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Commit: %v", err)
		}
		if s := m.Status(); !errors.Is(s.LastError, memory.ErrUnreachable) {
			t.Errorf("status %+v", s)
		}

		commit := make(chan error, 1)
		go func() { commit <- m.commit(0, 1, "") }()
		synctest.Wait()
		c.Reconnect()
		check(t, <-commit)
		m.hears("assigned 0@0")
		m.gets("a")
	})
}

// TestDisconnectPastSession: the member is not alive once its session is over, and
// loses its partitions when the cluster is reachable again.
func TestDisconnectPastSession(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		m := consumer(t, c)
		m.hears("assigned 0@0")
		c.Disconnect()
		time.Sleep(45*time.Second - 1)
		if !m.Alive() {
			t.Error("not alive within the session timeout")
		}
		time.Sleep(time.Nanosecond)
		if m.Alive() {
			t.Error("alive past the session timeout")
		}
		late := consumer(t, c)
		equal(t, "state of one that can't join", late.Status().State, "joining")
		late.hears()

		c.Reconnect()
		m.hears("lost 0")
		late.hears("assigned 0@0")
		if !m.Alive() || m.Status().State != "stable" {
			t.Errorf("after it came back: %+v", m.Status())
		}
	})
}

func TestCloseWhileDisconnected(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		m := consumer(t, c)
		c.Disconnect()
		check(t, m.Close(t.Context()))
		m.hears("assigned 0@0", "revoked 0")
		next := consumer(t, c)
		c.Reconnect()
		next.hears("assigned 0@0")
	})
}

// TestChanged: a wait for a state takes the channel before it looks.
func TestChanged(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		go func() {
			for _, v := range []string{"a", "b", "c"} {
				time.Sleep(time.Second)
				write(t, p, 0, &heard, v)
			}
		}()
		for {
			changed := c.Changed()
			if values(c) == "a b c" {
				break
			}
			<-changed
		}
		synctest.Wait()
	})
}
