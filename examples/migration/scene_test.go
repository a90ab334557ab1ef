package migration_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// partitions is how many the topic has.
const partitions = 6

// scene is a cluster with the topic of a client.
type scene struct {
	*kafkatest.Cluster
	topic string
	admin *kafka.Admin
}

// newScene creates the topic of c.
func newScene(t *testing.T, c *client) *scene {
	t.Helper()
	var s scene
	switch {
	case realKafka():
		s.Cluster = kafkatest.Open(t)
	case c.real:
		t.Skip("no real Kafka")
	default:
		s.Cluster = kafkatest.NewBroker(t)
	}
	s.topic = c.topic.In(s.Environment())
	link := kafka.New(kafka.Config{Brokers: s.Brokers()})
	t.Cleanup(func() {
		if err := link.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.admin = kafka.NewAdmin(link)
	check0(t, s.admin.CreateTopics(deadline(t), transport.TopicSpec{Name: s.topic, Partitions: partitions, Replication: 1}))
	return &s
}

// committed returns how many records of the topic lie before the group's commits.
func (s *scene) committed(t *testing.T) (n int64) {
	t.Helper()
	commits, err := s.admin.Committed(deadline(t), group, s.topic)
	check0(t, err)
	for _, c := range commits {
		n += max(c.Offset, 0)
	}
	return n
}

// await waits until done, or fails when what it waits for has ended. Commits signal
// nothing to a test, so it looks again now and then.
func (s *scene) await(t *testing.T, ended <-chan error, done func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !done() {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d are committed", s.committed(t))
		}
	}
}

// records returns all n records of the topic, as franz-go reads them outside any group.
func (s *scene) records(t *testing.T, n int) (all []*kgo.Record) {
	t.Helper()
	client := franz(t, s, kgo.ConsumeTopics(s.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(all) < n {
		fetches := client.PollFetches(deadline(t))
		check0(t, fetches.Err())
		all = append(all, fetches.Records()...)
	}
	return all
}
