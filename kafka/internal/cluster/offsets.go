package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Timestamps of ListOffsets that mean a position, not a time.
const (
	latestOffset   = -1 // the last stable offset
	earliestOffset = -2 // the log's start
)

// Offsets resolves a start position for each partition: the log's start, the last stable
// offset, or the first record at or after a time, which is the last stable offset if there is
// none. It retries retriable errors. An error concerns at least one partition; the positions of
// the others are returned with it.
func (c *Client) Offsets(ctx context.Context, at transport.Start, partitions []transport.Partition) (map[transport.Partition]int64, error) {
	found := make(map[transport.Partition]int64, len(partitions))
	todo := partitions
	err := c.Persist(ctx, func() error {
		answers, failed := c.TryOffsets(ctx, at, todo)
		maps.Copy(found, answers)
		todo = slices.Collect(maps.Keys(failed))
		return worst(todo, failed)
	})
	return found, err
}

// TryOffsets is Offsets without retries. Every partition is in found or, with its own error, in
// failed, so that one without a leader delays no others.
func (c *Client) TryOffsets(ctx context.Context, at transport.Start, partitions []transport.Partition) (found map[transport.Partition]int64, failed map[transport.Partition]error) {
	t, timed := at.Time()
	switch {
	case at.IsLatest():
		return c.listOffsets(ctx, latestOffset, partitions)
	case !timed:
		return c.listOffsets(ctx, earliestOffset, partitions)
	}
	timestamp := t.UnixMilli()
	if t.Nanosecond()%1e6 != 0 {
		timestamp++ // not before t
	}
	found, failed = c.listOffsets(ctx, max(timestamp, 0), partitions) // negative ones mean positions
	// No offset means that the timestamp is after the last record: use the end of the log.
	var beyond []transport.Partition
	for p, offset := range found {
		if offset < 0 {
			beyond = append(beyond, p)
			delete(found, p)
		}
	}
	ends, unknown := c.listOffsets(ctx, latestOffset, beyond)
	maps.Copy(found, ends)
	maps.Copy(failed, unknown)
	return found, failed
}

// worst returns an error that a retry can't fix, if there is one, otherwise any.
func worst(partitions []transport.Partition, failed map[transport.Partition]error) (err error) {
	for _, p := range partitions {
		if err == nil || kerr.Retriable(err) && !kerr.Retriable(failed[p]) {
			err = failed[p]
		}
	}
	return err
}

