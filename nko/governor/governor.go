package governor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

// The pace, and P of equation 26.
const (
	// Interval is Δt of the controller while the box is under load.
	Interval = time.Second
	// restInterval is the time between two looks at a box that is not.
	restInterval = 5 * time.Second
	// emptyInterval is that of a box that runs no container.
	emptyInterval = 30 * time.Second
	// restAfter is how many Intervals without load there are before it rests.
	restAfter = 10
	// Period of the quota. The kernel counts a CPU's time in ticks, and throttles
	// at a tick: it counts half a tick too much each time that a workload is let
	// go. Of the kernel's default period of 100 ms that is two points of a
	// hundred, of this one less than one.
	Period = 250 * time.Millisecond
	// longestStart bounds how long a container's start may have all CPUs.
	longestStart = 5 * time.Second
	// longestStep bounds the Δt of a step: what was late is not made up for.
	longestStep = 2 * Interval
	// halfLife is that of the utilisation which people are told.
	halfLife = 10 * time.Second
)

// Ungoverned is the target of a box whose workloads have no quota.
const Ungoverned = 1

// Container is a container that runs.
type Container struct {
	ID    string
	Share uint64 // of the CPU, against the others'
}

// Config says what is governed, and by which files of the kernel.
type Config struct {
	Cgroup string // where cgroup2 is mounted
	Proc   string // where procfs is
	Sys    string // where sysfs is
	CPUs   int
	Target float64 // T, in (0, 1]; Ungoverned is none
	// Containers gives those that run.
	Containers func() []Container
	// Making says whether a container is being made, which Wake tells of.
	Making func() bool
	Logger *slog.Logger
}

// Governor is the box's CPU governor. Its zero value is not usable: use New.
type Governor struct {
	config  Config
	cgroups cgroups
	changed chan struct{} // the target or the containers have changed

	mu         sync.Mutex
	target     float64
	controller equations.Governor
	state      equations.GovernorState
	held       quota // what the kernel holds for the workloads
	retarget   bool  // the controller is not that of target

	haste  time.Time // since when a container's start has all CPUs; zero: none has
	active bool      // the box is under load
	calm   int       // Intervals without load in a row
	last   counters
	seen   observation
	facts  *equations.GovernorFacts // of the last step; nil when ungoverned
	step   *stepWatch               // nil while the demand is below the target

	weighed  []Container       // those that weights were made for
	weights  map[string]uint64 // as set, by container
	fairness fairness
	brake    brake
	energy   []energyDomain
}

// observation is what was seen in the last interval.
type observation struct {
	utilisation equations.UtilisationFacts
	smooth      float64
	workloads   float64 // the utilisation by these alone, smoothed likewise
	system      float64 // and by all else, as it was
	smoothing   []equations.SmoothingFacts
	throttling  throttling // Δ of it
	pressure    []equations.PressureFacts
}

// New makes a Governor. It refuses a target that is none, and gains that would
// not settle (equation 30).
func New(c Config) (*Governor, error) {
	g := &Governor{
		config: c, cgroups: cgroups{root: c.Cgroup}, changed: make(chan struct{}, 1), target: c.Target,
		weights: make(map[string]uint64), brake: newBrake(), retarget: true,
	}
	if c.CPUs < 1 {
		return nil, fmt.Errorf("governor: a box with %d CPUs", c.CPUs)
	}
	return g, g.check(c.Target)
}

// check says whether a target can be held.
func (g *Governor) check(target float64) error {
	if !(target > 0 && target <= Ungoverned) {
		return fmt.Errorf("governor: a target of %v is no fraction above 0 and up to 1", target)
	}
	if !equations.NewGovernor(target).Stable(Interval) {
		z1, z2 := equations.NewGovernor(target).Poles(Interval)
		return fmt.Errorf("governor: it would not settle: the closed loop's poles are %v and %v", z1, z2)
	}
	return nil
}

// SetTarget makes another target hold, from now on.
func (g *Governor) SetTarget(target float64) error {
	if err := g.check(target); err != nil {
		return err
	}
	g.mu.Lock()
	if target != g.target {
		g.target, g.retarget = target, true
	}
	g.mu.Unlock()
	g.Wake()
	return nil
}

// Wake says that containers have started or ended.
func (g *Governor) Wake() {
	select {
	case g.changed <- struct{}{}:
	default: // it will look in any case
	}
}

