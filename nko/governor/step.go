package governor

import (
	"slices"
	"time"

	"github.com/entroos/entroos/equations"
)

const (
	// saturated is the share of the periods in which the workloads ran out of
	// their quota from which on the demand is above the target. It is not more,
	// since a new quota lets them go within a period, which then does not count.
	saturated = 0.5
	// settling is how long the controller has after a step of the demand.
	settling = 10 * time.Second
	// judging is how long it is watched then: what it makes of the step is told
	// from what commands and services do meanwhile by the median of that time.
	judging = 30 * time.Second
)

// stepWatch watches the utilisation from the moment on that the demand is above
// the target.
type stepWatch struct {
	began   time.Time
	after   time.Duration // at which the judging began
	judged  time.Duration
	seen    []float64 // the utilisation in each interval of it
	settled equations.UtilisationFacts
}

// watchStep follows the demand's last step.
func (g *Governor) watchStep() error {
	t := g.seen.throttling
	if t.periods == 0 || equations.ThrottleRatio(t.throttled, t.periods) < saturated {
		g.step, g.fairness = nil, fairness{}
		return nil
	}
	if g.step == nil {
		g.step = &stepWatch{began: g.last.at.Add(-g.seen.utilisation.Elapsed)}
		g.fairness = fairness{}
	}
	// What services take beyond what the workloads must be left is nothing that a
	// quota of theirs could make up for: it tells nothing of the controller.
	if g.seen.system <= g.target-g.controller.Min {
		g.step.add(g.last.at, g.seen.utilisation)
	}
	return g.watchFairness()
}

// add adds an interval that ends now.
func (s *stepWatch) add(now time.Time, u equations.UtilisationFacts) {
	after := now.Sub(s.began) - u.Elapsed
	if after < settling {
		return
	}
	sum := &s.settled
	sum.Busy, sum.Elapsed, sum.CPUs = sum.Busy+u.Busy, sum.Elapsed+u.Elapsed, u.CPUs
	sum.Utilisation = equations.Utilisation(sum.Busy, sum.Elapsed, sum.CPUs)
	if s.judged >= judging {
		return
	}
	if len(s.seen) == 0 {
		s.after = after
	}
	s.judged += u.Elapsed
	s.seen = append(s.seen, u.Utilisation)
}

// facts are where it has settled, once it was judged, and the time since when
// that is long enough to tell something.
func (s *stepWatch) facts() (steps []equations.StepFacts, settled *equations.UtilisationFacts) {
	if s == nil {
		return nil, nil
	}
	if s.judged >= judging {
		sorted := slices.Sorted(slices.Values(s.seen))
		n := len(sorted)
		steps = append(steps, equations.StepFacts{After: s.after, Utilisation: (sorted[(n-1)/2] + sorted[n/2]) / 2})
	}
	if s.settled.Elapsed >= settling {
		u := s.settled
		settled = &u
	}
	return steps, settled
}
