package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// TestMemory: Memory keeps the promises of the outbox without a server.
func TestMemory(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	bus := cluster.Bus(t)
	publisher := For(eventbus.NewPublisher(bus, changeTopic)) // before Start, which creates its topic
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	memory := NewMemory(bus)
	broken := errors.New("broken")
	err := memory.In(t.Context(), func(ctx context.Context, tx Tx) error {
		if err := publisher.Publish(ctx, tx, change{Key: "never"}); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("a transaction that rolls back: %v", err)
	}
	due := time.Now().Add(time.Hour)
	err = memory.In(t.Context(), func(ctx context.Context, tx Tx) error {
		if carried, ok := FromContext(ctx); !ok || carried != tx {
			t.Error("the transaction is not in the context")
		}
		return errors.Join(
			publisher.PublishBatch(ctx, tx, []change{{Key: "k", Version: 1}, {Key: "k", Version: 2}}),
			publisher.With(NotBefore(due)).Publish(ctx, tx, change{Key: "k", Version: 3}, eventbus.WithID("three")),
			publisher.With(NotBefore(due)).Publish(ctx, tx, change{Key: "k", Version: 4}))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = memory.In(t.Context(), func(ctx context.Context, tx Tx) error {
		for _, want := range []bool{true, false} {
			if got, err := Cancel(ctx, tx, Table{}, "three"); got != want || err != nil {
				t.Errorf("cancelled %t, %v, want %t", got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := memory.Due(t.Context(), due.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	expect := func(want ...int64) {
		t.Helper()
		var got []int64
		for _, c := range kafkatest.Published(t, cluster, changeTopic) {
			got = append(got, c.Version)
		}
		if !slices.Equal(got, want) {
			t.Errorf("published %v, want %v", got, want)
		}
	}
	expect(1, 2)
	if err := memory.Due(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	expect(1, 2, 4)
}

// TestRowKeepsTheEnvelope: a row keeps the whole envelope, and a damaged row, or one
// that a newer program wrote, is an error.
func TestRowKeepsTheEnvelope(t *testing.T) {
	bus := kafkatest.NewMemory(t).Bus(t)
	publisher := eventbus.NewPublisher(bus, changeTopic)
	e, err := publisher.Envelope(t.Context(), change{Key: "k", Version: 1}, eventbus.WithSubject("s"), eventbus.WithExtension("tenant", "eu"), eventbus.WithExtension("empty", ""),
		eventbus.WithHeader("a", "1"), eventbus.WithHeader("a", "2\x003"), eventbus.WithCorrelationID("c"), eventbus.WithCausationID("d"))
	if err != nil {
		t.Fatal(err)
	}
	e.TraceParent, e.TraceState, e.DataSchema = "00-1-2-01", "x=y", "urn:schema"
	e.Timestamp = time.Time{} // the record's timestamp, which is set when it is sent
	gone, err := publisher.DeleteEnvelope(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	gone.Timestamp = time.Time{}
	foreign := *e
	foreign.Raw, foreign.Partitioner = true, "crc32"
	for _, want := range []*eventbus.Envelope{e, gone, &foreign} {
		r, err := newRow(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.envelope()
		if err != nil || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
			t.Errorf("back from its row: %v\n%+v\nwant\n%+v", err, got, want)
		}
		if got.Tombstone != want.Tombstone || (got.Key == nil) != (want.Key == nil) {
			t.Errorf("no key, no value: %+v", got)
		}
		for _, spoil := range []func(*row){
			func(r *row) { r.format = formatRaw + 1 }, func(r *row) { r.partitioner = "later" },
			func(r *row) { r.attributes = append([]byte{99, 1}, "x"...) },
		} {
			newer := r
			spoil(&newer)
			if _, err := newer.envelope(); !errors.Is(err, errNewer) {
				t.Errorf("a row of a newer program: %v", err)
			}
		}
		for n := range r.attributes { // a prefix is damaged, or has fewer fields
			short := r
			short.attributes = r.attributes[:n]
			_, _ = short.envelope()
		}
	}
}
