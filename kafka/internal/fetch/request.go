package fetch

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// maxCutOff is the number of times in a row after which it is a failure that a batch which should
// have fit was cut off: other partitions that take turns no longer explain it.
const maxCutOff = 16

// fetchRequest is a fetch in flight.
type fetchRequest struct {
	source   int32     // node id
	sent     time.Time // shows whether the broker is silent
	cancel   context.CancelFunc
	maxBytes int // reserved of the Fetcher's limit
}

// send starts a fetch of partitions from a broker, which leads them or has a replica of them.
// f.mu is held.
func (f *Fetcher) send(broker int32, partitions []*partition, now time.Time) {
	ctx, cancel := context.WithCancel(f.Ctx)
	r := &fetchRequest{source: broker, sent: now, cancel: cancel, maxBytes: f.share()}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(fetchWait / time.Millisecond)
	req.MinBytes = 1
	req.MaxBytes = int32(r.maxBytes)
	req.IsolationLevel = f.isolation
	req.Rack = f.rack
	for _, p := range partitions {
		p.request = r
		// Leaders recommend replicas to those who name their rack.
		if now.Before(p.leaderUntil) {
			req.Rack = ""
		}
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition = p.Partition.Partition
		part.CurrentLeaderEpoch = p.leaderEpoch
		part.FetchOffset = p.ahead
		part.PartitionMaxBytes = p.maxBytes
		// A record larger than these bounds still arrives, since brokers return at least one
		// batch. Once a batch was cut off, its size is known. Then the bound of its partition is
		// raised, and here that of the request.
		req.MaxBytes = max(req.MaxBytes, p.maxBytes)
		t := topicOf(req, p.Topic)
		t.Partitions = append(t.Partitions, part)
	}
	// Reserve before the answer is there: memory must not be promised twice.
	r.maxBytes = int(req.MaxBytes)
	f.reserved += r.maxBytes
	f.source(broker).requests++
	f.work.Go(func() {
		defer cancel()
		f.fetch(ctx, r, req, partitions)
	})
}

// topicOf returns the request's entry for a topic, which it adds if needed. Partitions come
// sorted by topic, except that the first topic may come again at the end.
func topicOf(req *kmsg.FetchRequest, name string) *kmsg.FetchRequestTopic {
	if n := len(req.Topics); n > 0 && req.Topics[n-1].Topic == name {
		return &req.Topics[n-1]
	}
	if len(req.Topics) > 0 && req.Topics[0].Topic == name {
		return &req.Topics[0]
	}
	t := kmsg.NewFetchRequestTopic()
	t.Topic = name
	req.Topics = append(req.Topics, t)
	return &req.Topics[len(req.Topics)-1]
}

// fetch waits for the answer to a request and takes it in. The answer is read into a pooled
// buffer. The broker states its size, which package cluster bounds before it is allocated.
func (f *Fetcher) fetch(ctx context.Context, r *fetchRequest, req *kmsg.FetchRequest, partitions []*partition) {
	var buffer *batch.Buffer
	body, version, err := f.client.Exchange(ctx, r.source, req, func(size int) []byte {
		buffer = batch.NewBuffer(size)
		return buffer.Bytes
	})
	resp := kmsg.NewFetchResponse()
	if err == nil {
		resp.SetVersion(version)
		// Names and batches in the response alias the buffer.
		if err = resp.UnsafeReadFrom(body); err == nil {
			err = kerr.CodeError(resp.ErrorCode)
		}
	}
	now := time.Now()
	f.mu.Lock()
	source := f.source(r.source)
	source.requests--
	f.reserved -= r.maxBytes
	switch {
	case err == nil:
		source.failures = 0
		if wait := cluster.Throttle(resp.ThrottleMillis); wait > 0 {
			source.notBefore = now.Add(wait)
			f.client.Throttled.Add(int64(wait))
		}
		f.handleResponse(r, &resp, buffer, now)
	// A canceled request says nothing about its broker.
	case ctx.Err() == nil:
		source.notBefore = now.Add(min(cluster.Backoff(source.failures), cluster.LookAgainAfter))
		source.failures++
		f.unreachable(r, partitions, err, now)
	}
	for _, p := range partitions {
		if p.request != r {
			continue // answered, or requested elsewhere meanwhile
		}
		p.request = nil
		// When a client exceeds its quota, brokers answer with a wait and nothing else (KIP-219).
		if throttled := resp.ThrottleMillis > 0 && len(resp.Topics) == 0; err == nil && !throttled {
			f.leftOut(p, r, now)
		}
	}
	f.mu.Unlock()
	if buffer != nil {
		buffer.Release() // queued pieces retain it themselves
	}
	Signal(f.wake)
	Signal(f.ready)
}

// unreachable handles a broker that did not answer: its partitions may have another leader now.
// They don't back off themselves, since only the broker failed. f.mu is held.
func (f *Fetcher) unreachable(r *fetchRequest, partitions []*partition, err error, now time.Time) {
	for _, p := range partitions {
		if p.request != r {
			continue
		}
		p.err = err
		if r.source == p.leader {
			p.leader = -1
			f.client.Invalidate(p.Topic)
		} else {
			p.leaveReplica(now)
		}
	}
}

