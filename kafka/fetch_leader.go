package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// Codes that a fetch is refused with, beside those of errors.go.
const (
	replicaNotAvailable  Error = 9
	inconsistentTopicID  Error = 103
	offsetMovedToTiering Error = 109
)

// refused deals with a partition that a fetch was refused for.
func (f *fetcher) refused(p *fetchPartition, r *fetchRequest, part *kmsg.FetchResponseTopicPartition, now time.Time) {
	code := Error(part.ErrorCode)
	err := fmt.Errorf("fetching %s at offset %d: %w", p.Partition, p.ahead, code)
	if r.source != p.leader {
		p.leave(now)
		return
	}
	switch code {
	case offsetOutOfRange, offsetMovedToTiering:
		p.doubt = outOfRange
	case unknownTopicOrPartition, leaderNotAvailable, notLeaderOrFollower, replicaNotAvailable, kafkaStorageError,
		fencedLeaderEpoch, unknownLeaderEpoch, unknownTopicID, inconsistentTopicID:
		// The broker may say who the leader is (KIP-951).
		hint := part.CurrentLeader
		if !f.client.moved(p.Topic, p.Partition.Partition, hint.LeaderID, hint.LeaderEpoch) {
			f.client.invalidate(p.Topic)
			p.fail(err, now)
		}
		p.leader = -1
	default:
		p.fail(err, now)
		f.giveUp(p, err)
	}
}

// missingAnswers is how many times in a row a reader is told that there is no such
// partition before it believes it: a broker may not know a new one yet.
const missingAnswers = 3

// giveUp ends a reader that is refused a partition for good. A consumer goes on
// asking: its group may have been given the rights, or the topic, by then.
func (f *fetcher) giveUp(p *fetchPartition, err error) {
	if f.recreated != nil || f.hopeless != nil {
		return
	}
	if errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrTopicMissing) && p.missing >= missingAnswers {
		f.hopeless = err
		signal(f.some)
	}
}

// resolve finds out who leads the partitions that need it.
func (f *fetcher) resolve() {
	for {
		topic, stale, ok := f.unresolved(time.Now())
		if !ok {
			return
		}
		if stale {
			f.client.invalidate(topic)
		}
		t, err := f.client.topic(f.ctx, topic)
		f.learn(topic, t, err)
		signal(f.wake)
	}
}

// unresolved is a topic of which a leader is to be found out, and whether what
// is known of it may be stale. If there is none, resolve ends.
func (f *fetcher) unresolved(now time.Time) (topic string, stale, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		if p.recheck && (topic == "" || topic == p.Topic) {
			topic, stale, ok = p.Topic, true, true
		}
		if p.leader < 0 && topic == "" && !p.revoked && p.stuck == nil && !now.Before(p.notBefore) {
			topic, ok = p.Topic, true
		}
	}
	if f.ctx.Err() != nil {
		ok = false
	}
	f.resolving = ok
	return topic, stale, ok
}

// learn takes over what the cluster said of a topic's leaders.
func (f *fetcher) learn(topic string, t *topicMeta, err error) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
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

func (f *fetcher) learnPartition(p *fetchPartition, t *topicMeta, err error, now time.Time) {
	recheck := p.recheck
	p.recheck = false
	if p.leader >= 0 && !recheck {
		return
	}
	index := int(p.Partition.Partition)
	if err == nil && index >= len(t.partitions) {
		err = missingPartition(p.Topic, p.Partition.Partition, len(t.partitions))
	}
	if err == nil && t.partitions[index].leader < 0 {
		err = fmt.Errorf("partition %s has no leader: %w", p.Partition, leaderNotAvailable)
	}
	switch _, answered := errors.AsType[Error](err); {
	case errors.Is(err, transport.ErrTopicMissing):
		p.missing++
	case err == nil, answered:
		p.missing = 0
	}
	if err != nil {
		if f.ctx.Err() == nil {
			f.client.invalidate(p.Topic)
			p.fail(err, now)
			f.giveUp(p, err)
		}
		return
	}
	if f.outlives(p, t) {
		return
	}
	p.topicID = t.id
	meta := t.partitions[index]
	if r := p.request; r != nil && r.source == p.leader && r.source != meta.leader {
		// The answer of a broker that was deposed would not come, or come too
		// late. Its other partitions are asked for again too.
		p.request = nil
		r.cancel()
	}
	if meta.leader != p.leader {
		p.replica = -1
	}
	p.leader = meta.leader
	if meta.epoch > p.leaderEpoch {
		p.leaderEpoch = meta.epoch
		if p.lastEpoch >= 0 && meta.epoch > p.lastEpoch && p.doubt == sure {
			p.doubt = truncated
		}
	}
}

// outlives stops a partition whose topic is another one now, until the member has
// been told: what was fetched is of the old one.
func (f *fetcher) outlives(p *fetchPartition, t *topicMeta) bool {
	if !another(p.topicID, t.id) {
		return false
	}
	p.stuck = errRecreated
	p.err = errRecreated
	f.moveTo(p, p.next)
	if f.recreated != nil {
		f.recreated(p.Topic)
	} else {
		f.hopeless = fmt.Errorf("%s: %w: %w", p.Partition, transport.ErrTopicMissing, errRecreated)
		signal(f.some)
	}
	return true
}
