package fetch

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// Error codes of fetches, in addition to those of package kerr.
const (
	// ReplicaNotAvailable means that a replica in the client's rack no longer serves the
	// partition.
	ReplicaNotAvailable kerr.Error = 9
	// The broker's topic of that name has another ID: it is being replaced.
	inconsistentTopicID kerr.Error = 103
	// The broker's local log begins after the offset, whose records are only in tiered storage
	// (KIP-405).
	offsetMovedToTiering kerr.Error = 109
)

// refused handles the error code of a partition in a fetch response. A replica's refusal says
// nothing about the partition, so the leader is asked next. f.mu is held.
func (f *Fetcher) refused(p *partition, r *fetchRequest, part *kmsg.FetchResponseTopicPartition, now time.Time) {
	code := kerr.Error(part.ErrorCode)
	err := fmt.Errorf("fetching %s at offset %d: %w", p.Partition, p.ahead, code)
	if r.source != p.leader {
		p.leaveReplica(now)
		return
	}
	switch code {
	case kerr.OffsetOutOfRange, offsetMovedToTiering:
		p.place = outOfRange
	case kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.NotLeaderOrFollower, ReplicaNotAvailable, kerr.KafkaStorageError,
		kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.UnknownTopicID, inconsistentTopicID:
		// The broker may say who the leader is (KIP-951).
		hint := part.CurrentLeader
		if !f.client.Moved(p.Topic, p.Partition.Partition, hint.LeaderID, hint.LeaderEpoch) {
			f.client.Invalidate(p.Topic)
			p.fail(err, now)
		}
		p.leader = -1
	default:
		p.fail(err, now)
		f.endReader(p, err)
	}
}

// leftOut handles a partition that a fetch response does not mention. Without a wait it would be
// requested again at once, over and over. f.mu is held.
func (f *Fetcher) leftOut(p *partition, r *fetchRequest, now time.Time) {
	if r.source != p.leader {
		p.leaveReplica(now)
		return
	}
	f.client.Invalidate(p.Topic)
	p.leader = -1
	p.fail(fmt.Errorf("fetching %s at offset %d: %w", p.Partition, p.ahead, cluster.ErrLeftOut), now)
}

// missingAnswers is the number of answers in a row saying that a partition does not exist after
// which a reader believes them: a broker may not know a new partition yet.
const missingAnswers = 3

// endReader ends a reader if a partition is refused for good. A consumer keeps asking: its group
// may get the permission, or the topic, later.
func (f *Fetcher) endReader(p *partition, err error) {
	if f.Recreated != nil || f.fatal != nil {
		return
	}
	if errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrTopicMissing) && p.missing >= missingAnswers {
		f.fatal = err
		Signal(f.ready)
	}
}

// resolve looks up leaders until no partition needs one. One request asks about all their
// topics, since a lost broker may have led partitions of a thousand topics. At most one
// goroutine runs it: see Fetcher.resolving.
func (f *Fetcher) resolve() {
	for {
		topics, stale := f.unresolved(time.Now())
		if len(topics) == 0 {
			return
		}
		// The client's metadata sent the request there, so only the cluster can say more.
		for _, topic := range stale {
			f.client.Invalidate(topic)
		}
		failed := f.client.Prepare(f.Ctx, topics...)
		for _, topic := range topics {
			t, err := f.client.Prepared(f.Ctx, topic, failed)
			f.learn(topic, t, err)
		}
		Signal(f.wake)
	}
}