// handleResponse takes in a response. The whole response counts against the limit until the last
// of its pieces is polled or dropped. f.mu is held.
func (f *Fetcher) handleResponse(r *fetchRequest, resp *kmsg.FetchResponse, buffer *batch.Buffer, now time.Time) {
	memory := &fetchMemory{buffer: buffer}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for k := range t.Partitions {
			part := &t.Partitions[k]
			p := f.find(t.Topic, part.Partition)
			if p == nil || p.request != r {
				continue // revoked, or moved elsewhere meanwhile
			}
			p.request = nil
			if part.ErrorCode != 0 {
				f.refused(p, r, part, now)
				continue
			}
			p.lastFetch = now
			p.lastStable, p.highWatermark = part.LastStableOffset, part.HighWatermark
			// The replica works again: the next time it is left counts as the first.
			if r.source != p.leader {
				p.replicaLeft = 0
			}
			// The leader returns no records with a recommendation, so it has to be followed, even
			// if no rack was named.
			if part.PreferredReadReplica >= 0 && r.source == p.leader {
				p.replica, p.replicaUntil, p.replicaBrought = part.PreferredReadReplica, now.Add(cluster.MetadataAge), now
			}
			f.queueBatches(p, part, memory, r.sent, now)
		}
	}
	if memory.pieces > 0 {
		f.held += cap(buffer.Bytes)
	}
}

// queueBatches queues one partition's data in a response. It reads only the headers of batches;
// Poll decodes them, so that fetching never waits for decoding. f.mu is held.
func (f *Fetcher) queueBatches(p *partition, part *kmsg.FetchResponseTopicPartition, memory *fetchMemory, sent, now time.Time) {
	// There are three cases: whole batches came; a batch larger than requested was cut off, so
	// request more; or nothing came before the wait was over.
	span, err := batch.FindSpan(part.RecordBatches, p.ahead)
	if span.Next == p.ahead {
		// A broker may send batches again that come before it and were fetched already.
		need := span.Size + span.Need
		switch {
		case err != nil && p.ahead > p.next:
			// An operator may skip it once the records before it are polled.
			p.notBefore = now.Add(time.Second)
			return
		case err != nil:
			f.unreadable(p, err, now)
			return
		// The batch should have fit. Data of others may have come before it, but a broker that
		// never sends it whole is asked more slowly.
		case span.Need > 0 && need <= int(p.maxBytes):
			if p.cutOff++; p.cutOff >= maxCutOff {
				p.fail(fmt.Errorf("fetching %s at offset %d: the broker sends only a part of a batch of %d bytes, though %d were asked for", p.Partition, p.ahead, span.Need, p.maxBytes), now)
				return
			}
		// Request what the batch's header says it needs, but at least twice as much as before.
		case span.Need > 0:
			p.maxBytes = int32(min(max(need, 2*int(p.maxBytes)), cluster.MaxResponse))
		case len(part.RecordBatches) > 0: // cut off before its size
			p.maxBytes = int32(min(2*int(p.maxBytes), cluster.MaxResponse))
			p.notBefore = now.Add(cluster.Backoff(0))
		default:
			p.maxBytes = f.partitionBytes()
		}
		p.succeed()
		return
	}
	// Any error is about what the next fetch begins with.
	p.succeed()
	p.cutOff, p.replicaBrought = 0, now
	p.maxBytes = f.nextBytes(p, part.HighWatermark > span.Next, now.Sub(sent))
	// A broker notes the ends before it reads its log, which may have grown meanwhile. Committed
	// records are never past the last stable offset.
	p.highWatermark = max(p.highWatermark, span.Next)
	if f.isolation == 1 {
		p.lastStable = max(p.lastStable, span.Next)
	}
	piece := &fetched{
		memory: memory, left: span.Size,
		lastStable: p.lastStable, highWatermark: p.highWatermark,
		reader: batch.Reader{
			Topic: p.Topic, Partition: p.Partition.Partition, Keys: &f.keys,
			Data: part.RecordBatches[:span.Size:span.Size], Next: p.ahead, Bound: f.limit,
		},
	}
	if f.isolation == 1 {
		piece.reader.Aborting = make(map[int64]struct{})
		piece.reader.Aborted = abortedIn(part)
	}
	// The piece retains the response's memory until drop.
	memory.pieces++
	memory.buffer.Retain()
	p.queue = append(p.queue, piece)
	p.ahead, p.lastEpoch = span.Next, span.LeaderEpoch
}

// find returns a partition, or nil if it is no longer assigned. topic may alias a fetch buffer.
// f.mu is held.
func (f *Fetcher) find(topic string, partition int32) *partition {
	for lo, hi := 0, len(f.order); lo < hi; {
		mid := (lo + hi) / 2
		p := f.order[mid]
		switch {
		case p.Topic == topic && p.Partition.Partition == partition:
			return p
		case p.Topic < topic || p.Topic == topic && p.Partition.Partition < partition:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return nil
}
