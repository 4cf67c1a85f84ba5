package equations

import "math"

// HealthAlpha is α of the health tests (6, 7), the probability that one of them
// rejects a sound source at one sample: 2⁻⁴⁰.
const HealthAlpha = 1.0 / (1 << 40)

// ProportionWindow is W of the adaptive proportion test (7) for a binary
// source, as NIST SP 800-90B §4.4.2 has it.
const ProportionWindow = 1024

// RepetitionCutoff returns equation 6, the cutoff of the repetition count test
// of NIST SP 800-90B §4.4.1,
//
//	C = 1 + ⌈−log α / H⌉
//
// in samples: a run of C equal ones fails the test. h is the min-entropy that
// the source is assessed at, in bits per sample, alpha is in (0, 1). A source
// without entropy (h ≤ 0 or NaN) cannot pass: C = 1. So does an alpha outside
// its range. Above 2⁵³ the cutoff is 2⁵³.
func RepetitionCutoff(h, alpha float64) uint64 {
	if !(h > 0) || !(alpha > 0 && alpha < 1) {
		return 1
	}
	return 1 + uint64(min(math.Ceil(-math.Log2(alpha)/h), 1<<53-1))
}

// AdaptiveProportionCutoff returns equation 7, the cutoff of the adaptive
// proportion test of NIST SP 800-90B §4.4.2,
//
//	C = 1 + critbinom(W, 2^−H, 1−α)
//
// in samples: a window of W samples in which the first one occurs C times, fails
// the test. h and alpha are those of [RepetitionCutoff], and so is C = 1 where
// they cannot be used, or window < 1. C can be W+1, which no window reaches:
// [NewAdaptiveProportion] takes W then.
func AdaptiveProportionCutoff(window int, h, alpha float64) int {
	if !(h > 0) || !(alpha > 0 && alpha < 1) || window < 1 {
		return 1
	}
	return 1 + criticalBinomial(window, h, alpha)
}

// tailRounding bounds the relative error of a sum of a few thousand terms, each
// from the logarithm of a factorial.
const tailRounding = 1e-10

// criticalBinomial is critbinom(n, 2^−h, 1−α): the smallest k for which
// P(X ≤ k) ≥ 1 − α, X binomial. P(X > k) ≤ α is asked instead, summed from the
// far end, where 1 − α would lose α's digits. A tail that differs from α by no
// more than its rounding is α: with H = 1 it can be, exactly. It takes O(n).
func criticalBinomial(n int, h, alpha float64) int {
	logP := -h * math.Ln2
	logQ := math.Log(-math.Expm1(logP))
	all, _ := math.Lgamma(float64(n + 1))
	var tail float64 // P(X > k)
	for k := n; k > 0; k-- {
		in, _ := math.Lgamma(float64(k + 1))
		out, _ := math.Lgamma(float64(n - k + 1))
		probability := all - in - out + float64(k)*logP
		if k < n { // 0·log 0 = 0
			probability += float64(n-k) * logQ
		}
		// P(X > k−1) = P(X > k) + P(X = k)
		tail += math.Exp(probability)
		if tail > alpha*(1+tailRounding) {
			return k
		}
	}
	return 0
}

// RepetitionCount is the repetition count test (6), run over every sample of a
// binary source. Its zero value has no cutoff and fails at once: use
// [NewRepetitionCount].
type RepetitionCount struct {
	Cutoff  uint64 // C
	Run     uint64 // equal samples in a row, up to the last one
	Longest uint64 // of all runs
	last    byte
}

// NewRepetitionCount makes the test for a source assessed at h bits a sample.
func NewRepetitionCount(h, alpha float64) RepetitionCount {
	return RepetitionCount{Cutoff: RepetitionCutoff(h, alpha)}
}

// Add takes the next sample, 0 or 1, and says whether the test passes.
func (r *RepetitionCount) Add(bit byte) bool {
	if r.Run > 0 && bit == r.last {
		r.Run++
	} else {
		r.last, r.Run = bit, 1
	}
	r.Longest = max(r.Longest, r.Run)
	return r.Run < r.Cutoff
}

// AdaptiveProportion is the adaptive proportion test (7), run over every sample
// of a binary source, window after window. Its zero value has no window and
// fails at once: use [NewAdaptiveProportion].
type AdaptiveProportion struct {
	Window  int // W
	Cutoff  int // C
	Count   int // samples in this window that equal its first, which is one of them
	Largest int // count of all windows
	first   byte
	seen    int
}

// NewAdaptiveProportion makes the test for a source assessed at h bits a sample.
// The cutoff is at most the window: a test that cannot fail is none.
func NewAdaptiveProportion(window int, h, alpha float64) AdaptiveProportion {
	return AdaptiveProportion{Window: window, Cutoff: min(AdaptiveProportionCutoff(window, h, alpha), window)}
}

// Add takes the next sample, 0 or 1, and says whether the test passes.
func (a *AdaptiveProportion) Add(bit byte) bool {
	if a.seen == 0 {
		a.first, a.Count = bit, 0
	}
	if bit == a.first {
		a.Count++
	}
	a.seen++
	if a.seen >= a.Window {
		a.seen = 0
	}
	a.Largest = max(a.Largest, a.Count)
	return a.Count < a.Cutoff
}

// BitStatistics counts what the estimates of a binary source (3, 4, 5) are made
// of. The zero value has seen nothing.
type BitStatistics struct {
	Counts      [2]uint64    // of 0 and of 1
	Transitions [2][2]uint64 // [a][b]: b followed a
	last        byte
}

// Add takes the next sample, of which the lowest bit counts.
func (s *BitStatistics) Add(bit byte) {
	bit &= 1
	if s.Counts[0]+s.Counts[1] > 0 {
		s.Transitions[s.last][bit]++
	}
	s.Counts[bit]++
	s.last = bit
}

// Samples is how many there were.
func (s *BitStatistics) Samples() uint64 { return s.Counts[0] + s.Counts[1] }
