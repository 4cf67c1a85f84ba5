package equations

import (
	"fmt"
	"math"
	"math/cmplx"
	"time"
)

var resourceRows = []Row{
	{25, "resources", "Utilisation", "U = Δbusy / (Δt·ncpu)", "nko", "∈ [0,1]", "Utilisation", checkUtilisation},
	{26, "resources", "CPU quota", "Q = q_k·ncpu·P", "nko", "what the kernel holds = Q", "CPUQuota", checkCPUQuota},
	{27, "resources", "CPU weight", "cpu.weight = clamp(round(100·sᵢ/s̄), 1, 10000)", "nko", "the kernel holds it", "CPUWeight", checkCPUWeight},
	{28, "resources", "Entitlement", "eᵢ = wᵢ/Σw · q_k", "nko", "Σe = q_k", "Entitlement", checkEntitlement},
	{29, "resources", "Governor (PI)", "q_k = q_{k−1} + K_p(e_k − e_{k−1}) + K_iΔt·e_k", "nko", "within 1 point, 10 s after a step", "Governor.Step", checkGovernor},
	{30, "resources", "Governor stability", "poles of the closed loop", "nko", "all │z│ < 1", "Governor.Stable", checkStability},
	{31, "resources", "Headroom", "C_n − U_n", "nko, router", "≥ 0", "Headroom", checkHeadroom},
	{32, "resources", "Memory throttle", "memory.high = max(β·max, max − 16 MiB)", "nko", "high < max", "MemoryHigh", checkMemoryHigh},
	{33, "resources", "Pressure (PSI)", "Δtotal / Δt", "nko", "∈ [0,1]", "PressureShare", checkPressure},
	{34, "resources", "Throttle ratio", "Δnr_throttled / Δnr_periods", "nko", "∈ [0,1]", "ThrottleRatio", checkThrottling},
	{35, "resources", "Half-life smoothing", "λ = 2^(−Δt/h)", "nko", "λ ∈ (0,1)", "Decay", checkDecay},
	{36, "resources", "Little's law", "L = λW", "router", "within 1 % between empty queues", "LittlesLaw", checkLittle},
	{37, "resources", "Sojourn, M/M/1", "W = 1/(μ−λ)", "ledger", "λ < μ or submissions held back", "SojournTime", checkSojourn},
	{38, "resources", "Dominant share (DRF)", "max_r demand_r / capacity_r", "router", "∈ [0,1]", "DominantShare", checkDominantShare},
	{39, "resources", "Target error", "│U − T│ / T", "nko, simulate", "≤ 0.05 at saturation", "TargetError", checkTargetError},
	{40, "resources", "Energy", "ΔE = ((e₁ − e₀) mod 2ⁿ)·unit", "nko", "≥ 0", "Energy", checkEnergy},
}

const (
	noGovernor  = "the CPU governor has had nothing to hold yet"
	noContainer = "no container runs"
)

func checkUtilisation(t *Telemetry) Verdict {
	return one(t.Utilisation, "the CPUs' utilisation has not been measured yet", func(f *UtilisationFacts) observation {
		u := Utilisation(f.Busy, f.Elapsed, f.CPUs)
		if !same(u, f.Utilisation) {
			return seen("", u, false, notRecomputed, f.Utilisation, u)
		}
		// The counters are read a moment apart; more is a mistake.
		raw := float64(f.Busy) / (float64(f.Elapsed) * float64(f.CPUs))
		return seen("", u, within(raw, 0, 1.05), "%v busy in %v of %d CPUs", f.Busy, f.Elapsed, f.CPUs)
	})
}

func checkCPUQuota(t *Telemetry) Verdict {
	return one(t.Governor, noGovernor, func(f *GovernorFacts) observation {
		q := CPUQuota(f.After.Quota, f.CPUs, f.Period)
		return seen("", f.After.Quota, q == f.Quota, "the kernel holds %v per %v, Q is %v", f.Quota, f.Period, q)
	})
}

func checkCPUWeight(t *Telemetry) Verdict {
	return over(t.Containers, noContainer, func(f *ContainerFacts) observation {
		w := CPUWeight(f.Share, f.MeanShare)
		return seen(f.Container, float64(w), w == f.Weight, "the kernel holds a weight of %d, not %d", f.Weight, w)
	})
}

