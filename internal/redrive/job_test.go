package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// TestTwoOperators: the second operator is told who runs what, and takes over by an order.
func TestTwoOperators(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 600)
		order := p.order(t, 0)
		order.Rate = 20
		begun, ended := make(chan redrive.Job, 100), make(chan error, 1)
		var last redrive.Job
		go func() {
			j, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{Progress: func(j redrive.Job) { begun <- j }})
			last = j
			ended <- err
		}()
		first := <-begun
		var held *redrive.HeldError
		other := p.next(t, order, 1)
		other.Who, other.Rate = "bob@desk", 0
		bob := p.client("bob@desk")
		if _, err := bob.Start(t.Context(), other, redrive.Run{}); !errors.As(err, &held) || held.Job.ID != first.ID || held.Job.Holder.Who != "ann@desk" || held.Job.Holder.Since.IsZero() {
			t.Fatalf("%v; want that ann@desk runs %s", err, first.ID)
		}
		if jobs, err := bob.Jobs(t.Context(), p.topic); err != nil || len(jobs) != 1 {
			t.Errorf("%d jobs, %v; the refused order is stored", len(jobs), err)
		}
		if _, err := bob.Resume(t.Context(), p.topic, first.ID, redrive.Run{}); !errors.As(err, &held) {
			t.Errorf("%v; want that ann@desk runs it", err)
		}
		done, err := bob.Start(t.Context(), other, redrive.Run{TakeOver: true})
		if err != nil || done.Done.Replayed != int64(p.of(1)) {
			t.Errorf("%+v, %v", done, err)
		}
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) || !strings.Contains(err.Error(), "bob@desk") || last.State != redrive.Stopped || last.By != "bob@desk" {
			t.Errorf("%+v, %v; want that bob@desk took over", last, err)
		}
		jobs, err := bob.Jobs(t.Context(), "")
		if err != nil {
			t.Error(err)
		}
		i := slices.IndexFunc(jobs, func(j redrive.Job) bool { return j.ID == first.ID })
		if i < 0 || !strings.Contains(jobs[i].Reason, done.ID) || jobs[i].Why != "it is mended" {
			t.Errorf("%+v; want that job %s was taken over for %s", jobs, first.ID, done.ID)
		}
	})
}

// TestTwoOperatorsOfOneProcess: of two take-overs in one process the later one runs the job,
// and the earlier one ends and says who has it.
func TestTwoOperatorsOfOneProcess(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 600)
		order := p.order(t, 0)
		order.Rate = 20
		client := p.client("console@desk")
		begun, ended := make(chan redrive.Job, 1000), make(chan error, 1)
		go func() {
			_, err := client.Start(t.Context(), order, redrive.Run{Who: "ann@desk", Progress: func(j redrive.Job) { begun <- j }})
			ended <- err
		}()
		first := <-begun
		var held *redrive.HeldError
		if _, err := client.Resume(t.Context(), p.topic, first.ID, redrive.Run{Who: "bob@desk"}); !errors.As(err, &held) || held.Job.Holder.Who != "ann@desk" {
			t.Fatalf("%v; want that ann@desk runs %s", err, first.ID)
		}
		ctx, stop := context.WithCancel(t.Context())
		bobs, over := make(chan redrive.Job, 1000), make(chan error, 1)
		go func() {
			_, err := client.Resume(ctx, p.topic, first.ID, redrive.Run{Who: "bob@desk", TakeOver: true, HandOver: true, Progress: func(j redrive.Job) { bobs <- j }})
			over <- err
		}()
		<-bobs
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) || !strings.Contains(err.Error(), "bob@desk") {
			t.Errorf("the first ends with %v; want that bob@desk took over", err)
		}
		if j, err := client.Find(t.Context(), first.ID); err != nil || j.State != redrive.Running || j.Holder.Who != "bob@desk" {
			t.Errorf("%+v, %v; want that bob@desk runs it", j, err)
		}
		stop()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("the second ends with %v", err)
		}
		if j, err := client.Find(t.Context(), first.ID); err != nil || j.State != redrive.Waiting || j.Holder.Process != "" {
			t.Errorf("%+v, %v; want that it waits", j, err)
		}
	})
}

