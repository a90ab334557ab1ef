//go:build integration

package interop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/resilience"
)

// operated is a running service that handles customers, and the operator of its cluster.
type operated struct {
	*operator
	*cluster
	handled *handledBy
	group   string
}

// operate starts the service at the end of its topic, and waits until it has joined its
// group. The handler first calls before, if that is not nil, and fails for a customer whose
// name begins with "bad".
func operate(t *testing.T, driver kafka.Config, before func(context.Context)) *operated {
	t.Helper()
	c := newClusterOver(t, driver, eventbus.Config{HeartbeatInterval: 500 * time.Millisecond})
	if driver.ConsumerProtocol {
		needConsumerProtocol(t, c)
	}
	s := serve(t, c, newOperator(t, c.brokers), before)
	s.await(t, "all partitions", func() bool { return s.inspect().State == "stable" && s.owned() == 6 })
	return s
}

// serve starts the service on a cluster that exists, without waiting for the group.
func serve(t *testing.T, c *cluster, o *operator, before func(context.Context)) *operated {
	t.Helper()
	s := &operated{operator: o, cluster: c, handled: &handledBy{by: make(map[string][]string), change: make(chan struct{}, 1)}}
	err := eventbus.Subscribe(c.bus, customers, func(ctx context.Context, e CustomerCreated) error {
		if before != nil {
			before(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.HasPrefix(e.Name, "bad") {
			return errors.New("refused")
		}
		s.handled.note(e.Name, "ours")
		return nil
	}, eventbus.StartAt(eventbus.Latest()), eventbus.Retry(resilience.NoRetry()))
	if err == nil {
		err = c.bus.Start(deadline(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.group = s.inspect().Name
	return s
}

// inspect returns what the service knows of its only group.
func (s *operated) inspect() eventbus.GroupInspection {
	return s.bus.Operator().Inspect().Groups[0]
}

// owned returns the number of the topic's partitions that the service reads.
func (s *operated) owned() (n int) {
	for _, p := range s.inspect().Partitions {
		if p.Topic == s.topic {
			n++
		}
	}
	return n
}

// lag returns the number of records that are not committed, or -1 if it is not known yet.
func (s *operated) lag() (lag int64) {
	for _, p := range s.inspect().Partitions {
		if p.Lag < 0 {
			return -1
		}
		lag += p.Lag
	}
	return lag
}

// await waits until done returns true. what names it if it does not.
func (s *operated) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	s.handled.await(t, what, done)
}

// awaitAll waits until the events with these names are handled.
func (s *operated) awaitAll(t *testing.T, names ...string) {
	t.Helper()
	s.await(t, fmt.Sprintf("%d events", len(names)), func() bool {
		s.handled.mu.Lock()
		defer s.handled.mu.Unlock()
		for _, name := range names {
			if s.handled.by[name] == nil {
				return false
			}
		}
		return true
	})
}

// awaitHealth waits until the service's health contains a text.
func (s *operated) awaitHealth(t *testing.T, says string) {
	t.Helper()
	s.await(t, "health with "+strconv.Quote(says), func() bool {
		return strings.Contains(fmt.Sprintf("%+v", s.bus.Health(t.Context())), says)
	})
}

// publish publishes events with these names, spread over 97 keys, as one batch.
func (s *operated) publish(t *testing.T, names ...string) error {
	t.Helper()
	var events []CustomerCreated
	for i, name := range names {
		events = append(events, CustomerCreated{CustomerID: "c-" + strconv.Itoa(i%97), Name: name})
	}
	return eventbus.NewPublisher(s.bus, customers).PublishBatch(deadline(t), events)
}

// numbered returns count names with a prefix.
func numbered(prefix string, count int) (names []string) {
	for i := range count {
		names = append(names, prefix+strconv.Itoa(i))
	}
	return names
}

// noise returns a name of at least length bytes. It has 5 random bits per byte, so no codec
// makes it shorter than five eighths.
func noise(prefix string, length int) string {
	var b strings.Builder
	for b.WriteString(prefix); b.Len() < length; {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// must fails the test if there is an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bothProtocols runs a test with the classic group protocol and with that of KIP-848.
func bothProtocols(t *testing.T, test func(t *testing.T, driver kafka.Config)) {
	t.Run("cooperative", func(t *testing.T) { test(t, kafka.Config{}) })
	t.Run("KIP-848", func(t *testing.T) { test(t, kafka.Config{ConsumerProtocol: true}) })
}

// TestOperatorDeletesTheGroup: brokers refuse to delete a group that has members. They do
// not refuse it between the expulsion of the members and their return. What was not handled
// then is handled even so, although the group starts at the end of its topic.
func TestOperatorDeletesTheGroup(t *testing.T) {
	bothProtocols(t, func(t *testing.T, driver kafka.Config) {
		var held atomic.Bool
		gate := make(chan struct{})
		s := operate(t, driver, func(ctx context.Context) {
			if held.Load() {
				select {
				case <-gate:
				case <-ctx.Done():
				}
			}
		})
		first, second, third := numbered("first-", 97), numbered("second-", 970), numbered("third-", 97)
		must(t, s.publish(t, first...))
		s.await(t, "the first events' commit", func() bool { return s.handled.count() == len(first) && s.lag() == 0 })
		if err := s.deleteGroup(s.group); !errors.Is(err, kerr.NonEmptyGroup) {
			t.Errorf("deleting a group with members: %v", err)
		}
		if err := s.deleteOffset(s.group, s.topic); !errors.Is(err, kerr.GroupSubscribedToTopic) {
			t.Errorf("deleting offsets of a group with members: %v", err)
		}
		held.Store(true)
		must(t, s.publish(t, second...))
		for err := kerr.NonEmptyGroup; errors.Is(err, kerr.NonEmptyGroup); {
			s.expel(s.group)
			err, _ = s.deleteGroup(s.group).(*kerr.Error)
		}
		s.await(t, "the member to be back", func() bool {
			return len(s.operator.members(s.group)) == 1 && s.inspect().State == "stable" && s.owned() == 6
		})
		close(gate)
		s.awaitAll(t, second...)
		must(t, s.publish(t, third...))
		s.awaitAll(t, third...)
	})
}

// TestOperatorAddsPartitions: every event that is published while partitions are added is
// handled. New partitions are read from their first record on, even if the group starts at
// the end.
func TestOperatorAddsPartitions(t *testing.T) {
	bothProtocols(t, func(t *testing.T, driver kafka.Config) {
		s := operate(t, driver, nil)
		var names []string
		for round := 0; s.owned() < 12; round++ {
			if round == 3 {
				s.addPartitions(s.topic, 12)
			}
			more := numbered(fmt.Sprint("round ", round, "-"), 97)
			must(t, s.publish(t, more...))
			names = append(names, more...)
		}
		more := numbered("last-", 97)
		must(t, s.publish(t, more...))
		s.awaitAll(t, append(names, more...)...)
	})
}

// TestOperatorRecreatesTheTopic: health names a topic that was deleted. After it is created
// again, every acknowledged event is handled.
func TestOperatorRecreatesTheTopic(t *testing.T) {
	bothProtocols(t, func(t *testing.T, driver kafka.Config) {
		s := operate(t, driver, nil)
		before := numbered("before-", 97)
		must(t, s.publish(t, before...))
		s.awaitAll(t, before...)
		s.deleteTopic(s.topic)
		s.awaitHealth(t, "topic does not exist")
		s.createTopic(s.topic, 3)
		var acknowledged []string
		for ctx, i := deadline(t), 0; len(acknowledged) < 97; i++ {
			name := "after-" + strconv.Itoa(i)
			// The client may choose a deleted partition until all brokers know the new topic.
			if err := s.publish(t, name); err == nil {
				acknowledged = append(acknowledged, name)
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		s.awaitAll(t, acknowledged...)
	})
}

// TestOperatorLowersTheSize: if the dead-letter topic accepts less than a letter needs, only
// the letter's key waits, which health reports. It goes on without a restart once the operator
// raises the limit again. If the topic itself accepts less, only the larger events are refused.
func TestOperatorLowersTheSize(t *testing.T) {
	s := operate(t, kafka.Config{}, nil)
	dead := s.topic + "." + s.group + ".dlq"
	s.configure(dead, "max.message.bytes", "1000")
	must(t, s.publish(t, noise("bad", 20_000), "other key"))
	must(t, s.publish(t, "behind"))
	s.awaitAll(t, "other key")
	s.awaitHealth(t, "1 keys wait")
	if s.handled.count() != 1 {
		t.Error("an event overtook another one of its key")
	}
	s.configure(dead, "max.message.bytes", "1000000")
	s.awaitAll(t, "behind")

	s.configure(s.topic, "max.message.bytes", "10000")
	// The controller answers before the leader of the partition applies the limit.
	for ctx, i := deadline(t), 0; ; i++ {
		err := s.publish(t, noise("single-"+strconv.Itoa(i), 20_000))
		if errors.Is(err, eventbus.ErrTooLarge) {
			break
		}
		if err != nil || ctx.Err() != nil {
			t.Fatalf("an event that is too large: %v", err)
		}
	}
	var names []string
	for i := range 97 {
		names = append(names, noise(fmt.Sprint(i), 900))
	}
	var failed *eventbus.PublishBatchError
	if err := s.publish(t, append([]string{noise("first", 20_000)}, names...)...); !errors.As(err, &failed) || len(failed.Errors) != 1 || !errors.Is(failed.Errors[0], eventbus.ErrTooLarge) {
		t.Errorf("a batch whose first event is too large: %v", err)
	}
	s.awaitAll(t, names...)
}

// TestOperatorCompacts: compaction is switched on while the group lags. The records that it
// leaves are handled, among them the last one of each key, and nothing waits for the others.
func TestOperatorCompacts(t *testing.T) {
	gate := make(chan struct{})
	s := operate(t, kafka.Config{}, func(ctx context.Context) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	})
	s.configure(s.topic, "cleanup.policy", "compact", "segment.ms", "100", "min.cleanable.dirty.ratio", "0.001", "max.compaction.lag.ms", "100")
	written := 0
	var last []string
	for ctx := deadline(t); written == 0 || s.records(t) > written/2; written += 97 {
		if last = numbered(fmt.Sprint("version ", written, "-"), 97); ctx.Err() != nil {
			t.Fatal("the brokers do not compact")
		}
		must(t, s.publish(t, last...))
	}
	close(gate)
	s.awaitAll(t, last...)
	s.await(t, "no lag", func() bool { return s.lag() == 0 })
}

// records returns the number of records that the topic has after compaction so far. All six
// partitions must have records.
func (s *operated) records(t *testing.T) (n int) {
	t.Helper()
	client := franzClient(t, s.cluster, kgo.ConsumeTopics(s.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	next, end := make(map[int32]int64), make(map[int32]int64)
	for read := 0; read < 6; {
		fetches := client.PollFetches(deadline(t))
		must(t, fetches.Err())
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { end[p.Partition] = p.HighWatermark })
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			next[r.Partition] = r.Offset + 1
		})
		read = 0
		for p := range end {
			// The last record of a partition is never compacted away.
			if next[p] == end[p] {
				read++
			}
		}
	}
	return n
}
