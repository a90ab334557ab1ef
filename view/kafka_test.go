//go:build integration

package view_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/view"
)

// TestManyKeys reads a compacted topic of real Kafka into a view, and logs what a key
// takes and how long the start took. EVENTBUS_VIEW_KEYS is the number of keys; each
// has two events.
func TestManyKeys(t *testing.T) {
	brokers := os.Getenv(kafkatest.BrokersVariable)
	if brokers == "" {
		t.Skip("no brokers in " + kafkatest.BrokersVariable)
	}
	keys := 50_000
	if text := os.Getenv("EVENTBUS_VIEW_KEYS"); text != "" {
		var err error
		if keys, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	c := kafkatest.Open(t, brokers)
	bus := c.Start(t)
	p := eventbus.NewPublisher(bus, prices)
	var last eventbus.Receipt
	for round := range 2 {
		for i := range keys {
			last = p.PublishAsync(t.Context(), price{"sku-" + strconv.Itoa(i), round*keys + i + 1})
		}
	}
	if _, err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), "sku-0"); err != nil { // behind all of its partition
		t.Fatal(err)
	}

	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, began := heap(), time.Now()
	v := begin(t, bus, view.Config{})
	took := time.Since(began)
	after := heap()
	s := v.Status()
	t.Logf("%d keys from %d records: ready after %v (%.0f records a second), %d bytes of heap a key, %d by its own count",
		s.Keys, s.Read, took.Round(time.Millisecond), float64(s.Read)/took.Seconds(), (after-before)/uint64(keys), s.Bytes/max(s.Keys, 1)) //nolint:gosec // positive
	wantKeys(t, v, map[string]int{"sku-0": 0, "sku-1": keys + 2, "sku-" + strconv.Itoa(keys-1): 2 * keys})
	if s.Keys != int64(keys-1) {
		t.Errorf("%d keys, want %d", s.Keys, keys-1)
	}
	publish(t, p, v, price{"sku-0", 7})
	wantKeys(t, v, map[string]int{"sku-0": 7})
	began = time.Now()
	for range 100_000 {
		if _, _, err := v.Get(t.Context(), "sku-1"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("Get: %v", time.Since(began)/100_000)
}