// TestStopResume: a stop holds at once, wherever the job runs, and with it who
// gave it and why.
func TestStopResume(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 600)
		order := p.order(t, 0)
		order.Rate = 20
		begun, ended := make(chan redrive.Job, 100), make(chan error, 1)
		go func() {
			_, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{Progress: func(j redrive.Job) { begun <- j }})
			ended <- err
		}()
		first := <-begun
		bob := p.client("bob@desk")
		asked := time.Now()
		stopped, err := bob.Stop(t.Context(), p.topic, first.ID, "bob@desk", "the mail server is slow")
		if err != nil || stopped.State != redrive.Stopped || stopped.By != "bob@desk" || stopped.Reason != "the mail server is slow" {
			t.Fatalf("%+v, %v", stopped, err)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		count := func() (n int64) {
			p.read(t, func(string, int) { n++ })
			return n
		}
		if err := <-ended; !errors.Is(err, redrive.ErrTakenOver) || !strings.Contains(err.Error(), "bob@desk stopped") {
			t.Errorf("%v; want that bob@desk stopped it", err)
		}
		if n := count(); n != stopped.Done.Replayed {
			t.Errorf("%d came back after the stop", n-stopped.Done.Replayed)
		}
		if _, err := bob.Stop(t.Context(), p.topic, "00000000", "bob@desk", ""); !errors.Is(err, redrive.ErrNoJob) {
			t.Errorf("%v, want ErrNoJob", err)
		}
		// The rest without a rate: a job keeps its rate, so this is a new job.
		rest := order
		rest.Rate = 0
		done, err := bob.Start(t.Context(), rest, redrive.Run{})
		if err != nil || done.Done.Replayed != int64(p.of(0))-stopped.Done.Replayed {
			t.Errorf("%+v, %v", done.Done, err)
		}
		again, err := bob.Resume(t.Context(), p.topic, first.ID, redrive.Run{})
		if err != nil || again.State != redrive.Done || again.Done.Replayed != stopped.Done.Replayed || again.By != "" {
			t.Errorf("%+v, %v; want that nothing is left to do", again, err)
		}
		p.back(t, 0)
	})
}

// TestInterrupted: a process that ends leaves its job stopped, or hands it over to the next
// watching process.
func TestInterrupted(t *testing.T) {
	for _, handOver := range []bool{false, true} {
		p := heap(t, kafkatest.NewBroker(t), 120)
		order := p.order(t, 0)
		order.Rate = 1
		ctx, cancel := context.WithCancel(t.Context())
		j, err := p.client("ann@desk").Start(ctx, order, redrive.Run{HandOver: handOver, Progress: func(redrive.Job) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%+v, %v", j, err)
		}
		left, err := p.client("bob@desk").Find(t.Context(), j.ID)
		want := redrive.Stopped
		if handOver {
			want = redrive.Waiting
		}
		if err != nil || left.State != want || left.Holder.Process != "" || left.Ended.IsZero() != handOver || left.Done.Replayed == 0 {
			t.Errorf("hand over %v: %+v, %v; want %s", handOver, left, err, want)
		}
	}
}

// TestInterruptedAtOnce: a job that is interrupted at its start is not left to others.
func TestInterruptedAtOnce(t *testing.T) {
	for range 3 {
		p := heap(t, kafkatest.NewBroker(t), 120)
		order := p.order(t, 0)
		order.Rate = 1
		ctx, interrupt := context.WithCancel(t.Context())
		var j redrive.Job
		ended := make(chan error, 1)
		go func() {
			var err error
			j, err = p.client("ann@desk").Start(ctx, order, redrive.Run{})
			ended <- err
		}()
		other := p.client("bob@desk")
		for jobs := []redrive.Job{}; len(jobs) == 0; {
			var err error
			if jobs, err = other.Jobs(t.Context(), p.topic); err != nil {
				t.Fatal(err)
			}
		}
		interrupt()
		if err := <-ended; !errors.Is(err, context.Canceled) || j.ID == "" {
			t.Fatalf("%+v, %v", j, err)
		}
		if left, err := other.Find(t.Context(), j.ID); err != nil || left.State != redrive.Stopped {
			t.Errorf("%+v, %v; want that it is stopped", left, err)
		}
	}
}

// TestWatch: a watching process takes up jobs that wait, and those of processes that are
// gone.
func TestWatch(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 3000)
		order := p.order(t, 0)
		waiting, err := p.client("ann@desk").Submit(t.Context(), order)
		if err != nil || waiting.State != redrive.Waiting {
			t.Fatalf("%+v, %v", waiting, err)
		}
		left := p.killed(t, p.order(t, 1).Filter.Fingerprints[0])
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for i := range 2 {
			watcher := p.client(fmt.Sprint("console-", i))
			watcher.SetLease(time.Second)
			go func() {
				_ = watcher.Watch(ctx)
				ended <- struct{}{}
			}()
		}
		for {
			jobs, err := p.client("x").Jobs(t.Context(), p.topic)
			if err != nil {
				t.Fatal(err)
			}
			done := slices.DeleteFunc(jobs, func(j redrive.Job) bool { return j.State != redrive.Done })
			if len(done) == 2 {
				if ids := []string{done[0].ID, done[1].ID}; !slices.Contains(ids, left) || !slices.Contains(ids, waiting.ID) {
					t.Errorf("%v are done, want %s and %s", ids, left, waiting.ID)
				}
				break
			}
			if t.Context().Err() != nil {
				t.FailNow()
			}
		}
		cancel()
		<-ended
		<-ended
		p.back(t, 0, 1)
	})
}

