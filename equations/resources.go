package equations

import (
	"math"
	"math/cmplx"
	"time"
)

// This file is section U of the model, rows 25 to 40. Shares are of the whole
// node, in [0, 1], unless they are said to be something else.

// ratio is part/whole in [0, 1]; 0 when there is no whole.
func ratio(part, whole float64) float64 {
	if !(whole > 0) {
		return 0
	}
	return clamp01(part / whole)
}

// Utilisation returns equation 25,
//
//	U = Δbusy / (Δt·ncpu)
//
// in [0, 1]: the share of its CPUs' time that a node was busy. Counters are read
// a moment apart, so what exceeds 1 is 1. Without time or CPUs it is 0.
func Utilisation(busy, elapsed time.Duration, cpus int) float64 {
	return ratio(float64(busy), float64(elapsed)*float64(cpus))
}

// QuotaPeriod is P of the CPU quota (26), the kernel's default.
const QuotaPeriod = 100 * time.Millisecond

// minQuota is the smallest quota that the kernel takes.
const minQuota = time.Millisecond

// CPUQuota returns equation 26,
//
//	Q = q_k·ncpu·P
//
// rounded to whole microseconds: the CPU time per period that cgroup v2's
// cpu.max grants for the share q_k of cpus CPUs. It is at least 1 ms, below
// which the kernel refuses a quota, and at most cpus·P. share is clamped to
// [0, 1], NaN is 0; cpus is at least 1.
func CPUQuota(share float64, cpus int, period time.Duration) time.Duration {
	whole := float64(max(cpus, 1)) * float64(max(period, 0))
	q := math.Round(clamp01(share)*whole/float64(time.Microsecond)) * float64(time.Microsecond)
	return max(saturate(q), minQuota)
}

// saturate is the duration nearest to so many nanoseconds; NaN is 0.
func saturate(ns float64) time.Duration {
	switch {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	case ns != ns:
		return 0
	}
	return time.Duration(ns)
}

// Bounds of cgroup v2's cpu.weight, and its default.
const (
	minCPUWeight     = 1
	defaultCPUWeight = 100
	maxCPUWeight     = 10000
)

// CPUWeight returns equation 27,
//
//	cpu.weight = clamp(round(100·sᵢ/s̄), 1, 10000)
//
// for a share against the mean of the shares that compete, both in any one unit
// (routing scores, shares asked for). Without a mean there is nothing to compare
// with: 100, the kernel's default. A share that is negative or NaN weighs 1.
func CPUWeight(share, mean float64) uint64 {
	if !(mean > 0) || math.IsInf(mean, 1) {
		return defaultCPUWeight
	}
	w := math.Round(defaultCPUWeight * (share / mean))
	switch {
	case w >= maxCPUWeight:
		return maxCPUWeight
	case w > minCPUWeight:
		return uint64(w)
	}
	return minCPUWeight
}

// Entitlement returns equation 28,
//
//	eᵢ = wᵢ/Σw · q_k
//
// the share of the node that a container of weight wᵢ may have while all compete
// for q_k. The entitlements of all sum to q_k. Without weights it is 0.
func Entitlement(weight, total uint64, quota float64) float64 {
	return ratio(float64(weight), float64(total)) * clamp01(quota)
}

// Governor is the controller of the workloads' CPU quota (29): a proportional-
// integral one in its velocity form, so that the limits on q_k need no further
// protection against wind-up.
//
// Its stability (30) is judged on this model of what it governs: workloads that
// want more than they get use their quota, and that is seen one sample later,
// U_k = q_{k−1}.
type Governor struct {
	Target float64 // T
	Kp     float64 // proportional gain
	Ki     float64 // integral gain, per second
	// Min and Max bound q_k. Max is met while the workloads want less than T:
	// it is what they may use for the first moments when they want more.
	Min, Max float64
}

