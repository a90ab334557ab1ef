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

// operated is a service at work, which handles customers, and the operator of its
// cluster.
type operated struct {
	*operator
	*cluster
	handled *handledBy
	group   string
}

// operate starts the service, at the end of its topic, and waits until it is in its
// group. A customer whose name begins with "bad" is refused.
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

func (s *operated) inspect() eventbus.GroupInspection {
	return s.bus.Operator().Inspect().Groups[0]
}

// owned returns how many partitions of the topic the service reads.
func (s *operated) owned() (n int) {
	for _, p := range s.inspect().Partitions {
		if p.Topic == s.topic {
			n++
		}
	}
	return n
}

// lag returns what is not handled and committed, or -1 as long as it is not known.
func (s *operated) lag() (lag int64) {
	for _, p := range s.inspect().Partitions {
		if p.Lag < 0 {
			return -1
		}
		lag += p.Lag
	}
	return lag
}

func (s *operated) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	s.handled.await(t, what, done)
}

// awaitAll waits until each of these was handled.
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

// awaitHealth waits until the service's health says this.
func (s *operated) awaitHealth(t *testing.T, says string) {
	t.Helper()
	s.await(t, "a health that says "+says, func() bool {
		return strings.Contains(fmt.Sprintf("%+v", s.bus.Health(t.Context())), says)
	})
}

// publish publishes events with these names, each in one of 97 keys, and returns what
// was refused.
func (s *operated) publish(t *testing.T, names ...string) error {
	t.Helper()
	var events []CustomerCreated
	for i, name := range names {
		events = append(events, CustomerCreated{CustomerID: "c-" + strconv.Itoa(i%97), Name: name})
	}
	return eventbus.NewPublisher(s.bus, customers).PublishBatch(deadline(t), events)
}

func numbered(prefix string, count int) (names []string) {
	for i := range count {
		names = append(names, prefix+strconv.Itoa(i))
	}
	return names
}

// noise is a name of that length which no codec makes shorter.
func noise(prefix string, length int) string {
	var b strings.Builder
	for b.WriteString(prefix); b.Len() < length; {
		b.WriteString(rand.Text())
	}
	return b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bothProtocols runs a test under the classic group protocol and that of KIP-848.
func bothProtocols(t *testing.T, test func(t *testing.T, driver kafka.Config)) {
	t.Run("cooperative", func(t *testing.T) { test(t, kafka.Config{}) })
	t.Run("KIP-848", func(t *testing.T) { test(t, kafka.Config{ConsumerProtocol: true}) })
}

// TestOperatorDeletesTheGroup: brokers refuse it while members live. Between two joins of
// expelled members they do not: what was not handled is handled all the same, though the
// group starts at its topic's end.
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

// TestOperatorAddsPartitions: whatever is published while they are added is handled,
// that of the new partitions from their first record on, also where the group starts at
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

// TestOperatorRecreatesTheTopic: health names the topic that is gone, and all that is
// acknowledged after it is back is handled.
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
			// Partitions that are there no more are refused until all brokers say so.
			if err := s.publish(t, name); err == nil {
				acknowledged = append(acknowledged, name)
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		s.awaitAll(t, acknowledged...)
	})
}

// TestOperatorLowersTheSize of what the dead-letter topic takes: the key of a letter that
// is larger waits, seen, and no other; nothing is restarted when the operator takes it
// back. Of what the topic takes: the events that are larger are refused, and no other.
func TestOperatorLowersTheSize(t *testing.T) {
	s := operate(t, kafka.Config{}, nil)
	dead := s.topic + "." + s.group + ".dlq"
	s.configure(dead, "max.message.bytes", "1000")
	must(t, s.publish(t, noise("bad", 20_000), "other key"))
	must(t, s.publish(t, "behind"))
	s.awaitAll(t, "other key")
	s.awaitHealth(t, "1 keys wait")
	if s.handled.count() != 1 {
		t.Error("an event overtook one of its key")
	}
	s.configure(dead, "max.message.bytes", "1000000")
	s.awaitAll(t, "behind")

	s.configure(s.topic, "max.message.bytes", "10000")
	// The controller answers before the broker that has the log goes by it.
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
		t.Errorf("a batch of which the first is too large: %v", err)
	}
	s.awaitAll(t, names...)
}

// TestOperatorCompacts: compaction is switched on while the group lags. What it leaves is
// handled, the last of each key with it, and nothing waits for what is gone.
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

// records returns how many records the topic has.
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
