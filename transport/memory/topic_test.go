package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestDeleteRecordsUnderAReader(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "a", "b", "c", "d")
		m := consumer(t, c)
		check(t, c.DeleteRecords("t", 0, 2))
		m.hears("assigned 0@0", "skipped 0 from 0 to 2: retention removed the records from the log")
		m.gets("c d")
		check(t, c.DeleteRecords("t", 0, 4))
		m.hears()
	})
}

func TestTruncateLogUnderAReader(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy transport.OutOfRange
		heard  []string
		gets   string
	}{
		{"to earliest", transport.ToEarliest, []string{"skipped 0 from 3 to 0: the offset lies beyond the end of the log"}, "a x"},
		{"to latest", transport.ToLatest, []string{"skipped 0 from 3 to 1: the offset lies beyond the end of the log"}, "x"},
		{"stays", transport.StayOutOfRange, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, cluster *memory.Cluster) {
				var heard outcomes
				p := producer(t, cluster, transport.ProducerConfig{})
				write(t, p, 0, &heard, "a", "b", "c")
				m := consumer(t, cluster, func(config *transport.ConsumerConfig) { config.Topics[0].OutOfRange = c.policy })
				m.hears("assigned 0@0")
				m.gets("a b c")
				check(t, cluster.TruncateLog("t", 0, 1))
				m.hears(c.heard...)
				write(t, p, 0, &heard, "x")
				equal(t, "leader epoch of the next record", cluster.Records("t")[1].LeaderEpoch, 1)
				m.gets(c.gets)
				if failed := m.Status().Partitions[0].Err != nil; failed != (c.heard == nil) {
					t.Errorf("status %+v", m.Status().Partitions[0])
				}
			})
		})
	}
}

// TestCompact: batches span what compaction removed.
func TestCompact(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		write(t, p, 0, &heard, "a", "b", "a", "a", "b")
		check(t, p.Produce(t.Context(), &transport.Record{Topic: "t", Value: []byte("keyless")}, &heard))
		write(t, p, 0, &heard, "a")
		check(t, c.Compact("t"))
		equal(t, "log", values(c), "b keyless a")
		batches, err := consumer(t, c).Poll(t.Context())
		check(t, err)
		if b := batches[0]; b.From != 0 || b.Next != 7 || len(b.Records) != 3 || b.Records[0].Offset != 4 {
			t.Errorf("batch %+v", b)
		}
	})
}

func TestRecreatedTopic(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *memory.Cluster) {
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		write(t, p, 0, &heard, "a", "b")
		latest := func(config *transport.ConsumerConfig) { config.Topics[0].Start = transport.Latest() }
		m := consumer(t, c, latest)
		m.hears("assigned 0@2 1@0")
		check(t, c.DeleteTopic("t"))
		m.hears("lost 0 1")
		equal(t, "commits on a deleted topic", c.Committed("g"), "map[]")
		create(t, c, "t")
		m.hears("assigned 0@0 1@0",
			"skipped 0 from 2 to 0: the topic was created again",
			"skipped 1 from 0 to 0: the topic was created again")
		write(t, p, 0, &heard, "x")
		m.gets("x")
		check(t, m.Close(t.Context()))
		consumer(t, c, latest).hears("assigned 0@0 1@0")
	})
}

func TestTopicCreatedAfterItsSubscribers(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *memory.Cluster) {
		check(t, c.DeleteTopic("t"))
		m := consumer(t, c)
		m.hears()
		create(t, c, "t")
		m.hears("assigned 0@0")
		check(t, c.AddPartitions("t", 2))
		m.hears("assigned 1@0")
	})
}

func TestStaticMember(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *memory.Cluster) {
		static := func(config *transport.ConsumerConfig) { config.InstanceID = "one" }
		first := consumer(t, c, static)
		other := consumer(t, c)
		first.hears("assigned 0@0 1@0 2@0 3@0", "revoked 2 3")
		other.hears("assigned 2@0 3@0")

		// A second consumer with the same instance id fences the first one.
		second := consumer(t, c, static)
		first.hears("lost 0 1")
		second.hears("assigned 0@0 1@0")
		if first.Alive() || first.Status().LastError == nil {
			t.Errorf("the first incarnation: %+v", first.Status())
		}

		// A static member that is away keeps its place for a session.
		check(t, second.Close(t.Context()))
		time.Sleep(44 * time.Second)
		third := consumer(t, c, static)
		third.hears("assigned 0@0 1@0")
		other.hears()
		check(t, third.Close(t.Context()))
		equal(t, "members", len(c.Members("g")), 2)
		time.Sleep(45 * time.Second)
		other.hears("assigned 0@0 1@0")
		equal(t, "members", len(c.Members("g")), 1)
	})
}

// TestBalance: partitions are spread evenly over unequal subscriptions too, and move
// as little as they must.
func TestBalance(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *memory.Cluster) {
		create(t, c, "u")
		both := func(config *transport.ConsumerConfig) {
			config.Topics = append(config.Topics, transport.TopicStart{Topic: "u"})
		}
		a := consumer(t, c, both)
		b := consumer(t, c)
		a.hears("assigned 0@0 1@0 2@0 0@0 1@0 2@0", "revoked 0 1 2")
		b.hears("assigned 0@0 1@0 2@0")
		d := consumer(t, c, both)
		a.hears("revoked 2")
		b.hears("revoked 2")
		d.hears("assigned 2@0 2@0")
		equal(t, "members", c.Members("g"), "[{member-1  [u/0 u/1]} {member-2  [t/0 t/1]} {member-3  [t/2 u/2]}]")
		check(t, b.Close(t.Context()))
		a.hears("assigned 0@0")
		d.hears("assigned 1@0")
	})
}

// TestCloseClosesWhatIsOpen: a cluster that is closed before its producers and
// consumers leaves nothing behind; otherwise the bubble would not end.
func TestCloseClosesWhatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		create(t, c, "t")
		var heard outcomes
		p := producer(t, c, transport.ProducerConfig{})
		c.HoldAcknowledgements("t")
		write(t, p, 0, &heard, "a")
		m := consumer(t, c, func(config *transport.ConsumerConfig) { config.InstanceID = "static" })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); err == nil {
			t.Error("a held acknowledgement was lost without an error")
		}
		m.hears("assigned 0@0", "revoked 0")
		equal(t, "outcomes", heard, "[producer: closed: outcome unknown]")
		equal(t, "records after Close", values(c), "a")
	})
}

// TestReleaseOverwrites: a cluster that is made without any option shows every use
// of a record after its release.
func TestReleaseOverwrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New()
		defer func() { check(t, c.Close(context.Background())) }()
		create(t, c, "t")
		var heard outcomes
		write(t, producer(t, c, transport.ProducerConfig{}), 0, &heard, "value")
		batches, err := consumer(t, c).Poll(t.Context())
		check(t, err)
		kept := batches[0].Records[0]
		batches[0].Release()
		if string(kept.Value) == "value" {
			t.Error("a released value is still there")
		}
		equal(t, "log", values(c), "value")
		defer func() {
			if recover() == nil {
				t.Error("a second release did not panic")
			}
		}()
		batches[0].Release()
	})
}
