package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// commitBytes bounds one commit request. The coordinator writes it as one batch, and refuses
// all of it if that is larger than its topic allows.
const commitBytes = 512 << 10

// commitPatience bounds one try. A frozen coordinator stays silent, and another broker may have
// taken over by then; one that waits for replicas answers within its offsets.commit.timeout.ms,
// 5 s by default.
const commitPatience = 10 * time.Second

// commit stores offsets for the group. They are fenced by the epochs of their partitions, and
// sent under the member's generation at that time.
func (m *membership) commit(ctx context.Context, commits []transport.Commit) error {
	if len(commits) == 0 {
		return nil // even if ctx has ended
	}
	select {
	// One commit at a time, so that an earlier offset never overwrites a later one.
	case m.commits <- struct{}{}:
		defer func() { <-m.commits }()
	case <-ctx.Done():
		failed := make(map[transport.Partition]error, len(commits))
		for i := range commits {
			failed[commits[i].Partition] = ctx.Err()
		}
		return &transport.CommitError{Partitions: failed}
	}
	failed := make(map[transport.Partition]error)
	m.storeAll(ctx, m.admit(ctx, commits, failed), m.fetch.Owns, failed)
	if m.types.tooLarge(failed) {
		var again []transport.Commit
		for i := range commits {
			if failed[commits[i].Partition] != nil {
				again = append(again, commits[i])
			}
		}
		clear(failed)
		m.storeAll(ctx, m.admit(ctx, again, failed), m.fetch.Owns, failed)
	}
	m.kept.stored(commits, failed)
	if len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}

// admit drops commits on topics whose names now belong to others, and marks commits on topics
// that were created again.
//
// The coordinator goes by names: it would take the offset as one on the new topic. Before the
// last commit of a partition, when it is released, admit asks the cluster, since the deletion
// of the topic may be the reason.
func (m *membership) admit(ctx context.Context, commits []transport.Commit, failed map[transport.Partition]error) []transport.Commit {
	// last are the topics of partitions that are being released.
	ids, last := m.fetch.TopicIDs(commits)
	if len(last) > 0 {
		patience := 250 * time.Millisecond
		if deadline, bounded := ctx.Deadline(); bounded {
			patience = min(patience, time.Until(deadline)/4) // leave the rest to the commit
		}
		within, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_ = m.client.Refresh(within, last...) // otherwise use the known metadata
	}
	admitted := make([]transport.Commit, 0, len(commits))
	for i := range commits {
		c := commits[i]
		id := ids[c.Partition]
		if t := m.client.KnownTopic(c.Topic); t != nil && fetch.DifferentTopic(id, t.ID) {
			failed[c.Partition] = fmt.Errorf("%s: %w: %w", c.Partition, fetch.ErrRecreated, transport.ErrFenced)
			continue
		}
		m.mu.Lock()
		r := m.seen[c.Topic]
		m.mu.Unlock()
		m.types.carry(&c)
		// By the mark the next owner knows that the offset is the new topic's.
		if r.replaced && r.id == id {
			c.Metadata = mark(c.Metadata, id)
		}
		admitted = append(admitted, c)
	}
	return admitted
}

// storeAll stores offsets in as many requests as their size requires. It adds what was not
// stored to failed. The caller holds commits.
func (m *membership) storeAll(ctx context.Context, commits []transport.Commit, owns func(transport.Partition, uint64) bool, failed map[transport.Partition]error) {
	for len(commits) > 0 {
		// 32 bytes are for the fixed fields of a partition. A single commit is sent however
		// large it is.
		n, size := 0, 0
		for n < len(commits) && (n == 0 || size < commitBytes) {
			size += len(commits[n].Topic) + len(commits[n].Metadata) + 32
			n++
		}
		// The commit that exceeded the bound goes with the next request.
		if n > 1 && size >= commitBytes {
			n--
		}
		maps.Copy(failed, m.store(ctx, slices.Clone(commits[:n]), owns))
		commits = commits[n:]
	}
}