// unresolved returns the topics whose leaders are needed, and those among them for which the
// client's metadata may be stale. If there are none, it clears resolving under the same lock,
// which ends resolve: the next partition that needs a leader starts it again.
func (f *Fetcher) unresolved(now time.Time) (topics, stale []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// add adds a topic once: partitions come by topic.
	add := func(topics []string, p *partition) []string {
		if n := len(topics); n > 0 && topics[n-1] == p.Topic {
			return topics
		}
		return append(topics, p.Topic)
	}
	for _, p := range f.order {
		// On a recheck the leader may have moved, so ask the cluster. Otherwise the client's
		// metadata will do.
		if p.recheck {
			topics, stale = add(topics, p), add(stale, p)
		} else if p.leader < 0 && !p.revoked && p.stuck == nil && !now.Before(p.notBefore) {
			topics = add(topics, p)
		}
	}
	if f.Ctx.Err() != nil {
		topics = nil
	}
	f.resolving = len(topics) > 0
	return topics, stale
}

// learn applies the cluster's answer about a topic's leaders: t, or the error err.
func (f *Fetcher) learn(topic string, t *cluster.TopicMeta, err error) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	// The number of leaders decides how much one request may return: see share.
	leaders := make(map[int32]struct{})
	for _, p := range f.order {
		if p.Topic == topic {
			f.learnPartition(p, t, err, now)
		}
		if p.leader >= 0 {
			leaders[p.leader] = struct{}{}
		}
	}
	f.leaders = len(leaders)
}

// learnPartition applies the cluster's answer to one partition. A new leader with a later epoch
// may lack the end of the old leader's log, so the position is checked before the next fetch.
// f.mu is held.
func (f *Fetcher) learnPartition(p *partition, t *cluster.TopicMeta, err error, now time.Time) {
	recheck := p.recheck
	p.recheck = false
	if p.leader >= 0 && !recheck {
		return
	}
	index := int(p.Partition.Partition)
	if err == nil && (index < 0 || index >= len(t.Partitions)) {
		err = cluster.MissingPartition(p.Topic, p.Partition.Partition, len(t.Partitions))
	}
	if err == nil && t.Partitions[index].Leader < 0 {
		err = fmt.Errorf("partition %s has no leader: %w", p.Partition, kerr.LeaderNotAvailable)
	}
	switch _, answered := errors.AsType[kerr.Error](err); {
	// A reader believes that a topic is missing after several such answers in a row. A failure
	// that is not the cluster's answer, such as a lost connection, neither counts nor ends the
	// row.
	case errors.Is(err, transport.ErrTopicMissing):
		p.missing++
	case err == nil, answered:
		p.missing = 0
	}
	if err != nil {
		if f.Ctx.Err() == nil {
			f.client.Invalidate(p.Topic)
			p.fail(err, now)
			f.endReader(p, err)
		}
		return
	}
	if f.outdated(p, t) {
		return
	}
	p.topicID = t.ID
	meta := t.Partitions[index]
	if r := p.request; r != nil && r.source == p.leader && r.source != meta.Leader {
		// A deposed broker's answer would come too late, or never. Its other partitions are
		// requested again too.
		p.request = nil
		r.cancel()
	}
	if meta.Leader != p.leader {
		p.replica = -1
	}
	p.leader = meta.Leader
	// The client believes an earlier epoch only if the epochs have begun again.
	if meta.Epoch >= 0 && meta.Epoch != p.leaderEpoch {
		p.leaderEpoch = meta.Epoch
		if p.lastEpoch >= 0 && meta.Epoch > p.lastEpoch && p.place == inLog {
			p.place = truncated
		}
	}
}

// outdated reports whether p was assigned from an earlier topic with the name of t. If so, it
// stops fetching p, and drops the fetched data, until the member has given p up. f.mu is held.
func (f *Fetcher) outdated(p *partition, t *cluster.TopicMeta) bool {
	if !DifferentTopic(p.topicID, t.ID) {
		return false
	}
	p.stuck = ErrRecreated
	p.err = ErrRecreated
	// The fetched data belongs to the topic that is gone.
	f.moveTo(p, p.next)
	if f.Recreated != nil {
		f.Recreated(p.Topic)
	} else {
		f.fatal = fmt.Errorf("%s: %w: %w", p.Partition, transport.ErrTopicMissing, ErrRecreated)
		Signal(f.ready)
	}
	return true
}