// Serve governs until ctx ends. Then the workloads have no quota any more: they
// end at full speed.
func (g *Governor) Serve(ctx context.Context) (err error) {
	defer func() {
		if rerr := g.release(); rerr != nil {
			err = rerr
		}
	}()
	if err := g.begin(); err != nil {
		return err
	}
	for {
		timer := time.NewTimer(g.pause())
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-g.changed:
			err = g.follow()
		case <-timer.C:
			err = g.look()
		}
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// begin takes the first counts.
func (g *Governor) begin() (err error) {
	g.mu.Lock()
	g.retarget, g.active, g.step, g.haste = true, false, nil, time.Time{}
	clear(g.weights)
	g.energy = findEnergy(g.config.Sys)
	g.last, err = g.count()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.follow()
}

// pause is the time until the next look.
func (g *Governor) pause() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	interval := restInterval
	switch {
	case g.active || g.brake.held():
		interval = Interval
	case len(g.weighed) == 0:
		interval = emptyInterval
	}
	return max(0, interval-time.Since(g.last.at))
}

// follow takes up the target and the containers as they are now.
func (g *Governor) follow() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh, err := g.weigh(g.config.Containers())
	if err != nil {
		return err
	}
	making := g.config.Making()
	if !g.retarget && !fresh && !making && g.haste.IsZero() {
		return nil
	}
	if g.retarget {
		g.retarget, g.step = false, nil
		g.controller = equations.NewGovernor(g.target)
		if err := g.start(); err != nil {
			return err
		}
	}
	// Work may come: from here on it is looked at closely.
	g.active, g.calm = g.target < Ungoverned, 0
	if time.Since(g.last.at) > Interval || !making && !g.haste.IsZero() {
		if err := g.measure(); err != nil {
			return err
		}
	}
	return g.hasten(making)
}

// hasten lets a container that is being made while containers use less than half
// of the target have all CPUs: the target is one of the mean, and a start at a
// fifth of the speed helps nobody.
func (g *Governor) hasten(making bool) error {
	switch hurried := !g.haste.IsZero(); {
	case g.target >= Ungoverned:
		g.haste = time.Time{}
	case hurried && (!making || time.Since(g.haste) >= longestStart):
		g.haste = time.Time{}
		return g.start()
	case !hurried && making && g.step == nil && g.seen.workloads < g.target/2:
		g.haste = time.Now()
		return g.beginAt(equations.GovernorState{Quota: 1})
	}
	return nil
}

// start puts the controller where it begins: q₀ = T.
func (g *Governor) start() error { return g.beginAt(g.controller.Start()) }

// beginAt has the controller go on from a state.
func (g *Governor) beginAt(s equations.GovernorState) error {
	g.state, g.facts = s, nil
	if g.target >= Ungoverned {
		g.held = quota{}
		return g.cgroups.unlimited()
	}
	if err := g.hold(); err != nil {
		return err
	}
	g.facts = &equations.GovernorFacts{
		Governor: g.controller, CPUs: g.config.CPUs, Interval: Interval,
		Before: g.state, After: g.state, Period: g.held.period, Quota: g.held.quota,
	}
	return nil
}

// hold gives the workloads the quota of the controller's state, and reads back
// what the kernel holds (equation 26).
func (g *Governor) hold() (err error) {
	g.held, err = g.cgroups.limit(quota{quota: equations.CPUQuota(g.state.Quota, g.config.CPUs, Period), period: Period})
	return err
}

// release takes the quota away.
func (g *Governor) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retarget, g.facts, g.step = true, nil, nil
	return g.cgroups.unlimited()
}

// look measures, and does a step of the controller.
func (g *Governor) look() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.measure(); err != nil {
		return err
	}
	if g.target >= Ungoverned {
		return nil
	}
	if !g.haste.IsZero() {
		return g.hasten(g.config.Making())
	}
	u, throttled := g.seen.utilisation, g.seen.throttling
	loaded := u.Utilisation >= g.target/2 || throttled.throttled > 0
	switch {
	case !g.active:
		g.active, g.calm = loaded, 0
		return nil
	case loaded:
		g.calm = 0
	default:
		if g.calm++; g.calm >= restAfter {
			g.active, g.step = false, nil
			return g.start()
		}
	}
	if err := g.advance(min(u.Elapsed, longestStep)); err != nil {
		return err
	}
	return g.watchStep()
}

// advance does a step of the controller (equation 29).
func (g *Governor) advance(dt time.Duration) error {
	before := g.state
	g.state = g.controller.Step(before, g.seen.utilisation.Utilisation, dt)
	if err := g.hold(); err != nil {
		return err
	}
	g.facts = &equations.GovernorFacts{
		Governor: g.controller, CPUs: g.config.CPUs, Interval: Interval, Elapsed: dt,
		Utilisation: g.seen.utilisation.Utilisation, Before: before, After: g.state,
		Period: g.held.period, Quota: g.held.quota,
	}
	return nil
}
