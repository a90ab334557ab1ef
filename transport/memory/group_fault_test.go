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

func TestRebalanceRevokesEverything(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "a", "b", "c")
		a := consumer(t, c)
		a.hears("assigned 0@0 1@0 2@0 3@0")
		b := consumer(t, c)
		a.hears("revoked 2 3")
		b.hears("assigned 2@0 3@0")
		epoch := a.epoch(0)

		a.revoked = func(context.Context) { check(t, a.commit(0, 3, "")) }
		c.Rebalance("g")
		a.hears("revoked 0 1", "assigned 0@3 2@0")
		b.hears("revoked 2 3", "assigned 1@0 3@0")
		if a.epoch(0) <= epoch {
			t.Errorf("epoch %d after %d", a.epoch(0), epoch)
		}
	})
}

// TestHandOutWaitsForAllRevocations: the outcome does not depend on who returns
// from Revoked first.
func TestHandOutWaitsForAllRevocations(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *memory.Cluster) {
		a := consumer(t, c)
		b := consumer(t, c)
		a.hears("assigned 0@0 1@0 2@0 3@0", "revoked 2 3")
		b.hears("assigned 2@0 3@0")
		goOn := make(chan struct{})
		a.revoked = func(context.Context) { <-goOn }
		c.Rebalance("g")
		a.hears("revoked 0 1")
		b.hears("revoked 2 3")
		close(goOn)
		a.hears("assigned 0@0 2@0")
		b.hears("assigned 1@0 3@0")
	})
}

func TestExpel(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "a", "b", "c")
		m := consumer(t, c)
		m.hears("assigned 0@0 1@0")
		m.gets("a b c")
		check(t, m.commit(0, 1, "one"))
		stale := m.epoch(0)
		check(t, c.Expel("g"))
		m.hears("lost 0 1", "assigned 0@1 1@0")
		if err := m.commitAs(stale, 0, 3, ""); !errors.Is(err, transport.ErrFenced) {
			t.Errorf("a commit of the expelled member: %v", err)
		}
		m.gets("b c")

		other := consumer(t, c)
		m.hears("revoked 1")
		other.hears("assigned 1@0")
		check(t, c.Expel("g", m.Status().MemberID))
		m.hears("lost 0", "assigned 1@0")
		other.hears("assigned 0@1", "revoked 1")
		if err := c.Expel("g", "nobody"); err == nil {
			t.Error("nobody was expelled")
		}
	})
}

func TestRewind(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "a", "b", "c")
		m := consumer(t, c)
		m.gets("a b c")
		m.hears("assigned 0@0 1@0")
		m.revoked = func(context.Context) { check(t, m.commit(0, 3, "all")) }
		check(t, c.Rewind("g", "t", 0, 1))
		m.hears("revoked 0", "assigned 0@1")
		m.gets("b c")

		check(t, m.Close(t.Context()))
		equal(t, "committed by Close", committed(c, 0), 3)
		check(t, c.Rewind("g", "t", 0, 2))
		equal(t, "rewound", committed(c, 0), 2)
	})
}

func TestRejectedCommits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		m := consumer(t, c)
		loading := errors.New("coordinator is loading")
		c.RejectCommits("g", 2, loading)
		for range 2 {
			var failed *transport.CommitError
			if err := m.commit(0, 5, ""); !errors.As(err, &failed) || !errors.Is(err, loading) {
				t.Errorf("a rejected commit: %v", err)
			}
		}
		equal(t, "committed", committed(c, 0), 0)
		check(t, m.commit(0, 6, ""))
		c.RejectCommits("g", -1, loading)
		if err := m.commit(0, 7, ""); !errors.Is(err, loading) {
			t.Errorf("a rejected commit: %v", err)
		}
		c.RejectCommits("g", 0, nil)
		check(t, m.commit(0, 8, ""))
	})
}

func TestHeldFetches(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		m := consumer(t, c)
		release, err := c.HoldFetches("t", 0)
		check(t, err)
		held := time.Now()
		write(t, p, 0, &heard, "slow")
		write(t, p, 1, &heard, "fast")
		m.gets("fast")
		time.Sleep(time.Hour)
		s := m.Status()
		if !m.Alive() || !s.Partitions[0].LastFetch.Equal(held) || !s.Partitions[1].LastFetch.Equal(time.Now()) {
			t.Errorf("after an hour's hold: alive %v, %+v", m.Alive(), s.Partitions)
		}
		release()
		release()
		m.gets("slow")
	})
}

// TestRevokedTooLong: a member whose Revoked takes longer than the rebalance timeout is
// expelled. The others go on without it, and it joins again when Revoked has returned.
func TestRevokedTooLong(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *memory.Cluster) {
		goOn := make(chan struct{})
		var ended error
		a := consumer(t, c)
		a.revoked = func(ctx context.Context) { <-goOn; ended = ctx.Err() }
		b := consumer(t, c)
		a.hears("assigned 0@0 1@0", "revoked 1")
		b.hears()
		time.Sleep(time.Minute)
		b.hears("assigned 0@0 1@0")
		if a.Alive() {
			t.Error("the member that takes too long is alive")
		}
		if err := a.commit(1, 5, ""); !errors.Is(err, transport.ErrFenced) {
			t.Errorf("a commit past the rebalance timeout: %v", err)
		}
		close(goOn)
		synctest.Wait()
		if !errors.Is(ended, context.DeadlineExceeded) {
			t.Errorf("the context of Revoked: %v", ended)
		}
		a.hears("lost 0", "assigned 1@0")
		b.hears("revoked 1")
	})
}

// TestCloseWithDeafListener: a Listener that does not hear its context end holds up
// Close for its grace, and the group not at all.
func TestCloseWithDeafListener(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		a, b := consumer(t, c), consumer(t, c)
		goOn := make(chan struct{})
		a.revoked = func(context.Context) { <-goOn }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		equal(t, "Close took", time.Since(begun), time.Minute+time.Second)
		b.hears("assigned 0@0")
		close(goOn)
		a.hears("assigned 0@0", "revoked 0")
		check(t, a.Close(t.Context()))
	})
}
