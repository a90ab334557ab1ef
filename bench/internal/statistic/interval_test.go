package statistic

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRank(t *testing.T) {
	// Tables of the sign test give, for each n, the order statistic that bounds the 95 %
	// interval of the median.
	for n, want := range map[int]int{0: 0, 1: 0, 5: 0, 6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 15: 4, 20: 6, 25: 8} {
		if got := rank(n); got != want {
			t.Errorf("rank(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   Estimate
		sure   bool
	}{
		{"odd", []float64{3, 1, 2}, Estimate{Median: 2}, false},
		{"even", []float64{4, 1, 2, 3}, Estimate{Median: 2.5}, false},
		{"nine", []float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, Estimate{5, 2, 8}, true},
		{"an outlier moves nothing", []float64{900, 8, 7, 6, 5, 4, 3, 2, -100}, Estimate{5, 2, 8}, true},
		{"six", []float64{1, 2, 3, 4, 5, 6}, Estimate{3.5, 1, 6}, true},
	} {
		got := Median(c.values)
		if got.Median != c.want.Median || got.Sure() != c.sure || c.sure && got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if e := Median(nil); !math.IsNaN(e.Median) || e.Sure() {
		t.Errorf("of nothing: %+v", e)
	}
}

func TestMedianCoversTheTruth(t *testing.T) {
	// Exponential values have the median ln 2. The intervals of nine must cover it in 96.1 %
	// of all campaigns.
	random := rand.New(rand.NewPCG(1, 2))
	const campaigns = 20000
	held := 0
	for range campaigns {
		values := make([]float64, 9)
		for i := range values {
			values[i] = random.ExpFloat64()
		}
		if e := Median(values); e.Low <= math.Ln2 && math.Ln2 <= e.High {
			held++
		}
	}
	if share := float64(held) / campaigns; share < 0.955 || share > 0.967 {
		t.Errorf("the interval covered the median in %.3f of %d campaigns, want 0.961", share, campaigns)
	}
}

func TestRatioIsPaired(t *testing.T) {
	// The speed of the machine doubles and halves. The ratio within each round is 1.3.
	ours, franz := []float64{130, 260, 65, 520}, []float64{100, 200, 50, 400}
	if e := Ratio(ours, franz); math.Abs(e.Median-1.3) > 1e-12 {
		t.Errorf("ratio %v, want 1.3", e.Median)
	}
	if e := Ratio([]float64{2, math.NaN(), 5, 8}, []float64{1, 1, 0, 4}); e.Median != 2 {
		t.Errorf("pairs without a ratio count: %+v", e)
	}
}
