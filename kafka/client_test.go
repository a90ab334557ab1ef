package kafka

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/transport"
)

func TestCluster(t *testing.T) {
	b := newBed(t, 1, kfake.NumBrokers(3), kfake.ClusterID("it"))
	got, err := b.transport.Cluster(t.Context())
	if err != nil || got.ID != "it" || len(got.Brokers) != 3 || got.Brokers[2].ID != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestUnreachable: the error names every broker and what was wrong with it, in
// time.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "127.0.0.1:1" {
				return nil, errDown
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		tr := New(Config{Brokers: []string{"127.0.0.1:1", "127.0.0.1:2"}, Dial: silent, DialTimeout: time.Second})
		defer func() { _ = tr.Close(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := tr.Cluster(ctx)
		for _, says := range []string{"127.0.0.1:1", "127.0.0.1:2", errDown.Error()} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v does not say %q", err, says)
			}
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestFrozenBroker: a broker that takes connections and says nothing, while
// connections are set up and later, holds nobody for longer than its timeouts.
func TestFrozenBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mute := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _ = theirs.Close() })
			go func() {
				b := make([]byte, 1024)
				for {
					if _, err := theirs.Read(b); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}
		tr := New(Config{Brokers: []string{"127.0.0.1:1"}, Dial: mute, DialTimeout: time.Second, SASL: SASL{Mechanism: "PLAIN", Username: "u", Password: "p"}})
		begun := time.Now()
		_, err := tr.Cluster(t.Context())
		if err == nil {
			t.Error("a silent broker answered")
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v, the dial timeout is a second", took)
		}
		if err := tr.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := tr.Cluster(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestMetadataShared: many who ask at once are answered by few requests.
// TestSlowBroker: the only broker that is known takes five seconds to connect to.
func TestSlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, 1)
		quick := b.wires.dial
		b.wires.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-time.After(5 * time.Second):
				return quick(ctx, network, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if _, err := b.transport.Cluster(t.Context()); err != nil {
			t.Errorf("it is given up: %v", err)
		}
	})
}

func TestMetadataShared(t *testing.T) {
	b := newBed(t, 1)
	var asked atomic.Int32
	b.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		asked.Add(1)
		return nil, nil, false
	})
	c := b.transport.client
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := c.freshTopic(t.Context(), "events"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n > 10 {
		t.Errorf("%d requests for 100 who asked at once", n)
	}
	before := asked.Load()
	if _, err := c.topic(t.Context(), "events"); err != nil || asked.Load() != before {
		t.Errorf("what is known was asked for again (%v)", err)
	}
	c.invalidate("events")
	if _, err := c.topic(t.Context(), "events"); err != nil || asked.Load() != before+1 {
		t.Errorf("what is stale was not asked for (%v)", err)
	}
}

func TestLeader(t *testing.T) {
	b := newBed(t, 2, kfake.NumBrokers(3))
	c := b.transport.client
	leader, _, err := c.leader(t.Context(), "events", 1)
	if err != nil || leader != b.LeaderFor("events", 1) {
		t.Errorf("leader %d, %v, want %d", leader, err, b.LeaderFor("events", 1))
	}
	for _, partition := range []int32{-1, 2} {
		if _, _, err := c.leader(t.Context(), "events", partition); !errors.Is(err, transport.ErrTopicMissing) || retriable(err) {
			t.Errorf("partition %d: %v", partition, err)
		}
	}
	next := (leader + 1) % 3
	if err := b.MoveTopicPartition("events", 1, next); err != nil {
		t.Fatal(err)
	}
	c.invalidate("events")
	if leader, _, err := c.leader(t.Context(), "events", 1); err != nil || leader != next {
		t.Errorf("leader %d after it moved, %v, want %d", leader, err, next)
	}
}

