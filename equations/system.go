package equations

import (
	"math"
	"time"
)

// This file is section S of the model, rows 65 to 70.

// RestartBackoff returns equation 65,
//
//	d_k = min(d_max, d₀·2^k)·(1 + U(−j, j))
//
// the delay before the k-th restart in a row, from 0: exponential, bounded, and
// spread by the jitter j so that what failed together does not return together.
// u in [0, 1) is the draw: U(−j, j) = j(2u − 1). So d_k is from min(…)·(1−j) to
// min(…)·(1+j). A negative k is 0; jitter and u are clamped to [0, 1], NaN is 0;
// it never overflows and is never negative.
func RestartBackoff(initial, limit time.Duration, k int, jitter, u float64) time.Duration {
	d := math.Min(float64(limit), math.Ldexp(float64(initial), min(max(k, 0), 1000)))
	return max(0, saturate(d*(1+clamp01(jitter)*(2*clamp01(u)-1))))
}

// BootProbability is p of equation 66,
//
//	p = (good + 1)/(boots + 2)
//
// Laplace's rule of succession: the probability that the next boot is good when
// good of boots were. It is in (0, 1): 1/2 when nothing is known. More good ones
// than boots count as all of them.
func BootProbability(good, boots uint64) float64 {
	good = min(good, boots)
	return (float64(good) + 1) / (float64(boots) + 2)
}

// UpdateAssurance returns equation 66,
//
//	P(boot) = 1 − (1−p)^t
//
// the probability that one of t counted tries boots, when each does with the
// probability p; in [0, 1]. No tries: 0. p is clamped to [0, 1], NaN is 0.
func UpdateAssurance(p float64, tries int) float64 {
	if tries <= 0 {
		return 0
	}
	p = clamp01(p)
	if p == 1 {
		return 1
	}
	return clamp01(-math.Expm1(float64(tries) * math.Log1p(-p)))
}

// PhiAccrual returns equation 67,
//
//	φ = −log₁₀ P_later(t − t_last)
//
// the suspicion that one whose last sign of life was elapsed ago has failed
// (N. Hayashibara et al., The φ Accrual Failure Detector, 2004): P_later is the
// probability that a sign comes later than that, when the intervals between
// signs are normal with this mean and standard deviation. φ = 8 is wrong once in
// 10⁸. It is ≥ 0, grows with elapsed, and stays finite. Without a deviation
// (zero, negative, NaN) a sign is due at the mean, and late after it: 0 or +Inf.
func PhiAccrual(elapsed, mean, deviation time.Duration) float64 {
	if deviation <= 0 {
		if elapsed <= mean {
			return 0
		}
		return math.Inf(1)
	}
	x := (float64(elapsed) - float64(mean)) / float64(deviation) / math.Sqrt2
	if x < 20 {
		return max(0, -math.Log10(math.Erfc(x)/2))
	}
	// erfc underflows; erfc(x) = e^(−x²)/(x√π)·(1 − 1/(2x²) + O(x⁻⁴)).
	return (x*x+math.Log(x)+math.Log(math.Pi)/2-math.Log1p(-1/(2*x*x)))/math.Ln10 + math.Log10(2)
}

// heartbeats is how many intervals an Arrivals remembers.
const heartbeats = 64

// Arrivals remembers the last intervals between the signs of life of one node or
// service, for equation 67. The zero value has seen none.
type Arrivals struct {
	intervals [heartbeats]time.Duration
	n         int // ever seen
}

// Add takes the interval between the last two signs. A negative one, of a clock
// that was set back, is left out.
func (a *Arrivals) Add(interval time.Duration) {
	if interval < 0 {
		return
	}
	a.intervals[a.n%heartbeats] = interval
	a.n++
	if a.n == 2*heartbeats {
		a.n = heartbeats // full either way; n does not grow without end
	}
}

// Phi is φ (67) when the last sign was elapsed ago. floor is the least standard
// deviation that is assumed: regular intervals are no promise. Before two
// intervals are known nothing is suspected: 0.
func (a *Arrivals) Phi(elapsed, floor time.Duration) float64 {
	n := min(a.n, heartbeats)
	if n < 2 {
		return 0
	}
	var mean, square float64
	for _, i := range a.intervals[:n] {
		mean += float64(i) / float64(n)
	}
	for _, i := range a.intervals[:n] {
		d := float64(i) - mean
		square += d * d / float64(n)
	}
	return PhiAccrual(elapsed, saturate(mean), max(saturate(math.Sqrt(square)), floor))
}

// Bounds of the retransmission timer: RFC 6298 §2.1 and §2.4 have 1 s for the
// first and the least, §2.5 allows a most of at least 60 s.
const (
	InitialRTO = time.Second
	MinRTO     = time.Second
	MaxRTO     = 60 * time.Second
)

// RoundTrip is the state of the retransmission timer (68). The zero value has
// measured nothing.
type RoundTrip struct {
	SRTT   time.Duration // smoothed round-trip time
	RTTVAR time.Duration // its variation
	seen   bool
}

// Measure takes a round-trip time R into account, by RFC 6298 §2.2 and §2.3:
//
//	first:  SRTT = R, RTTVAR = R/2
//	after:  RTTVAR = ¾·RTTVAR + ¼·│SRTT − R│, then SRTT = ⅞·SRTT + ⅛·R
//
// By Karn's rule (§3) what was sent more than once must not be measured. A
// negative R is left out.
func (t *RoundTrip) Measure(r time.Duration) {
	switch {
	case r < 0:
	case !t.seen:
		t.SRTT, t.RTTVAR, t.seen = r, r/2, true
	default:
		// Differences, which do not overflow.
		t.RTTVAR += ((t.SRTT - r).Abs() - t.RTTVAR) / 4
		t.SRTT += (r - t.SRTT) / 8
	}
}

// RetransmissionTimeout returns equation 68 (RFC 6298),
//
//	RTO = SRTT + max(G, 4·RTTVAR)
//
// where granularity is G, the clock's: how long to wait for an answer before one
// asks again. It is never below SRTT, and does not overflow. Before anything is
// measured it is InitialRTO. MinRTO and MaxRTO are the caller's to apply.
func RetransmissionTimeout(t RoundTrip, granularity time.Duration) time.Duration {
	if !t.seen {
		return InitialRTO
	}
	return max(t.SRTT, saturate(float64(t.SRTT)+math.Max(float64(granularity), 4*float64(t.RTTVAR))))
}

// TokenBucket returns equation 69,
//
//	tokens = min(b, tokens + rΔt)
//
// what a bucket of size burst holds after dt, filled at rate tokens a second; in
// [0, burst]. What is negative or NaN counts as 0.
func TokenBucket(tokens, rate, burst float64, dt time.Duration) float64 {
	positive := func(x float64) float64 {
		if x > 0 {
			return x
		}
		return 0
	}
	return min(positive(burst), positive(tokens)+positive(rate*max(dt, 0).Seconds()))
}

// Availability returns equation 70,
//
//	A = MTBF/(MTBF + MTTR)
//
// in [0, 1]: the share of the time that a service is up, from the mean time
// between its failures and the mean time to its repair; sums over the same number
// of failures do as well. What has been seen neither up nor down has not failed: 1.
// A negative time counts as 0.
func Availability(mtbf, mttr time.Duration) float64 {
	up, down := float64(max(mtbf, 0)), float64(max(mttr, 0))
	if up+down == 0 {
		return 1
	}
	return up / (up + down)
}