func checkEntitlement(t *Telemetry) Verdict {
	switch {
	case t.Governor == nil:
		return Verdict{NotApplicable, noGovernor}
	case len(t.Containers) == 0:
		return Verdict{NotApplicable, noContainer}
	}
	var total uint64
	for _, c := range t.Containers {
		total += c.Weight
	}
	quota, sum := t.Governor.After.Quota, 0.0
	for _, c := range t.Containers {
		e := Entitlement(c.Weight, total, quota)
		if !same(e, c.Entitlement) {
			return Verdict{Fail, c.Container + ": " + fmt.Sprintf(notRecomputed, c.Entitlement, e)}
		}
		sum += c.Entitlement
	}
	text := fmt.Sprintf("Σe = %s, q_k = %s", number(sum), number(quota))
	if !same(sum, quota) {
		return Verdict{Fail, text}
	}
	return Verdict{Pass, text}
}

// settlingTime is how long after a step of the demand the governor may be more
// than settlingBand off.
const (
	settlingTime = 10 * time.Second
	settlingBand = 0.01
)

func checkGovernor(t *Telemetry) Verdict {
	if t.Governor == nil {
		return Verdict{NotApplicable, noGovernor}
	}
	return one(t.Governor, "the demand has not risen above the target and stayed for 10 s", func(f *GovernorFacts) observation {
		if want := f.Governor.Step(f.Before, f.Utilisation, f.Elapsed); !same(want.Quota, f.After.Quota) || !same(want.Error, f.After.Error) {
			return seen("", 0, false, notRecomputed, f.After.Quota, want.Quota)
		}
		settled, off := false, 0.0
		for _, s := range f.Step {
			if s.After < settlingTime {
				continue
			}
			settled = true
			if d := math.Abs(s.Utilisation - f.Target); !(d <= settlingBand) {
				return seen("", d, false, "U = %.4f, %v after a step; T = %v", s.Utilisation, s.After, f.Target)
			} else if d > off {
				off = d
			}
		}
		if !settled {
			return observation{skip: true}
		}
		return observation{value: off}
	})
}

func checkStability(t *Telemetry) Verdict {
	return one(t.Governor, noGovernor, func(f *GovernorFacts) observation {
		z1, z2 := f.Poles(f.Interval)
		largest := max(cmplx.Abs(z1), cmplx.Abs(z2))
		return seen("", largest, largest < 1 && f.Stable(f.Interval), "poles at %.4g and %.4g", z1, z2)
	})
}

func checkHeadroom(t *Telemetry) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	for i := range t.Placement.Decisions {
		d := &t.Placement.Decisions[i]
		if d.Chosen < 0 || d.Chosen >= len(d.Candidates) {
			continue
		}
		c := &d.Candidates[d.Chosen]
		// Commitments are integers; as shares their sum may be off by a rounding.
		if !Fits(c.Capacity, c.Usage, d.Demand) && !same(c.Usage+d.Demand, c.Capacity) {
			return Verdict{Fail, fmt.Sprintf("%s: a demand of %v on %s, where %v of %v were taken", d.Replica, d.Demand, c.Node, c.Usage, c.Capacity)}
		}
	}
	return over(t.Placement.Nodes, "the router knows no node", func(n *NodeFacts) observation {
		h := Headroom(n.Capacity, n.Usage)
		return seen(n.Node, h, h >= 0, "%v used of %v", n.Usage, n.Capacity)
	})
}

// page is the unit in which the kernel keeps memory limits.
const page = 4096

func checkMemoryHigh(t *Telemetry) Verdict {
	return over(t.Containers, "no container with a memory limit runs", func(f *ContainerFacts) observation {
		if f.MemoryMax == 0 {
			return observation{skip: true}
		}
		high := MemoryHigh(f.MemoryMax)
		ok := f.MemoryHigh < f.MemoryMax && f.MemoryHigh <= high && high-f.MemoryHigh < page
		return seen(f.Container, float64(f.MemoryHigh), ok, "the kernel holds memory.high %d below a limit of %d, not %d", f.MemoryHigh, f.MemoryMax, high)
	})
}

