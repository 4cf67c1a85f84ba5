package governor

import (
	"slices"
	"strings"

	"github.com/entroos/entroos/equations"
)

// Status is what people are told of the box's resources. Shares are of all its
// CPUs.
type Status struct {
	Target float64 // Ungoverned is none
	// Utilisation is what is used, smoothed; Measured says that it is known.
	Utilisation float64
	Measured    bool
	// Quota is what the workloads may use together; 1 without a governor.
	Quota float64
	// ThrottleRatio is the share of the last interval's periods in which the
	// workloads ran out of it.
	ThrottleRatio float64
	// MemoryPressure is the share of the last interval in which all tasks waited
	// for memory.
	MemoryPressure float64
	// Brake says why nothing new is placed; empty when it is.
	Brake string
	// Watts that the CPU packages take; 0 where they do not tell.
	Watts float64
}

// Status tells how things are.
func (g *Governor) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{
		Target: g.target, Utilisation: g.seen.smooth, Measured: g.seen.utilisation.Elapsed > 0, Quota: Ungoverned,
		ThrottleRatio: equations.ThrottleRatio(g.seen.throttling.throttled, g.seen.throttling.periods), Brake: g.brake.why,
	}
	if g.facts != nil {
		s.Quota = g.state.Quota
	}
	if len(g.seen.pressure) > 0 {
		s.MemoryPressure = g.seen.pressure[memoryPressure].Share
	}
	for _, d := range g.energy {
		if strings.HasPrefix(d.facts.Domain, "package") {
			s.Watts += d.watts
		}
	}
	return s
}

// Facts fills the parts of a node's telemetry that are the governor's. What the
// kernel holds for each container is read now.
func (g *Governor) Facts(t *equations.Telemetry) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.Smoothing = append(t.Smoothing, g.seen.smoothing...)
	t.Pressure = slices.Clone(g.seen.pressure)
	t.Fairness = g.fairness.comparison
	if u := g.seen.utilisation; u.Elapsed > 0 {
		t.Utilisation = &u
	}
	if g.facts != nil {
		facts := *g.facts
		facts.Step, facts.Saturated = g.step.facts()
		t.Governor = &facts
	}
	for _, d := range g.energy {
		if !d.at.IsZero() {
			t.Energy = append(t.Energy, d.facts)
		}
	}
	var err error
	t.Containers, err = g.containerFacts()
	return err
}
