package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/entroos/entroos/equations"
)

// How long a node is simulated for, in steps of the governor. Without load the
// quota rises to its limit; then the load comes at once, which is the worst
// step there is; then it stays.
const (
	step      = time.Second
	idleSteps = 10
	busySteps = 60
	// seenSteps are the last of the busy ones, over which utilisation is averaged.
	seenSteps = 30
	// nodeCPUs is how many CPUs a simulated node has: quotas are whole
	// microseconds of their time.
	nodeCPUs = 4
	// tolerance is how near to the target a settled node is: one point.
	tolerance = 0.01
)

// governed is what the governor made of one node.
type governed struct {
	utilisation float64 // mean over the last seenSteps
	settled     int     // seconds from the load's arrival to the last that is out of tolerance
	fairness    float64 // equation 22 over the containers; NaN with none
}

// load is what the containers of a node want, as shares of the node.
type load struct {
	demands []float64
	weights []uint64 // equation 27
	order   []int    // by rising demand for its weight: those are satisfied first
	total   uint64   // Σw
	used    []float64
}

func newLoad(demands []float64) *load {
	l := &load{demands: demands, weights: make([]uint64, len(demands)), order: make([]int, len(demands)), used: make([]float64, len(demands))}
	var sum float64
	for _, d := range demands {
		sum += d
	}
	for i, d := range demands {
		l.weights[i] = equations.CPUWeight(d, sum/float64(len(demands)))
		l.total += l.weights[i]
		l.order[i] = i
	}
	slices.SortFunc(l.order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(l.demands[a]/float64(l.weights[a]), l.demands[b]/float64(l.weights[b])),
			cmp.Compare(a, b))
	})
	return l
}

// share divides the quota, a share of the node, as the kernel does: each gets
// its entitlement (28), and what one leaves is the others', by weight. It
// returns the sum.
func (l *load) share(quota float64) float64 {
	left, weights := quota, l.total
	for _, i := range l.order {
		l.used[i] = min(l.demands[i], equations.Entitlement(l.weights[i], weights, left))
		left -= l.used[i]
		weights -= l.weights[i]
	}
	return quota - left
}

// fairness is Jain's index over what each received of what it was entitled to.
func (l *load) fairness(quota float64) float64 {
	x := make([]float64, len(l.used))
	for i := range x {
		x[i] = l.used[i] / min(l.demands[i], equations.Entitlement(l.weights[i], l.total, quota))
	}
	return equations.JainFairness(x)
}

// govern runs the governor (26, 29) over a node with the load.
func govern(g equations.Governor, demands []float64) governed {
	var (
		l      = newLoad(demands)
		state  = g.Start()
		result governed
		sum    float64
		last   float64
	)
	for k := range idleSteps + busySteps {
		quota := equations.CPUQuota(state.Quota, nodeCPUs, equations.QuotaPeriod)
		share := float64(quota) / float64(nodeCPUs*equations.QuotaPeriod)
		var utilisation float64
		if second := k - idleSteps; second >= 0 {
			used := l.share(share)
			busy := time.Duration(float64(used * float64(nodeCPUs*step)))
			utilisation = equations.Utilisation(busy, step, nodeCPUs)
			if equations.TargetError(utilisation, g.Target)*g.Target > tolerance {
				result.settled = second + 1
			}
			if second >= busySteps-seenSteps {
				sum += utilisation
			}
			last = share
		}
		state = g.Step(state, utilisation, step)
	}
	result.utilisation = sum / seenSteps
	result.fairness = l.fairness(last)
	return result
}