// NewGovernor is the controller for a target, with the gains that EntroOS uses:
// K_p = 0.1 and K_i = 0.6/s put the poles at 1/2 and −1/5 for Δt = 1 s and at
// −1/2 and 1/5 for 2 s, and are stable up to Δt = 3 s. q_k stays from T/4 to
// 1.25·T, at most 1: were it to rise further while little is wanted, a load that
// comes to want hardly more than T would stay above it by a point for over 10 s.
// target is clamped to [0, 1].
func NewGovernor(target float64) Governor {
	t := clamp01(target)
	return Governor{Target: t, Kp: 0.1, Ki: 0.6, Min: t / 4, Max: min(1, 1.25*t)}
}

// GovernorState is what a governor knows between two steps.
type GovernorState struct {
	Quota float64 // q_k, a share of the node
	Error float64 // e_k = T − U
}

// Start is the state before the first step: q₀ = T, no error.
func (g Governor) Start() GovernorState {
	return GovernorState{Quota: min(max(g.Target, g.Min), g.Max)}
}

// Step returns equation 29,
//
//	q_k = q_{k−1} + K_p(e_k − e_{k−1}) + K_iΔt·e_k, e = T − U
//
// within [Min, Max], for the utilisation measured over the dt that has passed. A
// utilisation that is NaN, or a dt ≤ 0, tells nothing: the state stays. It is
// bit-exact on every machine.
func (g Governor) Step(s GovernorState, utilisation float64, dt time.Duration) GovernorState {
	if math.IsNaN(utilisation) || dt <= 0 {
		return s
	}
	e := g.Target - clamp01(utilisation)
	q := s.Quota + float64(g.Kp*(e-s.Error)) + float64(float64(g.Ki*dt.Seconds())*e)
	return GovernorState{Quota: min(max(q, g.Min), g.Max), Error: e}
}

// Poles are those of the closed loop (30): with U_k = q_{k−1} the step (29) is
//
//	q_k = (1 − K_p − K_iΔt)·q_{k−1} + K_p·q_{k−2} + K_iΔt·T
//
// so they are the roots of z² + (K_p + K_iΔt − 1)z − K_p.
func (g Governor) Poles(dt time.Duration) (z1, z2 complex128) {
	b, c := g.Kp+g.Ki*dt.Seconds()-1, -g.Kp
	root := cmplx.Sqrt(complex(b*b-4*c, 0))
	// The root of the larger magnitude first, the other by Vieta: no digits
	// are lost by cancellation.
	if b > 0 {
		root = -root
	}
	z1 = (complex(-b, 0) + root) / 2
	if z1 != 0 {
		z2 = complex(c, 0) / z1
	}
	return z1, z2
}

// Stable returns equation 30: all poles of the closed loop are inside the unit
// circle. By Jury's criterion for z² + bz + c that is │c│ < 1, 1 + b + c > 0 and
// 1 − b + c > 0, here
//
//	│K_p│ < 1, K_iΔt > 0, 2K_p + K_iΔt < 2
//
// NaN is not stable.
func (g Governor) Stable(dt time.Duration) bool {
	i := g.Ki * dt.Seconds()
	return math.Abs(g.Kp) < 1 && i > 0 && 2*g.Kp+i < 2
}

// Headroom returns equation 31, C_n − U_n: what of a node is not committed, both
// as shares of the largest node. It is negative when the node is overcommitted.
func Headroom(capacity, usage float64) float64 { return capacity - usage }

// Fits says that a replica of demand d fits, U_n + d ≤ C_n (31). It is bit-exact
// on every machine. NaN does not fit.
func Fits(capacity, usage, demand float64) bool { return float64(usage+demand) <= capacity }

// memorySlack is the most that memory.high stays below memory.max.
const memorySlack = 16 << 20

// MemoryHigh returns equation 32,
//
//	memory.high = max(β·max, max − 16 MiB), β = 0.9
//
// in bytes, rounded down: where a container begins to be slowed, so that it is
// not killed at once at its limit. high < max for every max > 0.
func MemoryHigh(limit uint64) uint64 {
	tenth := limit / 10
	if limit%10 != 0 {
		tenth++
	}
	return limit - min(tenth, memorySlack)
}

// PressureShare returns equation 33,
//
//	share = Δtotal / Δt
//
// in [0, 1]: the share of the time in which tasks were stalled for a resource,
// from the total of the kernel's pressure stall information (PSI). Without time
// it is 0.
func PressureShare(stalled, elapsed time.Duration) float64 {
	return ratio(float64(stalled), float64(elapsed))
}

