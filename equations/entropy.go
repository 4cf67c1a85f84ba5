package equations

import "math"

// This file is section E of the model, rows 1 to 12. Distributions are given as
// counts of symbols: counts[i] is how often symbol i occurred, len(counts) is
// │A│, the size of the alphabet. Logarithms are base 2, entropies are in bits.

// sum is the number of symbols counted, as a float64 so that it does not
// overflow.
func sum(counts []uint64) float64 {
	var n float64
	for _, c := range counts {
		n += float64(c)
	}
	return n
}

// most is the largest count.
func most(counts []uint64) uint64 {
	var m uint64
	for _, c := range counts {
		m = max(m, c)
	}
	return m
}

// ShannonEntropy returns equation 1,
//
//	H(X) = −Σ pᵢ log pᵢ
//
// in bits per symbol, 0 ≤ H ≤ log│A│, where pᵢ is the share of symbol i and
// 0·log 0 = 0 (C. E. Shannon, A Mathematical Theory of Communication, 1948).
// Of nothing, or of one symbol only, it is 0. It allocates nothing.
func ShannonEntropy(counts []uint64) float64 {
	n := sum(counts)
	if n == 0 {
		return 0
	}
	var h float64
	for _, c := range counts {
		if c > 0 {
			p := float64(c) / n
			h -= p * math.Log2(p)
		}
	}
	// The sum's rounding must not break the bound.
	return min(max(h, 0), math.Log2(float64(len(counts))))
}

// NormalisedEntropy returns equation 2,
//
//	Ĥ = H / log│A│
//
// in [0, 1]: the share of an alphabet's entropy that is there. An alphabet of
// at most one symbol has none: 0. NaN is 0.
func NormalisedEntropy(h float64, alphabet int) float64 {
	if alphabet < 2 {
		return 0
	}
	return clamp01(h / math.Log2(float64(alphabet)))
}

// z99 is the standard normal quantile of a two-sided 99 % interval, as SP
// 800-90B rounds it.
const z99 = 2.576

// MostCommonValueEntropy returns equation 3, the most common value estimate of
// min-entropy of NIST SP 800-90B §6.3.1,
//
//	p_u = min(1, p̂ + 2.576·√(p̂(1−p̂)/(L−1))), H∞ = −log p_u
//
// in bits per symbol, in [0, log│A│], where p̂ is the share of the most common
// symbol among L. It never exceeds [CollisionEntropy] of the same counts. For
// L < 2, of which nothing can be said, it is 0.
func MostCommonValueEntropy(counts []uint64) float64 {
	l := sum(counts)
	if l < 2 {
		return 0
	}
	p := float64(most(counts)) / l
	pu := min(1, p+z99*math.Sqrt(p*(1-p)/(l-1)))
	return max(0, -math.Log2(pu))
}

// CollisionEntropy returns equation 4, the Rényi entropy of order 2,
//
//	H₂ = −log Σ pᵢ²
//
// in bits per symbol, H∞ ≤ H₂ ≤ H (A. Rényi, On Measures of Entropy and
// Information, 1961). Of nothing it is 0.
func CollisionEntropy(counts []uint64) float64 {
	n := sum(counts)
	if n == 0 {
		return 0
	}
	var s float64
	for _, c := range counts {
		p := float64(c) / n
		s += p * p
	}
	return min(max(-math.Log2(s), 0), math.Log2(float64(len(counts))))
}

// markovPath is the number of steps of the path whose probability is bounded.
const markovPath = 128

