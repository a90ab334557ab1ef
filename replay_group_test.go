package eventbus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestReplayAfterAddedPartitions: a replay that goes on After another reads no partitions
// that were added since.
func TestReplayAfterAddedPartitions(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0}, order{"b", 1})
		handler := eventbus.On(topic, func(context.Context, order) error { return nil })
		for _, window := range []eventbus.ReplayConfig{{DryRun: true}, {DryRun: true, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}} {
			report, err := bus.Operator().Replay(t.Context(), window, handler)
			must(t, err)
			must(t, cluster.AddPartitions(ordersName, int32(len(report.Partitions))+7))
			var more []order
			for key := 'a'; key <= 'p'; key++ {
				more = append(more, order{string(key), 2})
			}
			listed(t, bus, topic, more...)
			rest, err := bus.Operator().Replay(t.Context(), window.After(report), handler)
			must(t, err)
			if rest.Events() != report.Events() || len(rest.Partitions) != len(report.Partitions)+7 {
				t.Errorf("%d events in %d partitions, want the %d that were counted", rest.Events(), len(rest.Partitions), report.Events())
			}
		}
		closeBus(t, bus)
	})
}

// TestReplayGroup: if there are more events than allowed none is handled, and only one
// replay runs at a time.
func TestReplayGroup(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0}, order{"a", 1})
		running, release := make(chan struct{}, 2), make(chan struct{})
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			running <- struct{}{}
			<-release
			return nil
		}))
		replay := func(c eventbus.ReplayConfig) (eventbus.ReplayReport, error) {
			return bus.Operator().ReplayGroup(t.Context(), ordersGroup, ordersName, c)
		}
		if r, err := replay(eventbus.ReplayConfig{MaxEvents: 1}); err == nil || !strings.Contains(err.Error(), "2 events") || r.Handled() != 0 || len(running) != 0 {
			t.Errorf("more than one event: %+v, %v", r, err)
		}
		if _, err := replay(eventbus.ReplayConfig{MaxEvents: -1}); err == nil {
			t.Error("a bound below 0 was accepted")
		}
		ended := make(chan error, 1)
		var done eventbus.ReplayReport
		go func() {
			var err error
			done, err = replay(eventbus.ReplayConfig{MaxEvents: 2})
			ended <- err
		}()
		<-running
		if _, err := replay(eventbus.ReplayConfig{DryRun: true}); err == nil || !strings.Contains(err.Error(), "another replay runs") {
			t.Errorf("beside another: %v", err)
		}
		close(release)
		if must(t, <-ended); done.Handled() != 2 || done.Events() != 2 {
			t.Errorf("%+v, want two events", done)
		}
		if r, err := replay(eventbus.ReplayConfig{DryRun: true}); err != nil || r.Events() != 2 {
			t.Errorf("after the other: %+v, %v", r, err)
		}
		closeBus(t, bus)
	})
}

// opening is a transport that says when a reader is opened.
type opening struct {
	transport.Transport
	opened func()
}

func (o opening) NewReader(c transport.ReaderConfig) (transport.Reader, error) {
	o.opened()
	return o.Transport.NewReader(c)
}

// TestReplayKeysAreReadOnce: of a thousand keys each has its events, and the caller may change
// its list while the replay runs.
func TestReplayKeysAreReadOnce(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		keys := make([]string, 1000)
		read := 0
		bus, topic := newBus(t, opening{cluster, func() {
			if read++; read == 2 { // counted, and not yet handled
				clear(keys)
			}
		}}, config()), orders(t)
		defer closeBus(t, bus)
		for i := range keys {
			keys[i] = fmt.Sprint("k-", i)
		}
		listed(t, bus, topic, order{"k-0", 0}, order{"k-999", 1}, order{"k-1000", 2})
		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{Keys: keys, MaxEvents: 4}, eventbus.On(topic, func(context.Context, order) error { return nil }))
		if err != nil || read != 2 || report.Events() != 2 || report.Handled() != 2 {
			t.Errorf("%d events, %d handled, %d readers, %v; want 2 and 2 by 2", report.Events(), report.Handled(), read, err)
		}
	})
}