// ThrottleRatio returns equation 34,
//
//	Δnr_throttled / Δnr_periods
//
// in [0, 1]: the share of the periods in which a cgroup ran out of its quota.
// Without periods it is 0.
func ThrottleRatio(throttled, periods uint64) float64 {
	return ratio(float64(throttled), float64(periods))
}

// Decay returns equation 35,
//
//	λ = 2^(−Δt/h)
//
// the weight that is left to a value after Δt when it halves in each half-life
// h. It is in the open interval (0, 1) for all positive Δt and h. When no time
// has passed nothing is forgotten: 1. When the half-life is not positive,
// everything is: 0.
func Decay(elapsed, halfLife time.Duration) float64 {
	switch {
	case elapsed <= 0:
		return 1
	case halfLife <= 0:
		return 0
	}
	l := math.Exp2(-float64(elapsed) / float64(halfLife))
	return min(max(l, math.SmallestNonzeroFloat64), math.Nextafter(1, 0))
}

// LittlesLaw returns equation 36,
//
//	L = λW
//
// the mean number in a queue to which λ a second come and in which each stays W
// (J. D. C. Little, A Proof for the Queuing Formula L = λW, 1961). It is exact
// between two instants at which the queue is empty. What is negative or NaN is 0.
func LittlesLaw(arrivalsPerSecond float64, sojourn time.Duration) float64 {
	l := arrivalsPerSecond * sojourn.Seconds()
	if !(l > 0) {
		return 0
	}
	return l
}

// SojournTime returns equation 37,
//
//	W = 1/(μ−λ), λ < μ
//
// the mean time that a customer of an M/M/1 queue spends in it (L. Kleinrock,
// Queueing Systems I, 1975): λ a second come, μ a second can be served. When
// λ ≥ μ the queue has no steady state, and the second result is false; also for
// rates that are negative or NaN. Beyond 292 years it is that.
func SojournTime(serviceRate, arrivalRate float64) (time.Duration, bool) {
	if !(arrivalRate >= 0 && arrivalRate < serviceRate) {
		return 0, false
	}
	return saturate(float64(time.Second) / (serviceRate - arrivalRate)), true
}

// DominantShare returns equation 38,
//
//	max_r demand_r / capacity_r
//
// over the resources r (A. Ghodsi et al., Dominant Resource Fairness, 2011): in
// [0, 1] for a demand that the capacity can hold, above 1 for one that it
// cannot, +Inf for a demand on what there is none of. A resource that is not
// demanded, or not in both lists, has no share. It is bit-exact.
func DominantShare(demand, capacity []float64) float64 {
	var share float64
	for r := range min(len(demand), len(capacity)) {
		switch d, c := demand[r], capacity[r]; {
		case !(d > 0):
		case !(c > 0):
			return math.Inf(1)
		default:
			share = max(share, d/c)
		}
	}
	return share
}

// TargetError returns equation 39,
//
//	│U − T│ / T
//
// how far the utilisation is from its target, as a share of the target; ≥ 0. A
// target that is not positive is met by nothing: +Inf.
func TargetError(utilisation, target float64) float64 {
	if !(target > 0) {
		return math.Inf(1)
	}
	return math.Abs(utilisation-target) / target
}

// Energy returns equation 40,
//
//	ΔE = ((e₁ − e₀) mod 2ⁿ)·unit
//
// in the unit's own unit, ≥ 0, from two readings of a counter that wraps, at
// most once between them: RAPL's (Intel SDM vol. 3B §16.10). span is 2ⁿ, 0 for
// 2⁶⁴; the kernel's powercap gives it as max_energy_range_uj, with a unit of one
// microjoule. Readings outside the span are taken modulo it. A unit that is
// negative or NaN is 0.
func Energy(before, after, span uint64, unit float64) float64 {
	if !(unit > 0) {
		return 0
	}
	d := after - before // mod 2⁶⁴
	if span != 0 {
		before, after = before%span, after%span
		d = after - before
		if after < before {
			d += span
		}
	}
	return float64(d) * unit
}
