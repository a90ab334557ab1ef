// Package statistic says how sure a median is.
package statistic

import (
	"math"
	"slices"
)

// Estimate is a median and its 95 % confidence interval. Low and High are NaN
// where there are too few values for one (fewer than six).
type Estimate struct {
	Median, Low, High float64
}

// Sure reports whether there is an interval.
func (e Estimate) Sure() bool { return !math.IsNaN(e.Low) }

const confidence = 0.95

// Median estimates the median of the population that the values were drawn
// from. The interval lies between two order statistics: the number of values
// below the true median is binomial with p = 1/2 whatever their distribution,
// so [x(k), x(n+1-k)] covers it with probability 1 - 2·P(B ≤ k-1). The largest k
// that gives 95 % or more is taken; with nine values that is the second, 96.1 %.
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

// rank is the largest k whose interval covers the median well enough, 0 if none
// does.
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

// Ratio estimates the median of the ratios between paired values: those of the
// same round stand at the same index. A pair without a ratio (either is 0, NaN
// or missing) is left out.
func Ratio(values, to []float64) Estimate {
	var ratios []float64
	for i := range min(len(values), len(to)) {
		if r := values[i] / to[i]; r > 0 && !math.IsInf(r, 0) {
			ratios = append(ratios, r)
		}
	}
	return Median(ratios)
}
