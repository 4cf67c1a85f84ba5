package governor

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/entroos/entroos/equations"
)

// counters are the kernel's, at one moment.
type counters struct {
	at         time.Time
	busy       time.Duration // of all CPUs together
	workloads  time.Duration // what of it these were
	throttling throttling
	stalled    []time.Duration // in the order of resources
}

// resources are those that the kernel tells the pressure of. Of the CPU, the
// whole box cannot be short "fully".
var resources = []struct{ name, kind string }{{"cpu", "some"}, {"memory", "full"}, {"io", "full"}}

const memoryPressure = 1 // its index in resources

// count reads the counters.
func (g *Governor) count() (c counters, err error) {
	whole, err := readCPUStat(g.config.Cgroup)
	if err != nil {
		return c, err
	}
	workloads, err := readCPUStat(g.cgroups.workloads())
	if err != nil {
		return c, err
	}
	c.at, c.busy, c.workloads, c.throttling = time.Now(), whole.usage, workloads.usage, workloads.throttling
	for _, r := range resources {
		stalled, err := readPressure(filepath.Join(g.config.Proc, "pressure", r.name), r.kind)
		if err != nil {
			return c, err
		}
		c.stalled = append(c.stalled, stalled)
	}
	return c, nil
}

// measure takes what has happened since the last look.
func (g *Governor) measure() error {
	now, err := g.count()
	if err != nil {
		return err
	}
	last := g.last
	elapsed := now.at.Sub(last.at)
	if elapsed <= 0 {
		return nil
	}
	if now.busy < last.busy {
		return fmt.Errorf("governor: the box's CPU time went from %v back to %v", last.busy, now.busy)
	}
	g.last = now
	o := observation{
		utilisation: equations.UtilisationFacts{Busy: now.busy - last.busy, Elapsed: elapsed, CPUs: g.config.CPUs},
		throttling:  now.throttling.since(last.throttling),
	}
	u := equations.Utilisation(o.utilisation.Busy, elapsed, g.config.CPUs)
	o.utilisation.Utilisation = u
	o.workloads = equations.Utilisation(max(0, now.workloads-last.workloads), elapsed, g.config.CPUs)
	o.system = max(0, u-o.workloads)
	if o.smooth = u; g.seen.utilisation.Elapsed > 0 {
		lambda := equations.Decay(elapsed, halfLife)
		o.smooth = equations.Smooth(g.seen.smooth, u, lambda)
		o.workloads = equations.Smooth(g.seen.workloads, o.workloads, lambda)
		o.smoothing = []equations.SmoothingFacts{{
			Quantity: "utilisation", Elapsed: elapsed, HalfLife: halfLife, Lambda: lambda,
			Old: g.seen.smooth, Latest: u, Result: o.smooth,
		}}
	}
	for i, r := range resources {
		stalled := max(0, now.stalled[i]-last.stalled[i])
		o.pressure = append(o.pressure, equations.PressureFacts{
			Resource: r.name + " (" + r.kind + ")", Stalled: stalled, Elapsed: elapsed, Share: equations.PressureShare(stalled, elapsed),
		})
	}
	g.seen = o
	for i := range g.energy {
		if err := g.energy[i].read(now.at); err != nil {
			return err
		}
	}
	return g.applyBrake(o.pressure[memoryPressure].Share)
}