// store sends one request, and retries while that can help and ctx allows it. It returns what
// was not stored. It refuses commits for which owns returns false.
//
// A rebalance doesn't stop it. While the group prepares one, commits of the present generation
// are stored; while its leader plans, they are refused; and once the member has its assignment,
// commits on what it kept are stored under the new generation.
func (m *membership) store(ctx context.Context, commits []transport.Commit, owns func(transport.Partition, uint64) bool) map[transport.Partition]error {
	failed := make(map[transport.Partition]error)
	var last error
	for failures := 0; ; failures++ {
		kept := commits[:0]
		for _, c := range commits {
			// Checked before each try: a partition may have been released since the last.
			if owns != nil && !owns(c.Partition, c.Epoch) {
				failed[c.Partition] = fmt.Errorf("%s is not assigned under epoch %d: %w", c.Partition, c.Epoch, transport.ErrFenced)
				continue
			}
			kept = append(kept, c)
		}
		commits = kept
		if len(commits) == 0 {
			return failed
		}
		if ctx.Err() != nil {
			for i := range commits {
				failed[commits[i].Partition] = errors.Join(ctx.Err(), last)
			}
			return failed
		}
		m.mu.Lock()
		id, generation, changed := m.id, m.generation, m.changed
		m.mu.Unlock()
		// Out of the group it waits: a join in progress may bring a generation under which
		// commits on what is still owned can be stored.
		if generation >= 0 {
			if commits, last = m.storeOnce(ctx, id, generation, commits, failed, failures); len(commits) == 0 {
				return failed
			}
		}
		timer := time.NewTimer(cluster.RetryCoordinator(last, failures))
		select {
		// A new generation, or the end of one, is worth an immediate try.
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// storeOnce sends one request and returns the commits to send again, with the reason.
func (m *membership) storeOnce(ctx context.Context, id string, generation int32, commits []transport.Commit, failed map[transport.Partition]error, failures int) ([]transport.Commit, error) {
	within, cancel := context.WithTimeout(ctx, commitPatience)
	defer cancel()
	answer, err := m.ask(within, m.commitRequest(id, generation, commits))
	if err != nil {
		if kerr.Retriable(err) || within.Err() != nil {
			return commits, err
		}
		for i := range commits {
			failed[commits[i].Partition] = err
		}
		return nil, err
	}
	// A response has an error per partition, so some may be stored and others not.
	codes := make(map[transport.Partition]int16, len(commits))
	for _, t := range answer.(*kmsg.OffsetCommitResponse).Topics {
		for _, part := range t.Partitions {
			codes[transport.Partition{Topic: t.Topic, Partition: part.Partition}] = part.ErrorCode
		}
	}
	var again []transport.Commit
	var last error
	for i := range commits {
		code, answered := codes[commits[i].Partition]
		err := m.refusedBy(code)
		switch {
		case !answered:
			failed[commits[i].Partition] = cluster.ErrLeftOut
		case err == nil:
		case m.storeLater(kerr.Error(code), failures):
			again, last = append(again, commits[i]), err
		default:
			failed[commits[i].Partition] = err
		}
	}
	return again, last
}

// storeLater reports whether a refused commit may be stored later.
func (m *membership) storeLater(code kerr.Error, failures int) bool {
	switch code {
	case kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.StaleMemberEpoch:
		// The heartbeat finds out whether the member only has to join, or is lost. In the
		// latter case so are its partitions, and their commits are not sent again.
		fetch.Signal(m.heartbeatNow)
		return true
	case kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.FencedMemberEpoch, kerr.GroupIDNotFound:
		fetch.Signal(m.heartbeatNow)
		return false
	case kerr.UnknownTopicOrPartition:
		return failures < 5 // a new topic may not be known everywhere
	case kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RequestTimedOut:
		return true
	}
	return false
}

func (m *membership) commitRequest(id string, generation int32, commits []transport.Commit) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.cfg.Group, generation, id, m.instance()
	req.Topics = commitTopics(commits)
	return req
}

// commitTopics returns commits in the form of a request.
func commitTopics(commits []transport.Commit) []kmsg.OffsetCommitRequestTopic {
	var topics []kmsg.OffsetCommitRequestTopic
	for topic, commits := range cluster.ByTopic(commits, cluster.TopicOfCommit) {
		t := kmsg.NewOffsetCommitRequestTopic()
		// By name: versions of OffsetCommit that use IDs are not used (cluster.Highest).
		t.Topic = topic
		for i := range commits {
			c := &commits[i]
			part := kmsg.NewOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = c.Partition.Partition, c.Offset, c.LeaderEpoch, &c.Metadata
			t.Partitions = append(t.Partitions, part)
		}
		topics = append(topics, t)
	}
	return topics
}