// TestLeaderOlder: what a broker that is late says about a leader doesn't undo
// what is known.
func TestLeaderOlder(t *testing.T) {
	topic := &topicMeta{name: "a", partitions: []partitionMeta{{leader: 1, epoch: 5}, {leader: 2, epoch: 9}}}
	old := &topicMeta{name: "a", partitions: []partitionMeta{{leader: 3, epoch: 6}, {leader: 4, epoch: 8}}}
	topic.keepNewer(old)
	if topic.partitions[0].leader != 3 || topic.partitions[1].leader != 2 {
		t.Errorf("leaders %+v", topic.partitions)
	}
	recreated := &topicMeta{name: "a", id: transport.TopicID{1}, partitions: []partitionMeta{{leader: 1, epoch: 0}}}
	recreated.keepNewer(old)
	if recreated.partitions[0].leader != 1 {
		t.Errorf("a topic that was created anew has the leader of the old one")
	}
}

// TestOldBroker: versions are negotiated, here with what Kafka 2.8 speaks.
func TestOldBroker(t *testing.T) {
	b := newBed(t, 2, kfake.MaxVersions(kversion.V2_8_0()))
	p := b.producer(transport.ProducerConfig{})
	b.delivered(b.publish(p, 1, "x"))
	if got := b.log(1); len(got) != 1 {
		t.Errorf("the log holds %q", got)
	}
	a := b.transport.Admin()
	if err := a.CreateTopics(t.Context(), transport.TopicSpec{Name: "new", Partitions: 3}); err != nil {
		t.Error(err)
	}
	if _, err := a.Committed(t.Context(), "g", "events"); err != nil {
		t.Error(err)
	}
	if _, err := a.Offsets(t.Context(), transport.Latest(), transport.Partition{Topic: "new", Partition: 2}); err != nil {
		t.Error(err)
	}
	if _, err := b.transport.client.request(t.Context(), -1, kmsg.NewPtrConsumerGroupHeartbeatRequest()); !errors.Is(err, unsupportedVersion) {
		t.Errorf("a request that the broker doesn't know: %v", err)
	}
}

// TestNewBroker: a broker that came after the connection pool looked is found.
func TestNewBroker(t *testing.T) {
	b := newBed(t, 1, kfake.NumBrokers(1))
	c := b.transport.client
	if err := c.refresh(t.Context(), "events"); err != nil {
		t.Fatal(err)
	}
	id, _, err := b.AddNode(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.MoveTopicPartition("events", 0, id); err != nil {
		t.Fatal(err)
	}
	p := b.producer(transport.ProducerConfig{})
	b.delivered(b.publish(p, 0, "x"))
	if got := b.log(0); len(got) != 1 {
		t.Errorf("the log holds %q", got)
	}
}

func TestCoordinator(t *testing.T) {
	b := newBed(t, 1, kfake.NumBrokers(3))
	c := b.transport.client
	got, err := c.coordinator(t.Context(), "g")
	if err != nil || got != b.CoordinatorFor("g") {
		t.Errorf("%d, %v, want %d", got, err, b.CoordinatorFor("g"))
	}
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable})
	if again, err := c.coordinator(t.Context(), "g"); err != nil || again != got {
		t.Errorf("%d, %v, want what is remembered", again, err)
	}
	c.forgetCoordinator("g")
	if _, err := c.coordinator(t.Context(), "g"); !errors.Is(err, coordinatorNotAvailable) || !retriable(err) {
		t.Errorf("%v, want %v", err, coordinatorNotAvailable)
	}
}

// TestExchangeCancelled: the end of the context ends an exchange at once, and
// the memory for the response is not written afterwards.
func TestExchangeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, 1)
		b.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
			return nil, nil, true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := b.transport.client.request(ctx, -1, kmsg.NewPtrMetadataRequest())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
		if took := time.Since(begun); took != 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestSkipTags(t *testing.T) {
	for _, test := range []struct {
		in   []byte
		want string
		bad  bool
	}{
		{[]byte{0, 'x'}, "x", false},
		{[]byte{1, 5, 2, 'a', 'b', 'x'}, "x", false},
		{[]byte{2, 5, 0, 6, 1, 'a', 'x', 'y'}, "xy", false},
		{nil, "", true}, {[]byte{1}, "", true}, {[]byte{1, 5}, "", true}, {[]byte{1, 5, 9, 'a'}, "", true},
	} {
		got, err := skipTags(test.in)
		if string(got) != test.want || (err != nil) != test.bad {
			t.Errorf("%v: %q, %v", test.in, got, err)
		}
	}
}
