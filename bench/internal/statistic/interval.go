// Package statistic estimates medians and their confidence intervals.
package statistic

import (
	"math"
	"slices"
)

// Estimate is a median and its 95 % confidence interval, which includes Low and High. Both
// are NaN if there are fewer than six values, and all three are NaN without any.
type Estimate struct {
	Median, Low, High float64
}

// Sure reports whether the estimate has an interval.
func (e Estimate) Sure() bool { return !math.IsNaN(e.Low) }

// confidence is the least probability with which an interval covers the true median.
const confidence = 0.95

// Median estimates the median of the population from which the values were drawn. It does
// not change values.
//
// The interval lies between two order statistics. The number of values below the true
// median is binomial with p = 1/2 for any continuous distribution, so [x(k), x(n+1-k)]
// covers the median with probability 1 - 2·P(B ≤ k-1). Median takes the largest k for which
// that is at least 95 %: of nine values the second, with 96.1 %.
func Median(values []float64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	e := Estimate{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: math.NaN(), High: math.NaN()}
	if k := rank(n); k > 0 {
		e.Low, e.High = sorted[k-1], sorted[n-k]
	}
	return e
}

// rank returns the largest k whose interval covers the median of n values with enough
// confidence, or 0 if there is none.
func rank(n int) int {
	tail, k := 0.0, 0 // tail is P(B ≤ k-1)
	for choose := math.Pow(0.5, float64(n)); k < n/2; k++ {
		if tail += choose; 1-2*tail < confidence {
			break
		}
		choose *= float64(n-k) / float64(k+1)
	}
	return k
}

// Ratio estimates the median of values[i]/to[i]. Values of the same round have the same
// index. A pair is left out if either value is 0, NaN or missing.
func Ratio(values, to []float64) Estimate {
	var ratios []float64
	for i := range min(len(values), len(to)) {
		if r := values[i] / to[i]; r > 0 && !math.IsInf(r, 0) {
			ratios = append(ratios, r)
		}
	}
	return Median(ratios)
}