// listOffsets asks the leaders of partitions, once, for the offsets of a timestamp in
// milliseconds, or of a position. An offset is −1 if no record is at or after the timestamp.
func (c *Client) listOffsets(ctx context.Context, timestamp int64, partitions []transport.Partition) (found map[transport.Partition]int64, failed map[transport.Partition]error) {
	found, failed = make(map[transport.Partition]int64, len(partitions)), make(map[transport.Partition]error)
	byLeader := make(map[int32][]transport.Partition)
	for p, leader := range c.leadersOf(ctx, partitions, failed) {
		byLeader[leader] = append(byLeader[leader], p)
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for leader, ps := range byLeader {
		asking.Go(func() {
			offsets, errs := c.listOffsetsOf(ctx, leader, timestamp, ps)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(found, offsets)
			maps.Copy(failed, errs)
		})
	}
	asking.Wait()
	return found, failed
}

// leadersOf returns the leaders of partitions. If one has none, it sets the reason in failed.
// It asks for each topic at most once.
func (c *Client) leadersOf(ctx context.Context, partitions []transport.Partition, failed map[transport.Partition]error) map[transport.Partition]int32 {
	leaders := make(map[transport.Partition]int32, len(partitions))
	byTopic := ByTopic(partitions, TopicOfPartition)
	var topics []string
	for topic := range byTopic {
		topics = append(topics, topic)
	}
	_ = c.Prepare(ctx, topics...) // if it fails, each topic is asked for alone, with its own error
	for topic, ps := range byTopic {
		t, err := c.Topic(ctx, topic)
		if err == nil && slices.ContainsFunc(ps, func(p transport.Partition) bool { return t.leader(p.Partition) < 0 }) {
			t, err = c.FreshTopic(ctx, topic)
		}
		for _, p := range ps {
			switch {
			case err != nil:
				failed[p] = err
			case p.Partition < 0 || int(p.Partition) >= len(t.Partitions):
				failed[p] = MissingPartition(topic, p.Partition, len(t.Partitions))
			case t.leader(p.Partition) < 0:
				failed[p] = leaderless(p)
			default:
				leaders[p] = t.leader(p.Partition)
			}
		}
	}
	return leaders
}

// listOffsetsOf asks one leader.
func (c *Client) listOffsetsOf(ctx context.Context, leader int32, timestamp int64, partitions []transport.Partition) (found map[transport.Partition]int64, failed map[transport.Partition]error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = 1 // the end means the last stable offset
	for topic, partitions := range ByTopic(partitions, TopicOfPartition) {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for _, p := range partitions {
			part := kmsg.NewListOffsetsRequestTopicPartition()
			part.Partition, part.Timestamp = p.Partition, timestamp
			t.Partitions = append(t.Partitions, part)
		}
		req.Topics = append(req.Topics, t)
	}
	found, failed = make(map[transport.Partition]int64, len(partitions)), make(map[transport.Partition]error)
	answer, err := c.Request(ctx, leader, req)
	if err == nil {
		for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
			for _, part := range t.Partitions {
				p := transport.Partition{Topic: t.Topic, Partition: part.Partition}
				if part.ErrorCode != 0 {
					failed[p] = fmt.Errorf("%s: %w", p, kerr.Error(part.ErrorCode))
				} else {
					found[p] = part.Offset
				}
			}
		}
	}
	for _, p := range partitions {
		if _, answered := found[p]; answered {
			continue
		}
		// Unanswered or refused: another broker may lead the partition by now.
		c.Invalidate(p.Topic)
		switch {
		case err != nil:
			failed[p] = err
		case failed[p] == nil:
			failed[p] = &PartitionError{p, ErrLeftOut}
		}
	}
	return found, failed
}

// Committed returns the offsets that a group has committed on topics, or on all if there are
// none. It asks once, and returns metadata as stored.
func (c *Client) Committed(ctx context.Context, group string, topics []string) (map[transport.Partition]transport.Commit, error) {
	// The request asks for all topics, as it can in every version.
	return c.committed(ctx, offsetFetch(group, nil), topics, nil)
}

// CommittedOn is like Committed, but for partitions. In a group with many partitions, of which
// each member has few, the answer is much smaller. The error is a *PartitionError unless the
// answer has, for each partition, an offset or the information that there is none.
func (c *Client) CommittedOn(ctx context.Context, group string, partitions []transport.Partition) (map[transport.Partition]transport.Commit, error) {
	// Without any, the request would ask for all.
	if len(partitions) == 0 {
		return make(map[transport.Partition]transport.Commit), nil
	}
	return c.committed(ctx, offsetFetch(group, partitions), nil, partitions)
}

// PartitionError is the error of one partition of several. It says nothing about the others.
type PartitionError struct {
	Partition transport.Partition
	Err       error
}

// Error names the partition.
func (e *PartitionError) Error() string { return e.Partition.String() + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *PartitionError) Unwrap() error { return e.Err }

// ErrLeftOut is the error of something requested that the response has nothing about.
var ErrLeftOut = errors.New("the broker's response leaves it out")

