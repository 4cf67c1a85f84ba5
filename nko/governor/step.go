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
	// settling is how long the controller has after a step of the demand, and
	// the length of the windows over which it is judged: shorter ones would end
	// within the workloads' bursts.
	settling = 10 * time.Second
	// stepWindows is how many of the windows are kept, besides the first.
	stepWindows = 6
)

// stepWatch watches the utilisation from the moment on that the demand is above
// the target.
type stepWatch struct {
	began   time.Time
	windows []stepWindow // the last one is not over
	settled equations.UtilisationFacts
}

// stepWindow is the utilisation in a part of the time: that of each interval. Its
// median is where the controller has settled; a mean would have the moment of a
// command's start in it, too.
type stepWindow struct {
	after     time.Duration // its beginning
	length    time.Duration
	intervals []float64
}

func (w *stepWindow) median() float64 {
	sorted := slices.Sorted(slices.Values(w.intervals))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
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
	g.step.add(g.last.at, g.seen.utilisation)
	return g.watchFairness()
}

// add adds an interval that ends now.
func (s *stepWatch) add(now time.Time, u equations.UtilisationFacts) {
	after := now.Sub(s.began) - u.Elapsed
	if n := len(s.windows); n == 0 || s.windows[n-1].length >= settling {
		s.windows = append(s.windows, stepWindow{after: after})
		if len(s.windows) > stepWindows {
			s.windows = append(s.windows[:0], s.windows[1:]...)
		}
	}
	w := &s.windows[len(s.windows)-1]
	w.length += u.Elapsed
	w.intervals = append(w.intervals, u.Utilisation)
	if after >= settling {
		sum := &s.settled
		sum.Busy, sum.Elapsed, sum.CPUs = sum.Busy+u.Busy, sum.Elapsed+u.Elapsed, u.CPUs
		sum.Utilisation = equations.Utilisation(sum.Busy, sum.Elapsed, sum.CPUs)
	}
}

// facts are the windows that are over, and the time since it settled when that
// is long enough to tell something.
func (s *stepWatch) facts() (steps []equations.StepFacts, settled *equations.UtilisationFacts) {
	if s == nil {
		return nil, nil
	}
	for _, w := range s.windows {
		if w.length >= settling {
			steps = append(steps, equations.StepFacts{After: w.after, Utilisation: w.median()})
		}
	}
	if s.settled.Elapsed >= settling {
		u := s.settled
		settled = &u
	}
	return steps, settled
}
