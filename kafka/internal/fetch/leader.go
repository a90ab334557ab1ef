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

// Codes that a fetch is refused with, beside those of errors.go.
const (
	// ReplicaNotAvailable means that a replica in the rack of the client does not
	// serve the partition any more.
	ReplicaNotAvailable kerr.Error = 9
	// The broker's topic of that name has another ID: it is being replaced.
	inconsistentTopicID kerr.Error = 103
	// The broker's own log begins behind the offset, whose records are in tiered storage
	// alone (KIP-405).
	offsetMovedToTiering kerr.Error = 109
)

// refused deals with a partition that a fetch was refused for. A replica's refusal says
// nothing of the partition: the leader is asked then. f.mu is held.
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

// missingAnswers is how many answers in a row say to a reader that there is no such
// partition before it believes them: a broker may not know a new one yet.
const missingAnswers = 3

// endReader ends a reader that is refused a partition for good. A consumer goes on
// asking: its group may have been given the rights, or the topic, by then.
func (f *Fetcher) endReader(p *partition, err error) {
	if f.Recreated != nil || f.fatal != nil {
		return
	}
	if errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrTopicMissing) && p.missing >= missingAnswers {
		f.fatal = err
		Signal(f.ready)
	}
}

// resolve finds out who leads the partitions that need it, until none does. One request
// asks for all of their topics: a broker that is lost may have led partitions of a
// thousand. At most one goroutine runs it: see Fetcher.resolving.
func (f *Fetcher) resolve() {
	for {
		topics, stale := f.unresolved(time.Now())
		if len(topics) == 0 {
			return
		}
		// What the client knows is what the request waits by: only the cluster can say more.
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

// unresolved returns the topics of which leaders are to be found out, and those of them of
// which what is known may be stale. If there are none, it ends resolve by clearing resolving
// under the same lock, so that a partition that needs a leader next starts it again.
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
		// A topic whose leaders may have moved is asked for again, one that is not known may be
		// taken from what the client has.
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

// learn takes over what the cluster said of a topic's leaders, or why it said nothing.
func (f *Fetcher) learn(topic string, t *cluster.TopicMeta, err error) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	// Their number decides what one request may bring: see share.
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

// learnPartition takes over what the cluster said of one partition's leader. A new leader
// of a later epoch may lack the end of the old one's log, so the position is checked
// before the next fetch. f.mu is held.
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
	// A reader believes a missing topic after several answers in a row. What is no answer
	// of the cluster, such as a lost connection, neither counts nor ends the row.
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
		// The answer of a broker that was deposed would not come, or come too
		// late. Its other partitions are asked for again too.
		p.request = nil
		r.cancel()
	}
	if meta.Leader != p.leader {
		p.replica = -1
	}
	p.leader = meta.Leader
	if meta.Epoch > p.leaderEpoch {
		p.leaderEpoch = meta.Epoch
		if p.lastEpoch >= 0 && meta.Epoch > p.lastEpoch && p.place == inLog {
			p.place = truncated
		}
	}
}

// outdated reports whether p was assigned of an earlier topic than t, of the same
// name. If so it stops fetching p, and drops what was fetched, until the member has
// given it up. f.mu is held.
func (f *Fetcher) outdated(p *partition, t *cluster.TopicMeta) bool {
	if !DifferentTopic(p.topicID, t.ID) {
		return false
	}
	p.stuck = ErrRecreated
	p.err = ErrRecreated
	// What was fetched belongs to the topic that is gone.
	f.moveTo(p, p.next)
	if f.Recreated != nil {
		f.Recreated(p.Topic)
	} else {
		f.fatal = fmt.Errorf("%s: %w: %w", p.Partition, transport.ErrTopicMissing, ErrRecreated)
		Signal(f.ready)
	}
	return true
}
