package view_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/view"
)

// TestRecreatedTopic: the table of the topic that was deleted serves until that of
// the new one is complete.
func TestRecreatedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1}, price{"b", 2})
		v := begin(t, bus, view.Config{})
		if err := c.Memory().DeleteTopic(prices.In(c.Environment())); err != nil {
			t.Fatal(err)
		}
		want(t, v, map[string]int{"a": 1, "b": 2})
		again := c.Start(t, eventbus.On(prices, func(context.Context, price) error { return nil })) // creates it
		p = eventbus.NewPublisher(again, prices)
		// As long as the log before, so that its offsets show nothing.
		publish(t, p, nil, price{"a", 3}, price{"c", 1}, price{"d", 1}, price{"e", 1}, price{"f", 1}, price{"g", 1})
		await(t, v, "rebuild", func() bool { return v.Status().Rebuilds == 1 && v.Health(t.Context()) == nil })
		want(t, v, map[string]int{"a": 3, "b": 0})
		if s := v.Status(); s.Rebuilds != 1 || s.Phase != view.Following {
			t.Errorf("%+v", s)
		}
	})
}

// TestTruncatedLog: records that the log has lost are not in the table either.
func TestTruncatedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1})
		v := begin(t, bus, view.Config{})
		r := p.PublishAsync(t.Context(), price{"a", 2})
		if err := v.WaitFor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		at, _ := r.Wait(t.Context())
		if err := c.Memory().TruncateLog(at.Topic, at.Partition.Partition, at.Offset); err != nil {
			t.Fatal(err)
		}
		await(t, v, "rebuild", func() bool {
			p, _, err := v.Get(t.Context(), "a")
			return err == nil && p.Cents == 1
		})
		if s := v.Status(); s.Rebuilds == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestAddedPartitions: a key that moves to another partition has one event, the
// later one, in a running view and in one that is started afterwards.
func TestAddedPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		want1 := make(map[string]int)
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			publish(t, p, nil, price{key, 1})
			want1[key] = 1
		}
		v := begin(t, bus, view.Config{})
		time.Sleep(time.Second) // the clock of a bubble: later events are later
		if err := c.Memory().AddPartitions(prices.In(c.Environment()), 16); err != nil {
			t.Fatal(err)
		}
		grown := c.Start(t) // another producer, which knows the partitions
		p = eventbus.NewPublisher(grown, prices)
		for key := range want1 {
			publish(t, p, v, price{key, 2})
			want1[key] = 2
		}
		if err := p.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		want1["a"] = 0
		await(t, v, "deletion", func() bool { return v.Status().Keys == 7 })
		want(t, v, want1)
		want(t, begin(t, grown, view.Config{}), want1)
	})
}

// TestStoreIsResumed: a table that was kept is resumed where it was, and read
// from the start where it is too old or of another topic.
func TestStoreIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1}, price{"b", 2}, price{"c", 3})
		store := &recorder{Store: view.Memory()}
		config := view.Config{Store: store}
		first := begin(t, bus, config)
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		publish(t, p, nil, price{"a", 4})

		second := begin(t, bus, config)
		want(t, second, map[string]int{"a": 4, "b": 2, "c": 3})
		if s := second.Status(); s.Read != 1 || store.created != 1 {
			t.Errorf("%d tables, %+v", store.created, s)
		}
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(13 * time.Hour) // of the bubble
		third := begin(t, bus, config)
		want(t, third, map[string]int{"a": 4, "b": 2, "c": 3})
		if s := third.Status(); s.Read != 4 || store.created != 2 {
			t.Errorf("%d tables, %+v", store.created, s)
		}
	})
}

// TestStoreFails: a table that can't be written is tried again, and the view says
// why it lags. Nothing is skipped.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1})
		store := &recorder{Store: view.Memory()}
		v := begin(t, bus, view.Config{Store: store})
		store.fail(errors.New("the disk is full"))
		r := p.PublishAsync(t.Context(), price{"a", 2})
		await(t, v, "error", func() bool { return v.Health(t.Context()) != nil })
		want(t, v, map[string]int{"a": 1})
		store.fail(nil)
		if err := v.WaitFor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want(t, v, map[string]int{"a": 2})
	})
}

// recorder is a Store that counts its tables, and whose tables can fail.
type recorder struct {
	view.Store
	created int
	mu      sync.Mutex
	err     error
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *recorder) Create(ctx context.Context, name string) (view.Table, error) {
	r.created++
	t, err := r.Store.Create(ctx, name)
	return failing{t, r}, err
}

// failing is a table of a recorder.
type failing struct {
	view.Table
	of *recorder
}

func (f failing) Apply(ctx context.Context, partition int32, changes []view.Change, mark view.Mark) error {
	f.of.mu.Lock()
	err := f.of.err
	f.of.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Table.Apply(ctx, partition, changes, mark)
}

// TestMarksAreAMapOfTheirOwn: the caller owns the map that Marks returns.
func TestMarksAreAMapOfTheirOwn(t *testing.T) {
	table, err := view.Memory().Create(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Apply(t.Context(), 1, nil, view.Mark{Next: 5}); err != nil {
		t.Fatal(err)
	}
	marks, err := table.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(marks, func(int32, view.Mark) bool { return true })
	if marks, _ = table.Marks(t.Context()); marks[1].Next != 5 {
		t.Error(marks)
	}
}
