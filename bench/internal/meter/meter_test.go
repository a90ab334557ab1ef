package meter_test

import (
	"bytes"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/bench/internal/meter"
)

func TestHistogramQuantiles(t *testing.T) {
	for _, unit := range []time.Duration{1, time.Microsecond, time.Millisecond, 137 * time.Millisecond} {
		var h meter.Histogram
		for i := range 10000 {
			h.Record(time.Duration(i+1) * unit)
		}
		if h.Count() != 10000 {
			t.Fatalf("count %d", h.Count())
		}
		for q, want := range map[float64]time.Duration{0.5: 5000 * unit, 0.99: 9900 * unit, 1: 10000 * unit, 0: unit} {
			if got := h.Quantile(q); math.Abs(float64(got-want)) > 0.004*float64(want)+0.5 {
				t.Errorf("unit %v: quantile %v is %v, want %v", unit, q, got, want)
			}
		}
	}
}

func TestHistogramLimits(t *testing.T) {
	var h meter.Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("empty: %v", got)
	}
	h.Record(-time.Second)
	if got := h.Quantile(1); got != 0 {
		t.Errorf("negative: %v", got)
	}
	h.Record(1000 * time.Hour)
	if got := h.Quantile(1); got < time.Hour {
		t.Errorf("beyond the last bucket: %v", got)
	}
}

var sink [][]byte

func TestMeter(t *testing.T) {
	m := meter.Start()
	sink = nil
	for range 1000 {
		sink = append(sink, bytes.Repeat([]byte{1}, 10<<10)) // ones, because pages that are not written need not be resident
	}
	runtime.GC()
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		// Use enough CPU time for the clock of getrusage.
	}
	u := m.Stop()
	if u.Allocs < 1000 || u.Bytes < 1000*10<<10 {
		t.Errorf("%d allocations, %d bytes", u.Allocs, u.Bytes)
	}
	if u.Heap < 1000*10<<10 {
		t.Errorf("peak live heap %d", u.Heap)
	}
	if u.CPU <= 0 || u.Elapsed < 20*time.Millisecond {
		t.Errorf("CPU %v in %v", u.CPU, u.Elapsed)
	}
	if runtime.GOOS == "linux" && u.RSS < u.Heap {
		t.Errorf("RSS %d is below the live heap %d", u.RSS, u.Heap)
	}
	sink = nil
}
