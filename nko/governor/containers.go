package governor

import (
	"path/filepath"
	"strconv"
	"time"

	"github.com/entroos/entroos/equations"
)

// meanShare is s̄ of equation 27.
func meanShare(containers []Container) float64 {
	var sum float64
	for _, c := range containers {
		sum += float64(c.Share)
	}
	return sum / float64(max(1, len(containers)))
}

// weigh gives the containers their weights against each other (equation 27).
// fresh says that one of them was not there before.
func (g *Governor) weigh(containers []Container) (fresh bool, err error) {
	mean := meanShare(containers)
	before := g.weights
	g.weighed, g.weights = containers, make(map[string]uint64, len(containers))
	for _, c := range containers {
		weight := equations.CPUWeight(float64(c.Share), mean)
		was, known := before[c.ID]
		fresh = fresh || !known
		if !known || was != weight {
			err := write(filepath.Join(g.cgroups.container(c.ID), "cpu.weight"), strconv.FormatUint(weight, 10))
			if gone(err) {
				continue
			} else if err != nil {
				return fresh, err
			}
		}
		g.weights[c.ID] = weight
	}
	return fresh, nil
}

// fairness compares what containers received with what they were entitled to,
// over windows in which the demand was above the target.
type fairness struct {
	began      time.Time
	before     map[string]containerCounts
	quota      float64 // Σ q_k·Δt
	last       time.Time
	comparison *equations.FairnessFacts // of the last window
}

// containerCounts are a container's counters.
type containerCounts struct {
	used   time.Duration
	waited time.Duration // for a CPU
}

// watchFairness goes on with the window, and compares at its end.
func (g *Governor) watchFairness() error {
	f := &g.fairness
	if f.before != nil {
		f.quota += g.facts.Before.Quota * g.last.at.Sub(f.last).Seconds()
		f.last = g.last.at
		if g.last.at.Sub(f.began) < settling {
			return nil
		}
	}
	now := make(map[string]containerCounts, len(g.weights))
	for id := range g.weights {
		c, err := g.countContainer(id)
		if gone(err) {
			continue
		} else if err != nil {
			return err
		}
		now[id] = c
	}
	if f.before != nil {
		f.comparison = g.compare(f, now, g.last.at.Sub(f.began))
	}
	f.began, f.last, f.before, f.quota = g.last.at, g.last.at, now, 0
	return nil
}

func (g *Governor) countContainer(id string) (c containerCounts, err error) {
	dir := g.cgroups.container(id)
	stat, err := readCPUStat(dir)
	if err != nil {
		return c, err
	}
	c.used = stat.usage
	c.waited, err = readPressure(filepath.Join(dir, "cpu.pressure"), "some")
	return c, err
}

// throughout is the share of a window for which a container that ran or waited
// for a CPU was throttled throughout it.
const throughout = 0.95

// compare tells of those containers that wanted more CPU throughout the window.
func (g *Governor) compare(f *fairness, now map[string]containerCounts, elapsed time.Duration) *equations.FairnessFacts {
	var total uint64
	for id := range now {
		total += g.weights[id]
	}
	facts := new(equations.FairnessFacts)
	share := f.quota / elapsed.Seconds()
	for id, c := range now {
		before, ok := f.before[id]
		if !ok {
			continue
		}
		used := c.used - before.used
		if float64(used+c.waited-before.waited) < throughout*float64(elapsed) {
			continue
		}
		entitled := equations.Entitlement(g.weights[id], total, share) * float64(elapsed) * float64(g.config.CPUs)
		facts.Received = append(facts.Received, used)
		facts.Entitled = append(facts.Entitled, time.Duration(entitled))
	}
	if len(facts.Received) < 2 {
		return nil
	}
	return facts
}

// containerFacts are what the kernel holds for the containers now.
func (g *Governor) containerFacts() (all []equations.ContainerFacts, err error) {
	mean := meanShare(g.weighed)
	var total uint64
	for _, c := range g.weighed {
		dir := g.cgroups.container(c.ID)
		f := equations.ContainerFacts{Container: c.ID, Share: float64(c.Share), MeanShare: mean}
		for name, into := range map[string]*uint64{"cpu.weight": &f.Weight, "memory.max": &f.MemoryMax, "memory.high": &f.MemoryHigh} {
			if *into, err = readLimit(filepath.Join(dir, name)); err != nil {
				break
			}
		}
		if err == nil {
			err = g.containerThrottling(dir, &f)
		}
		if gone(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		total += f.Weight
		all = append(all, f)
	}
	for i := range all {
		all[i].Entitlement = equations.Entitlement(all[i].Weight, total, g.state.Quota)
	}
	return all, nil
}

// containerThrottling tells of the container's own quota since it began, or of
// the one that all share in the last interval.
func (g *Governor) containerThrottling(dir string, f *equations.ContainerFacts) error {
	own, err := readQuota(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return err
	}
	t := g.seen.throttling
	if own.quota != 0 {
		stat, err := readCPUStat(dir)
		if err != nil {
			return err
		}
		t = stat.throttling
	}
	f.Periods, f.Throttled = t.periods, t.throttled
	f.ThrottleRatio = equations.ThrottleRatio(t.throttled, t.periods)
	return nil
}
