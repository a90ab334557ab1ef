package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// script is a consumer that a test controls, one step at a time.
type script struct {
	t        *testing.T
	engine   *Engine
	batches  chan []transport.Batch
	mu       sync.Mutex
	dead     bool
	paused   map[transport.Partition]bool
	commits  []transport.Commit // that were stored
	refuse   func(transport.Commit) error
	blocked  chan struct{} // Commit waits until it is closed, if it is set
	owned    []transport.Partition
	released map[int64]int // by the batch's From
	epochs   uint64

	unreadable *transport.Unreadable // of partition 0, if it is set
}

// newScript starts an engine on a script.
func newScript(t *testing.T, o options) *script {
	s := &script{
		t: t, batches: make(chan []transport.Batch),
		paused: make(map[transport.Partition]bool), released: make(map[int64]int),
	}
	route := o.route
	if route == nil {
		route = func(*transport.Record) Route { return Route{Subscription: o.subs[0]} }
	}
	if o.deadLetter == nil {
		o.deadLetter = func(_ context.Context, _ *Failure, done func(error)) { done(nil) }
	}
	s.engine = New(Config{
		Group: group, Route: route, Judge: judge, DeadLetter: o.deadLetter,
		Observer: o.observer, Bounds: o.bounds, Flush: o.flush,
	})
	for _, sub := range o.subs {
		s.engine.Attach(sub)
	}
	s.engine.Start(s)
	return s
}

var p0 = transport.Partition{Topic: "t"}

// assign gives partition 0 to the engine, from an offset.
func (s *script) assign(offset int64, metadata string) { s.assignPartition(p0, offset, metadata) }

func (s *script) assignPartition(p transport.Partition, offset int64, metadata string) {
	s.epochs++
	s.owned = append(s.owned, p)
	s.engine.Assigned([]transport.Assignment{{
		Partition: p, Epoch: s.epochs, Offset: offset, Metadata: metadata, LeaderEpoch: -1, ClusterID: "c",
	}})
}

// revoke takes partition 0 back within a minute.
func (s *script) revoke() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.engine.Revoked(ctx, s.owned)
	s.owned = nil
}

// fetch delivers [from, next) of partition 0 with one record per key.
func (s *script) fetch(from int64, keys ...string) *transport.Batch {
	b := s.batch(p0, from, keys...)
	s.deliver(b)
	return &b
}

func (s *script) deliver(b ...transport.Batch) {
	s.batches <- b
	synctest.Wait()
}

func (s *script) batch(p transport.Partition, from int64, keys ...string) transport.Batch {
	records := make([]transport.Record, len(keys))
	for i, k := range keys {
		records[i] = transport.Record{
			Topic: p.Topic, Partition: p.Partition, Offset: from + int64(i), LeaderEpoch: -1,
			Key: []byte(k), Value: fmt.Appendf(nil, "%s@%d", k, from+int64(i)),
		}
	}
	return transport.Batch{
		Partition: p, Epoch: s.epochs, From: from, Next: from + int64(len(keys)), Records: records,
		LastStable: from + int64(len(keys)),
		Release: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.released[from]++
			for i := range records {
				for j := range records[i].Value {
					records[i].Value[j] = 0xDB
				}
				for j := range records[i].Key {
					records[i].Key[j] = 0xDB
				}
			}
		},
	}
}

func (s *script) Poll(ctx context.Context) ([]transport.Batch, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case b := <-s.batches:
		return b, nil
	}
}

func (s *script) setPaused(paused bool, partitions []transport.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range partitions {
		s.paused[p] = paused
	}
}

func (s *script) Pause(p ...transport.Partition)  { s.setPaused(true, p) }
func (s *script) Resume(p ...transport.Partition) { s.setPaused(false, p) }

func (s *script) isPaused(p transport.Partition) bool {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused[p]
}

func (s *script) releases(from int64) int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released[from]
}

func (s *script) Commit(ctx context.Context, commits ...transport.Commit) error {
	s.mu.Lock()
	blocked := s.blocked
	s.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := make(map[transport.Partition]error)
	for _, c := range commits {
		if s.refuse != nil {
			if err := s.refuse(c); err != nil {
				failed[c.Partition] = err
				continue
			}
		}
		s.commits = append(s.commits, c)
	}
	if len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}

// lastCommit returns the newest stored commit of partition 0; its Offset is −1 if
// there is none.
func (s *script) lastCommit() transport.Commit {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.commits) - 1; i >= 0; i-- {
		if s.commits[i].Partition == p0 {
			return s.commits[i]
		}
	}
	return transport.Commit{Offset: -1}
}

func (s *script) setAlive(alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = !alive
}

func (s *script) TypeState(string, string) transport.TypeState {
	return transport.TypeState{Known: true}
}

func (s *script) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.dead
}

func (s *script) Status() (status transport.ConsumerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unreadable != nil {
		status.Partitions = []transport.PartitionStatus{{Partition: p0, LastStable: s.unreadable.Next + 1, Unreadable: s.unreadable}}
	}
	return status
}

// Pass implements transport.Passer.
func (s *script) Pass(_ context.Context, p transport.Partition, next int64) error {
	s.mu.Lock()
	u := s.unreadable
	s.unreadable = nil
	s.mu.Unlock()
	s.engine.Skipped(p, u.From, next, u)
	return nil
}

func (s *script) Close(ctx context.Context) error {
	s.engine.Revoked(ctx, s.owned)
	return nil
}

// drain ends the engine within a minute.
func (s *script) drain() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.engine.Drain(ctx); err != nil {
		s.t.Error(err)
	}
}

// calls is a handler that lets the test end each of its attempts.
type calls struct {
	mu      sync.Mutex
	running map[int64]chan error // by offset
	started []int64
}

func newCalls() *calls { return &calls{running: make(map[int64]chan error)} }

func (c *calls) handle(ctx context.Context, a *Attempt) error {
	end := make(chan error)
	c.mu.Lock()
	c.started = append(c.started, a.Records[0].Offset)
	c.running[a.Records[0].Offset] = end
	c.mu.Unlock()
	return <-end
}

// subscription with this handler.
func (c *calls) subscription(concurrency int) *Subscription {
	return &Subscription{Name: "s", Concurrency: concurrency, Handle: c.handle, Retry: resilience.Unlimited()}
}

// end lets the attempt at an offset return.
func (c *calls) end(t *testing.T, offset int64, err error) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	end := c.running[offset]
	delete(c.running, offset)
	c.mu.Unlock()
	if end == nil {
		t.Fatalf("offset %d does not run; running: %v", offset, c.list())
	}
	end <- err
	synctest.Wait()
}

// list returns the offsets of the running attempts, sorted.
func (c *calls) list() []int64 {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var offsets []int64
	for o := range c.running {
		offsets = append(offsets, o)
	}
	return sorted(offsets)
}
