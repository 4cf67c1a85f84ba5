package plots

import (
	"math"
	"slices"
)

// quantile returns the value of sorted, which is not empty, that is at least as
// great as the share q of all (nearest rank).
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// band is the mean of values, and what 5 and 95 of 100 of them are at most.
type band struct{ mean, low, high float64 }

func bandOf(values []float64) band {
	slices.Sort(values)
	var sum float64
	for _, v := range values {
		sum += v
	}
	return band{sum / float64(len(values)), quantile(values, 0.05), quantile(values, 0.95)}
}
