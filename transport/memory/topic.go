package memory

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"

	"github.com/eventbus-go/eventbus/transport"
)

// topic is a named set of logs.
// The cluster's mutex guards it. Its id is never used again, unlike its name: by it a
// topic that was created again is told apart.
type topic struct {
	name        string
	id          transport.TopicID
	replication int16
	configs     map[string]string
	logs        []*log
}

// brokerDefaults are the configs of a topic that sets none, with Kafka's values.
var brokerDefaults = map[string]string{
	"cleanup.policy":         "delete",
	"compression.type":       "producer",
	"max.message.bytes":      "1048588",
	"message.timestamp.type": "CreateTime",
	"min.insync.replicas":    "1",
	"retention.bytes":        "-1",
	"retention.ms":           "604800000",
}

// maxMessageBytes is the largest batch that the topic takes.
// A value that is no number counts as the default: createTopic does not look at it.
func (t *topic) maxMessageBytes() int {
	n, err := strconv.Atoi(t.configs["max.message.bytes"])
	if err != nil {
		return 1048588
	}
	return n
}

// grow adds partitions until there are as many as that.
// Partitions are never taken away, as in Kafka: their numbers are indexes of logs.
func (t *topic) grow(partitions int32) {
	for n := int32(len(t.logs)); n < partitions; n++ {
		t.logs = append(t.logs, &log{Partition: transport.Partition{Topic: t.name, Partition: n}})
	}
}

// createTopic creates a topic that does not exist yet. c.mu is held.
func (c *Cluster) createTopic(s transport.TopicSpec) error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	if s.Partitions < 0 || s.Replication < 0 {
		return fmt.Errorf("topic %s: %w: %d partitions, replication %d", s.Name, transport.ErrRejected, s.Partitions, s.Replication)
	}
	// Several members of a deployment create the same topics at once: none of them fails.
	if c.topics[s.Name] != nil {
		return nil
	}
	c.topicIDs++
	t := &topic{name: s.Name, replication: cmp.Or(s.Replication, 1), configs: maps.Clone(brokerDefaults)}
	// From 1 on: the zero TopicID stands for one that is not known.
	binary.BigEndian.PutUint64(t.id[8:], c.topicIDs)
	// Over the defaults, so that Topics shows what is in force, as DescribeConfigs does.
	maps.Copy(t.configs, s.Configs)
	t.grow(cmp.Or(s.Partitions, c.defaultPartitions))
	c.topics[s.Name] = t
	// Members may have subscribed before the topic existed, and wait for it.
	c.reformSubscribers(s.Name)
	return nil
}

// checkName holds a name against Kafka's rule (org.apache.kafka.common.internals.Topic):
// 1 to 249 of a-z A-Z 0-9 . _ -, and neither "." nor "..".
func checkName(name string) error {
	valid := name != "" && len(name) <= 249 && name != "." && name != ".."
	// By bytes: each byte of a character beyond ASCII is invalid by itself.
	for _, b := range []byte(name) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			valid = false
		}
	}
	if !valid {
		return fmt.Errorf("topic name %q: %w", name, transport.ErrRejected)
	}
	return nil
}

// log finds a partition. c.mu is held.
// Both errors are ErrTopicMissing, as UNKNOWN_TOPIC_OR_PARTITION is for both.
func (c *Cluster) log(topic string, partition int32) (*log, error) {
	t := c.topics[topic]
	if t == nil {
		return nil, fmt.Errorf("%w: %s", transport.ErrTopicMissing, topic)
	}
	if partition < 0 || int(partition) >= len(t.logs) {
		return nil, fmt.Errorf("%w: %s has %d partitions, no partition %d", transport.ErrTopicMissing, topic, len(t.logs), partition)
	}
	return t.logs[partition], nil
}

// AddPartitions grows a topic to a total of partitions. Groups that subscribe to
// it get the new ones, from offset 0.
func (c *Cluster) AddPartitions(topic string, total int32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[topic]
	if t == nil {
		return fmt.Errorf("%w: %s", transport.ErrTopicMissing, topic)
	}
	if int(total) <= len(t.logs) {
		return fmt.Errorf("topic %s: %w: it has %d partitions and can only grow", topic, transport.ErrRejected, len(t.logs))
	}
	t.grow(total)
	c.reformSubscribers(topic)
	return nil
}

// DeleteTopic removes a topic with its records. Members that own partitions of it
// lose them. A topic that is created with the same name has another TopicID: groups
// that had commits on the old one start at 0 on the new one, and hear so by Skipped.
func (c *Cluster) DeleteTopic(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	if t == nil {
		return fmt.Errorf("%w: %s", transport.ErrTopicMissing, name)
	}
	delete(c.topics, name)
	for _, g := range c.groups {
		g.drop(t)
	}
	for _, l := range t.logs {
		// They find the topic missing instead of waiting for records that never come.
		l.wakeReaders()
	}
	c.reformSubscribers(name)
	return nil
}

// DeleteRecords removes the records of a partition before an offset, as retention
// does. Members whose position lies before it hear Skipped.
func (c *Cluster) DeleteRecords(topic string, partition int32, offset int64) error {
	return c.alter(topic, partition, offset, (*log).deleteBefore)
}

// TruncateLog removes the records of a partition at and after an offset, as an
// unclean leader election does: the log ends there, and the next records get offsets
// that others had before. Members whose position lies beyond it move as their OutOfRange says.
func (c *Cluster) TruncateLog(topic string, partition int32, end int64) error {
	return c.alter(topic, partition, end, (*log).truncate)
}

// alter changes a log at an offset that it holds, and the positions of its readers
// that this leaves out of range.
// An offset outside the log is refused with ErrRejected, and nothing changes.
func (c *Cluster) alter(topic string, partition int32, offset int64, do func(*log, int64)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return err
	}
	if offset < l.start || offset > l.end {
		return fmt.Errorf("%s: %w: offset %d is not in [%d, %d]", l.Partition, transport.ErrRejected, offset, l.start, l.end)
	}
	do(l, offset)
	// After the change, so that each sees the log's new range.
	for _, f := range l.followers {
		f.reposition()
	}
	c.change()
	return nil
}

// Compact keeps the last record of each key, and those without a key, as log
// compaction does: the spans of later batches have gaps.
func (c *Cluster) Compact(topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[topic]
	if t == nil {
		return fmt.Errorf("%w: %s", transport.ErrTopicMissing, topic)
	}
	for _, l := range t.logs {
		l.compact()
	}
	c.change()
	return nil
}
