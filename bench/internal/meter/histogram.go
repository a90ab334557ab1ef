package meter

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations with an error of at most 0.4 %, in memory that does not grow.
// Durations above 2.4 hours count as that. The zero value is empty and ready to use. It is
// safe for concurrent use.
type Histogram struct {
	counts [octaves << steps]atomic.Uint64
	total  atomic.Uint64
}

const (
	// steps gives 2⁷ = 128 buckets between a power of two and the next.
	steps = 7
	// octaves is chosen so that durations below 2⁴³ ns have buckets of their own.
	octaves = 44 - steps
)

// Record counts one duration. A negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))].Add(1)
	h.total.Add(1)
}

// Count returns the number of recorded durations.
func (h *Histogram) Count() int { return int(h.total.Load()) }

// Quantile returns the duration that the share q, from 0 to 1, of all durations does not
// exceed. It returns 0 if none was recorded. Durations that are recorded meanwhile may count.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.total.Load()
	if total == 0 {
		return 0
	}
	// The rank is at least 1, so that the share 0 is the smallest duration.
	rank := max(uint64(q*float64(total)+0.5), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return middle(i)
		}
	}
	return middle(len(h.counts) - 1)
}

// bucket returns the index of the bucket for a value. Each of the first 2<<steps buckets is
// for one value; from there on their size doubles with each power of two.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-steps-1, 0)
	return min(shift<<steps+int(v>>shift), octaves<<steps-1)
}

// middle returns the duration in the middle of a bucket, which stands for all in it.
func middle(i int) time.Duration {
	shift := max(i>>steps-1, 0)
	low := uint64(i-shift<<steps) << shift
	return time.Duration(low + (1<<shift)/2)
}
