package memory

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"

	"github.com/eventbus-go/eventbus/transport"
)

// topic is a named set of logs. The cluster's mutex guards it. Unlike its name, its id is never
// reused, and so identifies a topic that was created again.
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

// maxMessageBytes returns the largest batch that the topic accepts, in bytes. createTopic does not
// check the configuration: if it is not a number, the default applies.
func (t *topic) maxMessageBytes() int {
	n, err := strconv.Atoi(t.configs["max.message.bytes"])
	if err != nil {
		return 1048588
	}
	return n
}

// grow adds partitions up to the given number. As in Kafka, partitions are never removed: their
// numbers are indexes of logs.
func (t *topic) grow(partitions int32) {
	for n := int32(len(t.logs)); n < partitions; n++ {
		t.logs = append(t.logs, &log{Partition: transport.Partition{Topic: t.name, Partition: n}})
	}
}

// createTopic creates a topic unless it exists. c.mu is held.
func (c *Cluster) createTopic(s transport.TopicSpec) error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	if s.Partitions < 0 || s.Replication < 0 {
		return fmt.Errorf("topic %s: %w: %d partitions, replication %d", s.Name, transport.ErrRejected, s.Partitions, s.Replication)
	}
	// Several members of a deployment create the same topics at once; none may fail.
	if c.topics[s.Name] != nil {
		return nil
	}
	c.topicIDs++
	t := &topic{name: s.Name, replication: cmp.Or(s.Replication, 1), configs: maps.Clone(brokerDefaults)}
	// Count from 1: the zero TopicID means unknown.
	binary.BigEndian.PutUint64(t.id[8:], c.topicIDs)
	// Merge with the defaults, so that Topics shows what applies, as DescribeConfigs does.
	maps.Copy(t.configs, s.Configs)
	t.grow(cmp.Or(s.Partitions, c.defaultPartitions))
	c.topics[s.Name] = t
	// Members may have subscribed before the topic existed.
	c.reformSubscribers(s.Name)
	return nil
}

// checkName checks a name by Kafka's rule (org.apache.kafka.common.internals.Topic): 1 to 249 of
// a-z A-Z 0-9 . _ -, and neither "." nor "..".
func checkName(name string) error {
	valid := name != "" && len(name) <= 249 && name != "." && name != ".."
	// By bytes: every byte of a non-ASCII character is invalid.
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

// log returns a partition's log. c.mu is held. Both errors are ErrTopicMissing, as
// UNKNOWN_TOPIC_OR_PARTITION stands for both.
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

// AddPartitions grows a topic to the given total of partitions. Groups that subscribe to it are
// assigned the new ones from offset 0.
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

// DeleteTopic removes a topic with its records. Members that own partitions of it lose them. A
// topic created later with the same name has another TopicID: groups with commits on the old one
// start at 0 on the new one, and Skipped reports that.
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
		// Readers must find the topic missing rather than wait for records.
		l.wakeReaders()
	}
	c.reformSubscribers(name)
	return nil
}

// DeleteRecords removes the records of a partition before an offset, as retention does. Members
// positioned before it get Skipped.
func (c *Cluster) DeleteRecords(topic string, partition int32, offset int64) error {
	return c.alter(topic, partition, offset, (*log).deleteBefore)
}

// TruncateLog removes the records of a partition from an offset on, as an unclean leader election
// does: the log ends there, and later records reuse the offsets. Members positioned beyond it
// move as their OutOfRange says.
func (c *Cluster) TruncateLog(topic string, partition int32, end int64) error {
	return c.alter(topic, partition, end, (*log).truncate)
}

// alter changes a log at an offset within it, and repositions the readers that this leaves out of
// range. It refuses an offset outside the log with ErrRejected and changes nothing.
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
	// After the change, so that each follower sees the log's new range.
	for _, f := range l.followers {
		f.reposition()
	}
	c.change()
	return nil
}

// Compact keeps the last record of each key, and all records without a key, as log compaction
// does. Later batches then have gaps in their spans.
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
