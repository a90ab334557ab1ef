package meter

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations with an error of at most 0.4 %, from nanoseconds to
// hours, in memory that does not grow. The zero value is empty. It is safe for
// concurrent use.
type Histogram struct {
	counts [octaves << steps]atomic.Uint64
	total  atomic.Uint64
}

const (
	// 128 buckets lie between a power of two and the next.
	steps   = 7
	octaves = 44 - steps
)

// Record counts one duration; negative ones count as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))].Add(1)
	h.total.Add(1)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() int { return int(h.total.Load()) }

// Quantile returns the duration that the share q of all does not exceed, 0 when
// nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.total.Load()
	if total == 0 {
		return 0
	}
	// The rank is rounded, and at least 1: the share 0 is the smallest duration.
	rank := max(uint64(q*float64(total)+0.5), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return middle(i)
		}
	}
	return middle(len(h.counts) - 1)
}

// bucket returns the number of the bucket of a value: the first 2<<steps hold one
// value each, those after it twice as many with each power of two.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-steps-1, 0)
	return min(shift<<steps+int(v>>shift), octaves<<steps-1)
}

// middle returns the duration that stands for a bucket.
func middle(i int) time.Duration {
	shift := max(i>>steps-1, 0)
	low := uint64(i-shift<<steps) << shift
	return time.Duration(low + (1<<shift)/2)
}
