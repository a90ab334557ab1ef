package transporttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// test is one test of the suite.
type test struct {
	name string
	run  func(r *run)
}

// run is one test on one transport. It combines the test's T and the transport's methods,
// which keeps tests short. close closes the transport, once.
type run struct {
	*testing.T
	transport.Transport
	suite *suite
	close func()
}

// start opens a transport for a test. A test may close it early; the cleanup does so
// otherwise.
func (s *suite) start(t *testing.T) *run {
	r := &run{T: t, Transport: s.open(t), suite: s}
	r.close = sync.OnceFunc(func() {
		ctx, cancel := r.patience()
		defer cancel()
		if err := r.Transport.Close(ctx); err != nil {
			t.Errorf("closing the transport: %v", err)
		}
	})
	// Registered first, so it runs last: after all producers, consumers and readers that the
	// test's helpers close.
	t.Cleanup(r.close)
	return r
}

// patience returns a context that ends when it no longer makes sense to wait. It does not
// end with the test, so that cleanups can use it.
func (r *run) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), r.suite.patience)
}

// within calls f with such a context, and ends the test if it fails.
// It belongs to the test's goroutine, as Fatalf does.
func (r *run) within(what string, f func(ctx context.Context) error) {
	r.Helper()
	ctx, cancel := r.patience()
	defer cancel()
	if err := f(ctx); err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// eventually waits for a state that nothing signals: Status and the admin's answers
// change without a signal, so they are asked again.
func (r *run) eventually(what string, ok func() bool) {
	r.Helper()
	ctx, cancel := r.patience()
	defer cancel()
	// In a bubble the ticks cost no time.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.Fatalf("gave up waiting: %s", what)
		}
	}
}

// receive waits for a signal. It returns what came, and ends the test if nothing does.
// Of a channel that is closed it returns the zero value.
func receive[T any](r *run, what string, from <-chan T) T {
	r.Helper()
	ctx, cancel := r.patience()
	defer cancel()
	select {
	case v := <-from:
		return v
	case <-ctx.Done():
		r.Fatalf("gave up waiting: %s", what)
		// Fatalf does not return, which the compiler does not know.
		panic("unreachable")
	}
}

// name returns a name for a topic or group that nobody else uses: the test's own, cut to
// what Kafka allows, and a random number, so that runs can share a cluster.
func (r *run) name(kind string) string {
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, r.Name())
	// The end of the test's name is kept, which tells tests apart. Kafka's limit is 249
	// characters, and leaves room for what is derived from a name.
	return fmt.Sprintf("%s.%s.%08x", kind, clean[max(0, len(clean)-150):], rand.Uint32())
}

// topic creates a topic, and returns its name; 0 partitions are the broker's default.
func (r *run) topic(partitions int32) string {
	r.Helper()
	return r.topicWith(transport.TopicSpec{Partitions: partitions})
}

// topicWith creates a topic with the given settings, and returns its name.
func (r *run) topicWith(spec transport.TopicSpec) string {
	r.Helper()
	spec.Name = r.name("topic")
	r.within("creating a topic", func(ctx context.Context) error { return r.Admin().CreateTopics(ctx, spec) })
	return spec.Name
}

// describe describes one topic.
func (r *run) describe(topic string) transport.TopicInfo {
	r.Helper()
	var infos []transport.TopicInfo
	r.within("describing a topic", func(ctx context.Context) (err error) {
		infos, err = r.Admin().Topics(ctx, topic)
		return err
	})
	// A missing topic is an entry with Err, and not a shorter answer.
	if len(infos) != 1 {
		r.Fatalf("asked for one topic, got %d", len(infos))
	}
	return infos[0]
}

// committed reads what a group has committed on topics; on all if none is named.
func (r *run) committed(group string, topics ...string) map[transport.Partition]transport.Commit {
	r.Helper()
	var commits map[transport.Partition]transport.Commit
	r.within("reading commits", func(ctx context.Context) (err error) {
		commits, err = r.Admin().Committed(ctx, group, topics...)
		return err
	})
	return commits
}

// at names a partition.
func at(topic string, partition int32) transport.Partition {
	return transport.Partition{Topic: topic, Partition: partition}
}

// one runs one test. In a bubble the transport is opened inside it, so that its
// goroutines and timers belong to it.
func (s *suite) one(t *testing.T, name string, body func(r *run)) {
	// Before anything is opened: what a transport lacks costs nothing.
	if why, lacks := s.lacks[name]; lacks {
		t.Skip(why)
	}
	if s.parallel {
		t.Parallel()
	}
	// Registered before the transport is opened, so it runs after the transport was closed.
	if s.leaks != nil {
		t.Cleanup(func() { s.leaks(t) })
	}
	if s.bubble {
		synctest.Test(t, func(t *testing.T) { body(s.start(t)) })
		return
	}
	body(s.start(t))
}