// offsetFetch returns the request for partitions, or for all if there are none.
func offsetFetch(group string, partitions []transport.Partition) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group // up to version 7, as Topics; no topics means all
	of := kmsg.NewOffsetFetchRequestGroup()
	of.Group = group
	for topic, ps := range ByTopic(partitions, TopicOfPartition) {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic = topic
		for _, p := range ps {
			t.Partitions = append(t.Partitions, p.Partition)
		}
		req.Topics = append(req.Topics, t)
		ofTopic := kmsg.NewOffsetFetchRequestGroupTopic()
		ofTopic.Topic, ofTopic.Partitions = topic, t.Partitions
		of.Topics = append(of.Topics, ofTopic)
	}
	req.Groups = append(req.Groups, of) // from version 8 on
	req.RequireStable = true
	return req
}

// committed sends the request to the coordinator and reads the answer, which must mention all
// asked partitions.
func (c *Client) committed(ctx context.Context, req *kmsg.OffsetFetchRequest, topics []string, asked []transport.Partition) (map[transport.Partition]transport.Commit, error) {
	var commits map[transport.Partition]transport.Commit
	err := c.AtCoordinator(ctx, req.Group, func(broker int32) error {
		answer, err := c.Request(ctx, broker, req)
		if err == nil {
			commits, err = committedIn(answer.(*kmsg.OffsetFetchResponse), topics, asked)
		}
		return err
	})
	return commits, err
}

// committedIn returns the offsets in a coordinator's answer, on topics or, if there are none, on
// all. If the answer leaves out an asked partition, that doesn't mean that nothing is committed
// there: the group would read the partition again.
func committedIn(resp *kmsg.OffsetFetchResponse, topics []string, asked []transport.Partition) (map[transport.Partition]transport.Commit, error) {
	if resp.Version < 8 {
		resp.Groups = []kmsg.OffsetFetchResponseGroup{groupOf(resp)}
	}
	if len(resp.Groups) != 1 {
		return nil, fmt.Errorf("%d groups in the answer, 1 expected", len(resp.Groups))
	}
	commits := make(map[transport.Partition]transport.Commit)
	left := make(map[transport.Partition]bool, len(asked))
	for _, p := range asked {
		left[p] = true
	}
	for _, g := range resp.Groups {
		if kerr.Error(g.ErrorCode) == kerr.GroupIDNotFound {
			clear(left)
			continue // a group that has committed nothing
		}
		if g.ErrorCode != 0 {
			return nil, kerr.Error(g.ErrorCode)
		}
		for _, t := range g.Topics {
			if len(topics) > 0 && !slices.Contains(topics, t.Topic) {
				continue
			}
			for _, part := range t.Partitions {
				p := transport.Partition{Topic: t.Topic, Partition: part.Partition}
				// The same holds for a topic that the client may not see, or that the
				// coordinator doesn't know. Of partitions that were not asked for, only those in
				// the answer count.
				switch code := kerr.Error(part.ErrorCode); {
				case code == kerr.UnknownTopicOrPartition && len(asked) == 0:
					continue
				case code != 0:
					return nil, &PartitionError{p, code}
				}
				delete(left, p)
				// Nothing is committed on the partition.
				if part.Offset < 0 {
					continue
				}
				commit := transport.Commit{Partition: p, Offset: part.Offset, LeaderEpoch: part.LeaderEpoch}
				if part.Metadata != nil {
					commit.Metadata = *part.Metadata
				}
				commits[p] = commit
			}
		}
	}
	for _, p := range asked {
		if left[p] {
			return nil, &PartitionError{p, ErrLeftOut}
		}
	}
	return commits, nil
}

// groupOf converts the response of a broker that answers for one group into the form of one
// that answers for several.
func groupOf(resp *kmsg.OffsetFetchResponse) kmsg.OffsetFetchResponseGroup {
	g := kmsg.NewOffsetFetchResponseGroup()
	g.ErrorCode = resp.ErrorCode
	for _, t := range resp.Topics {
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			part.Metadata, part.ErrorCode = p.Metadata, p.ErrorCode
			topic.Partitions = append(topic.Partitions, part)
		}
		g.Topics = append(g.Topics, topic)
	}
	return g
}