// MarkovEntropy returns equation 5, the Markov estimate of min-entropy of NIST
// SP 800-90B §6.3.3 for a binary source,
//
//	H∞ = min(1, −log p̂_max / 128)
//
// in bits per bit, in [0, 1], where p̂_max is the probability of the most likely
// path of 128 bits through the first-order chain: the larger of the shares of
// 0 and 1 at its start, then the shares of the transitions. counts are those of
// 0 and of 1, transitions[a][b] how often b followed a.
//
// The standard looks at six paths: the constant ones, the alternating ones, and
// those of which the first bit alone differs. So does this, though a chain that
// is far from stationary can have a path that is a few steps' worth more likely.
// Of fewer than two bits nothing can be said: 0.
func MarkovEntropy(counts [2]uint64, transitions [2][2]uint64) float64 {
	n := sum(counts[:])
	if n < 2 {
		return 0
	}
	// Logarithms, since the products underflow: log 0 is −Inf, which no
	// maximum takes.
	var start [2]float64
	var step [2][2]float64
	for a := range 2 {
		start[a] = math.Log2(float64(counts[a]) / n)
		from := sum(transitions[a][:])
		for b := range 2 {
			step[a][b] = math.Inf(-1)
			if transitions[a][b] > 0 {
				step[a][b] = math.Log2(float64(transitions[a][b]) / from)
			}
		}
	}
	best := math.Inf(-1)
	for a := range 2 {
		if counts[a] == 0 {
			continue // no path begins here
		}
		b := 1 - a
		best = max(best,
			start[a]+times(markovPath-1, step[a][a]),                                   // aaa…a
			start[a]+times(markovPath/2, step[a][b])+times(markovPath/2-1, step[b][a]), // abab…ab
			start[a]+step[a][b]+times(markovPath-2, step[b][b]),                        // abb…b
		)
	}
	// A chain that ran into its end has no path of 128 steps, and is no source.
	if math.IsInf(best, -1) {
		return 0
	}
	return clamp01(-best / markovPath)
}

// times is n·x.
func times(n int, x float64) float64 { return float64(n) * x }

// NodeEntropy returns equation 8, E_n: the smaller of the most common value
// estimate (3) and the Markov estimate (5), both per bit, clamped to [0, 1]; 0
// when a health test (6, 7) fails. NaN is 0.
func NodeEntropy(mostCommonValue, markov float64, healthy bool) float64 {
	if !healthy {
		return 0
	}
	return clamp01(min(mostCommonValue, markov)) // min gives NaN for NaN
}

// ContainerEntropy returns equation 9, E_c: the normalised entropy (2) over the
// bytes of an image's uncompressed layers, in [0, 1]. Of an empty image it is 0.
func ContainerEntropy(h *Histogram) float64 {
	return NormalisedEntropy(ShannonEntropy(h[:]), len(h))
}

// KullbackLeibler returns equation 10, the divergence
//
//	D(P‖Q) = Σ pᵢ log(pᵢ/qᵢ)
//
// in bits, D ≥ 0, 0 only for equal distributions (S. Kullback, R. A. Leibler,
// On Information and Sufficiency, 1951). It is +Inf where P has a symbol that Q
// has not; 0 when either is empty, since nothing is known to differ; NaN for
// alphabets of different sizes, which cannot be compared.
func KullbackLeibler(p, q []uint64) float64 {
	if len(p) != len(q) {
		return math.NaN()
	}
	np, nq := sum(p), sum(q)
	if np == 0 || nq == 0 {
		return 0
	}
	var d float64
	for i := range p {
		switch {
		case p[i] == 0:
		case q[i] == 0:
			return math.Inf(1)
		default:
			a, b := float64(p[i])/np, float64(q[i])/nq
			d += a * math.Log2(a/b)
		}
	}
	return max(0, d)
}

// JensenShannon returns equation 11, the divergence
//
//	½D(P‖M) + ½D(Q‖M), M = ½(P+Q)
//
// in bits, in [0, 1], symmetric (J. Lin, Divergence Measures Based on the
// Shannon Entropy, 1991): 0 for equal distributions, 1 for those that share no
// symbol. It is 0 when either is empty; NaN for alphabets of different sizes.
func JensenShannon(p, q []uint64) float64 {
	if len(p) != len(q) {
		return math.NaN()
	}
	np, nq := sum(p), sum(q)
	if np == 0 || nq == 0 {
		return 0
	}
	var d float64
	for i := range p {
		a, b := float64(p[i])/np, float64(q[i])/nq
		m := (a + b) / 2
		if p[i] > 0 {
			d += a * math.Log2(a/m) / 2
		}
		if q[i] > 0 {
			d += b * math.Log2(b/m) / 2
		}
	}
	return clamp01(d)
}

// Smooth returns equation 12, exponential smoothing
//
//	E ← λE + (1−λ)E′
//
// of the old value with a new one: between the two, for λ in [0, 1], to which λ
// is clamped. λ for a time that has passed is [Decay] (35).
func Smooth(old, latest, lambda float64) float64 {
	l := clamp01(lambda)
	s := l*old + (1-l)*latest
	// Rounding must not leave the interval; min and max keep NaN.
	return min(max(s, min(old, latest)), max(old, latest))
}