// TestFencedByNobody: a process goes on by itself if the one that fenced it found the box held
// and claimed nothing.
func TestFencedByNobody(t *testing.T) {
	onBrokers(t, func(t *testing.T, c *kafkatest.Cluster) {
		p := heap(t, c, 300)
		order := p.order(t, 0)
		order.Rate = 50
		fence := sync.OnceFunc(func() {
			if _, err := kafka.NewTransactor(t.Context(), p.cluster, redrive.Group+"."+p.topic, kafka.TransactorConfig{}); err != nil {
				t.Error(err)
			}
		})
		j, err := p.client("ann@desk").Start(t.Context(), order, redrive.Run{Progress: func(redrive.Job) { fence() }})
		if err != nil || j.State != redrive.Done || j.Done.Replayed != int64(p.of(0)) {
			t.Errorf("%+v, %v", j, err)
		}
		p.back(t, 0)
	})
}

// TestStoppedBeforeTaken: a job that an operator stops between a watching process's look and
// its claim stays stopped, and brings nothing back.
func TestStoppedBeforeTaken(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 120)
	client := p.client("ann@desk")
	found, err := client.Submit(t.Context(), p.order(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Stop(t.Context(), p.topic, found.ID, "bob@desk", "the mail server is slow"); err != nil {
		t.Fatal(err)
	}
	p.client("console").Take(t.Context(), found)
	if left, err := client.Find(t.Context(), found.ID); err != nil || left.State != redrive.Stopped || left.By != "bob@desk" {
		t.Errorf("%+v, %v; want that it is stopped", left, err)
	}
	p.back(t)
}

// TestTopicOfOtherLetters: a job does not go on with the letters of a topic that was created
// again under the same name.
func TestTopicOfOtherLetters(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 300)
	order := p.order(t, 0)
	order.Rate = 1000
	again := sync.OnceFunc(func() {
		p.recreate(t, 90)
		if _, err := kafka.NewTransactor(t.Context(), p.cluster, redrive.Group+"."+p.topic, kafka.TransactorConfig{}); err != nil {
			t.Error(err)
		}
	})
	client := p.client("ann@desk")
	client.SetEvents(1)
	j, err := client.Start(t.Context(), order, redrive.Run{Progress: func(redrive.Job) { again() }})
	if !errors.Is(err, transport.ErrTopicMissing) || j.State != redrive.Failed {
		t.Errorf("%+v, %v; want that its topic is gone", j, err)
	}
	if left, err := client.Find(t.Context(), j.ID); err != nil || left.State != redrive.Failed || left.Error == "" {
		t.Errorf("%+v, %v", left, err)
	}
	if b, err := client.Open(t.Context(), p.topic); err != nil || b.Count(redrive.Open) != 90 {
		t.Errorf("%d letters of the other topic are open, %v; want 90", b.Count(redrive.Open), err)
	}
}

// TestTopicGone: jobs on a dead-letter topic that was deleted can be stopped, and fail when
// they are taken up.
func TestTopicGone(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 120)
	client := p.client("ann@desk")
	var jobs []redrive.Job
	for range 2 {
		j, err := client.Submit(t.Context(), p.order(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	p.remove(t)
	if j, err := client.Stop(t.Context(), p.topic, jobs[0].ID, "bob@desk", "gone"); err != nil || j.State != redrive.Stopped {
		t.Errorf("%+v, %v", j, err)
	}
	p.client("console").Take(t.Context(), jobs[1])
	if left, err := client.Find(t.Context(), jobs[1].ID); err != nil || left.State != redrive.Failed || !strings.Contains(left.Error, p.topic) {
		t.Errorf("%+v, %v; want that it failed", left, err)
	}
}

// TestOrdersAtOnce: concurrent orders of one process do not fence each other.
func TestOrdersAtOnce(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 120)
	client := p.client("console")
	order := p.order(t, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := client.Submit(t.Context(), order); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if jobs, err := client.Jobs(t.Context(), p.topic); err != nil || len(jobs) != 8 {
		t.Errorf("%d jobs, %v; want 8", len(jobs), err)
	}
}

// TestOrderedAsCounted: letters that die between a dry run and its order are not part of the
// order.
func TestOrderedAsCounted(t *testing.T) {
	p := heap(t, kafkatest.NewBroker(t), 120)
	client := p.client("ann@desk")
	order := p.order(t, 0)
	for _, action := range []redrive.Action{redrive.Skip, redrive.Replay, redrive.Purge} {
		order.Action, order.Until = action, nil
		if order.IncludingOpen = action == redrive.Purge; order.IncludingOpen {
			order.Filter = redrive.Filter{}
		}
		would, err := client.Plan(t.Context(), order, nil)
		if err != nil || would.Tally.Sum() == 0 {
			t.Fatalf("%s: %+v, %v", action, would, err)
		}
		p.fill(t, 120)
		order.Until = would.Until
		if j, err := client.Start(t.Context(), order, redrive.Run{}); err != nil || j.Done != would.Tally {
			t.Errorf("%s: %+v, %v; want %+v", action, j.Done, err, would.Tally)
		}
		if waiting, err := client.Plan(t.Context(), redrive.Order{Topic: p.topic}, nil); err != nil || waiting.Tally.Replayed < 120 {
			t.Errorf("%s: %+v, %v; want that the later ones wait", action, waiting.Tally, err)
		}
	}
}
