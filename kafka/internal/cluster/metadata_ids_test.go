package cluster

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// TestOutdated: an id that only a late broker names is not believed, unless no broker
// names another for a minute.
func TestOutdated(t *testing.T) {
	const o, n = 1, 2
	type answer struct {
		at   time.Duration
		id   byte
		want bool
	}
	for name, answers := range map[string][]answer{
		"one":                   {{0, o, false}, {time.Hour, o, false}},
		"a broker is late":      {{0, o, false}, {time.Hour, n, false}, {time.Hour + time.Second, o, true}, {time.Hour + 2*time.Second, n, false}},
		"a broker is cut off":   {{0, o, false}, {time.Hour, n, false}, {2 * time.Hour, o, true}, {2*time.Hour + 50*time.Second, n, false}, {2*time.Hour + 70*time.Second, o, true}},
		"the late one is first": {{0, n, false}, {time.Second, o, false}, {2 * time.Second, n, false}},
		"the late one is believed": {{0, n, false}, {time.Hour, o, false}, {time.Hour + time.Second, n, true},
			{time.Hour + 50*time.Second, n, true}, {time.Hour + 61*time.Second, n, false}},
		"no ids": {{0, 0, false}, {time.Second, o, false}, {time.Second, 0, false}, {2 * time.Second, o, false}},
	} {
		m := &metadata{ids: make(map[string]*identity)}
		for _, a := range answers {
			if got := m.superseded(&TopicMeta{ID: transport.TopicID{a.id}, Asked: time.Unix(0, 0).Add(a.at)}); got != a.want {
				t.Errorf("%s: after %s, %d is superseded: %t", name, a.at, a.id, got)
			}
		}
	}
}

// TestOutdatedIsNotLearned: a late broker's answer changes nothing that is known about a
// topic; another cluster's does.
func TestOutdatedIsNotLearned(t *testing.T) {
	c := NewClient(testOptions([]string{"127.0.0.1:1"}, nil))
	defer c.Close()
	at := time.Now()
	says := func(clusterID string, id byte) *TopicMeta {
		at = at.Add(2 * agreedAfter)
		resp := kmsg.NewPtrMetadataResponse()
		resp.ClusterID = &clusterID
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: 1})
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.TopicID = new("events"), transport.TopicID{id}
		resp.Topics = append(resp.Topics, topic)
		c.Learn(resp, at)
		return c.KnownTopic("events")
	}
	says("a", 1)
	now := says("a", 2)
	if got := says("a", 1); got != now {
		t.Errorf("learned %+v", got)
	}
	if got := says("b", 1); got.ID != (transport.TopicID{1}) || got.Cluster != "b" {
		t.Errorf("in another cluster: %+v", got)
	}
}

// TestPartitionsStay: a broker that is late or cut off does not know partitions that were
// added since. They remain known, unless it is another topic.
func TestPartitionsStay(t *testing.T) {
	c := NewClient(testOptions([]string{"127.0.0.1:1"}, nil))
	defer c.Close()
	at := time.Now()
	says := func(id byte, partitions int32) *TopicMeta {
		at = at.Add(2 * agreedAfter)
		resp := kmsg.NewPtrMetadataResponse()
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: 1})
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.TopicID = new("events"), transport.TopicID{id}
		for n := range partitions {
			part := kmsg.NewMetadataResponseTopicPartition()
			part.Partition, part.Leader, part.LeaderEpoch = n, 1, 1
			topic.Partitions = append(topic.Partitions, part)
		}
		resp.Topics = append(resp.Topics, topic)
		c.Learn(resp, at)
		return c.KnownTopic("events")
	}
	for i, test := range []struct {
		id         byte
		says, want int32
	}{{1, 3, 3}, {1, 6, 6}, {1, 3, 6}, {1, 0, 6}, {1, 7, 7}, {2, 3, 3}} {
		got := says(test.id, test.says)
		if len(got.Partitions) != int(test.want) || !got.Led() {
			t.Errorf("answer %d of %d partitions: %+v, want %d", i, test.says, got.Partitions, test.want)
		}
	}
}

// TestPartitionNamedTwice: a partition that an answer names twice counts once.
func TestPartitionNamedTwice(t *testing.T) {
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic = new("events")
	for _, n := range []int32{0, 1, 1} {
		part := kmsg.NewMetadataResponseTopicPartition()
		part.Partition, part.Leader = n, 1
		topic.Partitions = append(topic.Partitions, part)
	}
	if got := NewTopicMeta(&topic, time.Now()); len(got.Partitions) != 2 || !got.Led() {
		t.Errorf("%+v", got)
	}
}

// TestEpochsBeginAgain: where brokers report no ids, a topic that was created again has the
// name and smaller leader epochs. A late broker's answer is not believed, but a minute without
// any other is.
func TestEpochsBeginAgain(t *testing.T) {
	type answer struct {
		at          time.Duration
		epoch, want int32
	}
	late := []answer{{0, 7, 7}, {time.Hour, 1, 7}, {time.Hour + 30*time.Second, 7, 7}, {time.Hour + 61*time.Second, 1, 7}}
	again := []answer{{0, 7, 7}, {time.Hour, 1, 7}, {time.Hour + 30*time.Second, 1, 7}, {time.Hour + 61*time.Second, 1, 1}, {2 * time.Hour, 2, 2}}
	known := []answer{{0, 7, 7}, {time.Hour, 1, 7}, {2 * time.Hour, 1, 7}}
	for name, test := range map[string]struct {
		id      byte
		answers []answer
	}{"a late broker": {0, late}, "created again": {0, again}, "by its id the same topic": {1, known}} {
		c := NewClient(testOptions([]string{"127.0.0.1:1"}, nil))
		begun := time.Now()
		for _, a := range test.answers {
			resp := kmsg.NewPtrMetadataResponse()
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.TopicID = new("events"), transport.TopicID{test.id}
			part := kmsg.NewMetadataResponseTopicPartition()
			part.Leader, part.LeaderEpoch = a.epoch, a.epoch
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			c.Learn(resp, begun.Add(a.at))
			if got := c.KnownTopic("events").Partitions[0]; got.Epoch != a.want || got.Leader != a.want {
				t.Errorf("%s: after %s the leader is %d in epoch %d, want %d", name, a.at, got.Leader, got.Epoch, a.want)
			}
		}
		c.Close()
	}
}