func checkPressure(t *Telemetry) Verdict {
	return over(t.Pressure, "the kernel tells no pressure", func(f *PressureFacts) observation {
		p := PressureShare(f.Stalled, f.Elapsed)
		// As of the CPUs' time (25): more is a mistake.
		if raw := float64(f.Stalled) / float64(f.Elapsed); !within(raw, 0, 1.05) {
			return seen(f.Resource, raw, false, "%v stalled in %v", f.Stalled, f.Elapsed)
		}
		return seen(f.Resource, p, within(f.Share, 0, 1) && same(p, f.Share), notRecomputed, f.Share, p)
	})
}

func checkThrottling(t *Telemetry) Verdict {
	return over(t.Containers, noContainer, func(f *ContainerFacts) observation {
		r := ThrottleRatio(f.Throttled, f.Periods)
		return seen(f.Container, r, f.Throttled <= f.Periods && same(r, f.ThrottleRatio), "throttled in %d of %d periods, %v", f.Throttled, f.Periods, f.ThrottleRatio)
	})
}

func checkDecay(t *Telemetry) Verdict {
	return over(t.Smoothing, "nothing has been smoothed yet", func(f *SmoothingFacts) observation {
		lambda := Decay(f.Elapsed, f.HalfLife)
		return seen(f.Quantity, lambda, f.Lambda > 0 && f.Lambda < 1 && same(lambda, f.Lambda), notRecomputed, f.Lambda, lambda)
	})
}

func checkLittle(t *Telemetry) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	return one(t.Placement.Queue, "the placement queue has not been filled and emptied yet", func(f *QueueFacts) observation {
		if f.Arrivals == 0 || f.Elapsed <= 0 {
			return observation{skip: true}
		}
		length := f.Length.Seconds() / f.Elapsed.Seconds()
		law := LittlesLaw(float64(f.Arrivals)/f.Elapsed.Seconds(), f.Sojourn/time.Duration(f.Arrivals))
		return seen("", length, math.Abs(length-law) <= 0.01*length+1e-9, "L = %v, λW = %v", length, law)
	})
}

func checkSojourn(t *Telemetry) Verdict {
	return one(t.BackPressure, "the ledger holds nothing back", func(f *BackPressureFacts) observation {
		w, stable := SojournTime(f.ServiceRate, f.ArrivalRate)
		if !stable {
			return seen("", f.ArrivalRate, f.HeldBack, "λ = %v, μ = %v, and nothing is held back", f.ArrivalRate, f.ServiceRate)
		}
		return seen("", w.Seconds(), (w-f.Sojourn).Abs() <= time.Microsecond, notRecomputed, f.Sojourn.Seconds(), w.Seconds())
	})
}

func checkDominantShare(t *Telemetry) Verdict {
	return candidates(t, func(d *DecisionFacts, c *CandidateFacts) observation {
		if len(c.Capacities) == 0 {
			return observation{skip: true} // the node has left
		}
		share := DominantShare(d.Demands, c.Capacities)
		return seen("", share, within(c.DominantShare, 0, 1) && same(share, c.DominantShare), notRecomputed, c.DominantShare, share)
	})
}

func checkTargetError(t *Telemetry) Verdict {
	if t.Governor == nil {
		return Verdict{NotApplicable, noGovernor}
	}
	return one(t.Governor, "the demand is not above the target", func(f *GovernorFacts) observation {
		if f.Saturated == nil {
			return observation{skip: true}
		}
		u := Utilisation(f.Saturated.Busy, f.Saturated.Elapsed, f.Saturated.CPUs)
		off := TargetError(u, f.Target)
		return seen("", off, within(off, 0, 0.05), "U = %.4f, T = %v", u, f.Target)
	})
}

func checkEnergy(t *Telemetry) Verdict {
	return over(t.Energy, "the CPU counts no energy (RAPL)", func(f *EnergyFacts) observation {
		e := Energy(f.Before, f.After, f.Span, f.Unit)
		return seen(f.Domain, e, f.Energy >= 0 && same(e, f.Energy), notRecomputed, f.Energy, e)
	})
}
