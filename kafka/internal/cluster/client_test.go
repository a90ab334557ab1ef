package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// TestMetadataShared: many concurrent callers share a few requests.
func TestMetadataShared(t *testing.T) {
	b := bed.NewBed(t, 1)
	var asked atomic.Int32
	b.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		asked.Add(1)
		return nil, nil, false
	})
	c := clientOf(b)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := c.FreshTopic(t.Context(), "events"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n > 10 {
		t.Errorf("%d requests for 100 who asked at once", n)
	}
	before := asked.Load()
	if _, err := c.Topic(t.Context(), "events"); err != nil || asked.Load() != before {
		t.Errorf("what is known was asked for again (%v)", err)
	}
	c.Invalidate("events")
	if _, err := c.Topic(t.Context(), "events"); err != nil || asked.Load() != before+1 {
		t.Errorf("what is stale was not asked for (%v)", err)
	}
}

func TestLeader(t *testing.T) {
	b := bed.NewBed(t, 2, kfake.NumBrokers(3))
	c := clientOf(b)
	leader, _, err := c.Leader(t.Context(), "events", 1)
	if err != nil || leader != b.LeaderFor("events", 1) {
		t.Errorf("leader %d, %v, want %d", leader, err, b.LeaderFor("events", 1))
	}
	for _, partition := range []int32{-1, 2} {
		if _, _, err := c.Leader(t.Context(), "events", partition); !errors.Is(err, transport.ErrTopicMissing) || kerr.Retriable(err) {
			t.Errorf("partition %d: %v", partition, err)
		}
	}
	next := (leader + 1) % 3
	if err := b.MoveTopicPartition("events", 1, next); err != nil {
		t.Fatal(err)
	}
	c.Invalidate("events")
	if leader, _, err := c.Leader(t.Context(), "events", 1); err != nil || leader != next {
		t.Errorf("leader %d after it moved, %v, want %d", leader, err, next)
	}
}

// TestStartingBroker: a broker that knows no brokers yet does not know which topics exist.
func TestStartingBroker(t *testing.T) {
	b := bed.NewBed(t, 1)
	c := clientOf(b)
	var started atomic.Bool
	b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if len(req.(*kmsg.MetadataRequest).Topics) == 0 || started.Swap(true) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = new("events"), int16(kerr.UnknownTopicOrPartition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	if _, err := c.FreshTopic(t.Context(), "events"); errors.Is(err, transport.ErrTopicMissing) || !kerr.Retriable(err) {
		t.Errorf("%v, want an error that may pass", err)
	}
	if topic, err := c.Topic(t.Context(), "events"); err != nil || len(topic.Partitions) != 1 {
		t.Errorf("%+v, %v", topic, err)
	}
}

// TestLeaderOlder: an outdated broker's answer about a leader doesn't replace newer
// knowledge.
func TestLeaderOlder(t *testing.T) {
	topic := &TopicMeta{Name: "a", Partitions: []PartitionMeta{{Leader: 1, Epoch: 5}, {Leader: 2, Epoch: 9}}}
	old := &TopicMeta{Name: "a", Partitions: []PartitionMeta{{Leader: 3, Epoch: 6}, {Leader: 4, Epoch: 8}}}
	topic.keepNewer(old)
	if topic.Partitions[0].Leader != 3 || topic.Partitions[1].Leader != 2 {
		t.Errorf("leaders %+v", topic.Partitions)
	}
	recreated := &TopicMeta{Name: "a", ID: transport.TopicID{1}, Partitions: []PartitionMeta{{Leader: 1, Epoch: 0}}}
	recreated.keepNewer(old)
	if recreated.Partitions[0].Leader != 1 {
		t.Errorf("a topic that was created again has the leader of the old one")
	}
}

func TestCoordinator(t *testing.T) {
	b := bed.NewBed(t, 1, kfake.NumBrokers(3))
	c := clientOf(b)
	got, err := c.Coordinator(t.Context(), "g")
	if err != nil || got != b.CoordinatorFor("g") {
		t.Errorf("%d, %v, want %d", got, err, b.CoordinatorFor("g"))
	}
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: franzerr.CoordinatorNotAvailable})
	if again, err := c.Coordinator(t.Context(), "g"); err != nil || again != got {
		t.Errorf("%d, %v, want what is remembered", again, err)
	}
	c.ForgetCoordinator("g")
	if _, err := c.Coordinator(t.Context(), "g"); !errors.Is(err, kerr.CoordinatorNotAvailable) || !kerr.Retriable(err) {
		t.Errorf("%v, want %v", err, kerr.CoordinatorNotAvailable)
	}
}

// TestExchangeCancelled: the end of the context ends an exchange at once, and
// the memory for the response is not written afterwards.
func TestExchangeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bed.NewBubble(t, 1)
		b.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
			return nil, nil, true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := clientOf(b).Request(ctx, -1, kmsg.NewPtrMetadataRequest())
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

func TestRetired(t *testing.T) {
	for _, test := range []struct {
		at   time.Time
		want bool
	}{
		{time.Time{}, false},
		{time.Now().Add(time.Hour), false},
		{time.Now().Add(-time.Second), true},
	} {
		if got := (&Link{retireAt: test.at}).Retired(); got != test.want {
			t.Errorf("a connection to be replaced at %v is retired: %t", test.at, got)
		}
	}
}

// TestPersistWaitsForMarkers: a coordinator that is still ending the previous transaction
// is asked again within milliseconds, and less often if that lasts.
func TestPersistWaitsForMarkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Options: Options{RequestTimeout: time.Minute}}
		for refusals, longest := range map[int]time.Duration{1: 2 * time.Millisecond, 3: 14 * time.Millisecond, 20: 20 * time.Second} {
			begun, asked := time.Now(), 0
			err := c.Persist(t.Context(), func() error {
				if asked++; asked <= refusals {
					return kerr.ConcurrentTransactions
				}
				return nil
			})
			if took := time.Since(begun); err != nil || took > longest {
				t.Errorf("%d refusals took %v, at most %v: %v", refusals, took, longest, err)
			}
		}
	})
}

// TestConnectErrorSaysACauseOnce: a cause that several addresses have is named once, with
// all of them.
func TestConnectErrorSaysACauseOnce(t *testing.T) {
	wrong := func(addr string) error { return fmt.Errorf("SASL_AUTHENTICATION_FAILED from kafka broker at %s", addr) }
	c := &Client{
		Options:     Options{Brokers: []string{"a:1", "b:1", "c:1"}},
		setupErrors: map[string]error{"a:1": wrong("a:1"), "b:1": errors.New("refused"), "c:1": wrong("c:1")},
	}
	const want = "no connection to any of the brokers a:1, b:1, c:1 (a:1, c:1: SASL_AUTHENTICATION_FAILED from kafka broker at it; b:1: refused)"
	if err := c.connectError(t.Context(), -1, io.EOF); err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
