package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/transport"
)

// flaw is the defect of an engine that is broken on purpose.
type flaw string

const (
	sound            flaw = "sound"
	commitsEarly     flaw = "commits early"
	dropsOnRevoke    flaw = "drops on revoke"
	reordersOnRetry  flaw = "reorders on retry"
	skipsPoison      flaw = "skips poison"
	neverGivesUp     flaw = "never gives up"
	leavesWithoutOut flaw = "leaves without a commit"
	readsMarks       flaw = "takes an error of a batch for marks"
	takesNilForDone  flaw = "takes a nil pointer for success"
	forgetsExits     flaw = "waits for a handler whose goroutine has ended"
	joinsNothing     flaw = "does not join what was published"
	skipsUnknown     flaw = "skips a type that it has no handler for"
)

// simple is a minimal engine: one goroutine that handles one record after another.
// Apart from its flaw, it works.
type simple struct {
	flaw     flaw
	group    string
	handle   handling
	consumer transport.Consumer
	producer transport.Producer
	ctx      context.Context
	cancel   context.CancelFunc
	done     sync.WaitGroup

	mu       turn // held while a record is handled
	ready    turn // the consumer is set
	epochs   map[transport.Partition]uint64
	next     map[transport.Partition]int64 // to be committed
	queue    []transport.Record
	attempts map[place]int
	stopping bool
	old      bool                         // it has no handler for the records' type
	held     map[transport.Partition]bool // with records left to the next owner
}

// turn is a mutex that does not stop a bubble's clock while goroutines wait for it.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// newSimple returns an engine with a flaw.
func newSimple(group, topic string, f flaw) engine {
	return func(_ context.Context, tr transport.Transport, handle handling, old bool) (func(context.Context) error, error) {
		s := &simple{
			flaw: f, group: group, handle: handle, old: old, held: make(map[transport.Partition]bool), mu: make(turn, 1), ready: make(turn, 1),
			epochs: make(map[transport.Partition]uint64), next: make(map[transport.Partition]int64), attempts: make(map[place]int),
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.ready.Lock()
		var err error
		if s.producer, err = tr.NewProducer(transport.ProducerConfig{}); err != nil {
			return nil, err
		}
		if s.consumer, err = tr.NewConsumer(transport.ConsumerConfig{Group: group, Topics: []transport.TopicStart{{Topic: topic}}, Listener: s}); err != nil {
			return nil, err
		}
		s.ready.Unlock()
		s.done.Go(s.run)
		return s.stop, nil
	}
}

func (s *simple) stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	err := s.consumer.Close(ctx)
	s.cancel()
	s.done.Wait()
	_ = s.producer.Close(ctx)
	return err
}

func (s *simple) run() {
	for s.ctx.Err() == nil {
		batches, err := s.consumer.Poll(s.ctx)
		if err != nil {
			return
		}
		s.mu.Lock()
		for _, b := range batches {
			s.queue = append(s.queue, b.Records...)
			if s.flaw == commitsEarly {
				s.next[b.Partition] = b.Next
			}
		}
		s.mu.Unlock()
		if s.flaw == commitsEarly {
			s.commit()
		}
		for s.one() {
		}
		if s.flaw != leavesWithoutOut {
			s.commit()
		}
	}
}

// one handles the first record of the queue, and reports whether there was one.
func (s *simple) one() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.ctx.Err() != nil {
		return false
	}
	r := s.queue[0]
	s.queue = s.queue[1:]
	p := transport.Partition{Topic: r.Topic, Partition: r.Partition}
	if _, ours := s.epochs[p]; !ours || r.Offset < s.next[p] && s.flaw == sound {
		return true // from an earlier assignment
	}
	if s.old {
		// A sound member commits nothing from here on: the next owner handles it.
		if s.held[p] = true; s.flaw == skipsUnknown {
			s.next[p] = max(s.next[p], r.Offset+1)
		}
		return true
	}
	at, epoch := place{r.Partition, r.Offset}, s.epochs[p]
	for {
		err := s.try(&r)
		s.attempts[at]++
		switch {
		case err == nil:
		case s.flaw == neverGivesUp || s.attempts[at] < 6:
			if s.flaw == reordersOnRetry {
				s.done.Go(func() { // as a retry topic does
					pause(2 * time.Second)
					s.mu.Lock()
					defer s.mu.Unlock()
					s.queue = append(s.queue, r)
				})
				return true
			}
			s.mu.Unlock() // a rebalance may come in between
			pause(200 * time.Millisecond)
			s.mu.Lock()
			if s.epochs[p] != epoch || s.stopping {
				return true
			}
			continue
		case s.flaw == skipsPoison:
		case !s.deadLetter(&r):
			continue
		}
		s.next[p] = max(s.next[p], r.Offset+1)
		return true
	}
}

var errExited = errors.New("the handler's goroutine has ended")

// try calls the handler in its own goroutine, since the handler may end it.
func (s *simple) try(r *transport.Record) error {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	if s.flaw == joinsNothing {
		ctx = context.WithValue(ctx, refused{}, func(context.Context) {})
	}
	ended := make(chan error, 1)
	go func() {
		err := errExited
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			ended <- err
		}()
		err = s.handle(ctx, r)
	}()
	err := <-ended
	if err == errExited && s.flaw == forgetsExits {
		s.mu.Unlock() // the member can still be stopped
		<-s.ctx.Done()
		s.mu.Lock()
	}
	return s.misread(err)
}

// misread returns a handler's error as an engine with the flaw reads it.
func (s *simple) misread(err error) error {
	_, isNil := err.(*nilError)
	switch {
	case s.flaw == takesNilForDone && isNil:
		return nil
	case s.flaw == readsMarks && !isNil:
		var published *eventbus.PublishBatchError
		var marked *eventbus.BatchError
		if errors.As(err, &published) && published.Errors[0] == nil || errors.As(err, &marked) && marked.Of(0) == nil {
			return nil
		}
	}
	return err
}

// deadLetter writes a dead letter, and reports whether it was acknowledged.
func (s *simple) deadLetter(r *transport.Record) bool {
	done := make(written, 1)
	dead := &transport.Record{Topic: r.Topic + "." + s.group + naming.DeadSuffix, Key: r.Key, Value: r.Value, Headers: append(r.Headers,
		transport.Header{Key: letter.Partition, Value: []byte(strconv.Itoa(int(r.Partition)))},
		transport.Header{Key: letter.Offset, Value: []byte(strconv.FormatInt(r.Offset, 10))})}
	return s.producer.Produce(s.ctx, dead, done) == nil && <-done == nil
}

type written chan error

// Done implements transport.Completion.
func (w written) Done(_ transport.Position, err error) { w <- err }

func (s *simple) commit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commitLocked(s.ctx)
}

func (s *simple) commitLocked(ctx context.Context) {
	var commits []transport.Commit
	for p, next := range s.next {
		commits = append(commits, transport.Commit{Partition: p, Epoch: s.epochs[p], Offset: next, LeaderEpoch: -1})
	}
	if len(commits) > 0 {
		_ = s.consumer.Commit(ctx, commits...) // the next commit includes it
	}
}

// Assigned implements transport.Listener.
func (s *simple) Assigned(assigned []transport.Assignment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range assigned {
		s.epochs[a.Partition] = a.Epoch
	}
}

// Revoked implements transport.Listener.
func (s *simple) Revoked(ctx context.Context, revoked []transport.Partition) {
	s.ready.Lock() // NewConsumer has returned
	defer s.ready.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaw == dropsOnRevoke {
		for _, r := range s.queue {
			s.next[transport.Partition{Topic: r.Topic, Partition: r.Partition}] = r.Offset + 1
		}
	}
	if s.flaw != leavesWithoutOut {
		s.commitLocked(ctx)
	}
	s.forget(revoked)
}

// Lost implements transport.Listener.
func (s *simple) Lost(lost []transport.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(lost)
}

func (s *simple) forget(gone []transport.Partition) {
	for _, p := range gone {
		delete(s.epochs, p)
		delete(s.next, p)
		delete(s.held, p)
		var kept []transport.Record
		for _, r := range s.queue {
			if (transport.Partition{Topic: r.Topic, Partition: r.Partition}) != p {
				kept = append(kept, r)
			}
		}
		s.queue = kept
	}
}

// Skipped implements transport.Listener.
func (*simple) Skipped(transport.Partition, int64, int64, error) {}

// TestBrokenEngines: each flaw is found, and the engine without one is clean.
func TestBrokenEngines(t *testing.T) {
	quiet := []Fault{Crash(), Restart(), Rebalance(), Failure(), Poison()}
	for _, test := range []struct {
		flaw   flaw
		finds  []Kind // at least one of these; none: nothing at all
		faults []Fault
	}{
		{sound, nil, quiet},
		{commitsEarly, []Kind{Lost}, quiet},
		{dropsOnRevoke, []Kind{Lost}, quiet},
		{reordersOnRetry, []Kind{OutOfOrder}, quiet},
		{skipsPoison, []Kind{Lost}, quiet},
		{neverGivesUp, []Kind{Stuck}, quiet},
		{leavesWithoutOut, []Kind{Duplicated}, []Fault{Restart(), Rebalance()}},
		{sound, nil, []Fault{GoroutineExit(), NilError(), PublishError(), AsyncPublish(), Deployment(), Restart()}},
		{readsMarks, []Kind{Lost}, []Fault{PublishError()}},
		{takesNilForDone, []Kind{Lost}, []Fault{NilError()}},
		{forgetsExits, []Kind{Stuck}, []Fault{GoroutineExit()}},
		{joinsNothing, []Kind{Lost}, []Fault{AsyncPublish()}},
		{skipsUnknown, []Kind{Lost}, []Fault{Deployment()}},
	} {
		t.Run(string(test.flaw), func(t *testing.T) {
			for seed := range uint64(3) {
				r := tryEngine(t, test.flaw, test.faults, seed+1)
				found := len(test.finds) == 0 && r.Clean()
				for _, k := range test.finds {
					found = found || r.Count(k) > 0
				}
				if !found {
					t.Errorf("want %v, found %v", test.finds, r)
				}
			}
		})
	}
}

func tryEngine(t *testing.T, f flaw, faults []Fault, seed uint64) (r *Report) {
	t.Helper()
	b := newBook(true)
	plan := Plan[entry]{Topic: entries, Event: entryOf, Handler: b.book, Faults: faults, Seed: seed, Keys: 8, PerKey: 25, Members: 3}
	synctest.Test(t, func(t *testing.T) {
		trial := newTrial(t, &plan)
		specs := []transport.TopicSpec{{Name: trial.topic, Partitions: 4}, {Name: trial.letters, Partitions: 1}}
		if err := trial.cluster.Admin().CreateTopics(t.Context(), specs...); err != nil {
			t.Fatal(err)
		}
		trial.engine = newSimple(trial.group, trial.topic, f)
		r = trial.run()
	})
	return r
}
