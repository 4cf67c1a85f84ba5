package equations

import (
	"fmt"
	"math"
)

var routingRows = []Row{
	{13, "routing", "Routing score", "S = (E_n·E_c)²·(C_n − U_n) / (1 + │U_n − T│)", "router", "S ≤ C_n; falls as U_n rises", "RoutingScore", checkRoutingScore},
	{14, "routing", "Priority blend", "K = w·S/S_max + (1−w)·(1 − U_n/C_n)", "router", "K ∈ [0,1]", "PriorityBlend", checkPriorityBlend},
	{15, "routing", "Admission", "admit ⇔ S > θ and the replica fits", "router", "nothing admitted at or below θ", "Admit", checkAdmission},
	{16, "routing", "Traffic weight", "ωᵢ = Sᵢ/ΣSⱼ", "router", "Σω = 1", "TrafficWeights", checkTrafficWeights},
	{17, "routing", "Weighted rendezvous hash", "argmax −ωᵢ / ln h(key, i)", "router", "same key, same set → same choice", "RendezvousChoice", checkRendezvous},
	{18, "routing", "Slot apportionment", "slotsᵢ from M·ωᵢ by largest remainder", "router", "│slotsᵢ/M − ωᵢ│ < 1/M", "SlotApportionment", checkSlots},
	{19, "routing", "Disruption bound", "moved/total = the removed node's share", "router", "no key moves between survivors", "Disruption", checkDisruption},
	{20, "routing", "Pearson correlation", "r(E_n, containers on n)", "router, simulate", "∈ [−1,1]; ≥ 0.13 with ≥ 10 nodes and ≥ 50 containers", "PearsonCorrelation", checkPearson},
	{21, "routing", "Spearman rank correlation", "ρ(E_n, containers on n)", "router, simulate", "∈ [−1,1]", "SpearmanCorrelation", checkSpearman},
	{22, "routing", "Jain's fairness", "J = (Σx)²/(nΣx²)", "nko", "J ≥ 0.95 over throttled containers", "JainFairness", checkFairness},
	{23, "routing", "Routing success", "admitted / offered", "router", "≥ 0.95", "RoutingSuccess", checkRoutingSuccess},
	{24, "routing", "Best of d samples", "P = 1 − q^d; d = ⌈ln(1−c)/ln q⌉", "router", "share in the top 5 % ≥ 0.95", "SampleSize", checkSampling},
}

const (
	noRouter   = "the router has not told anything"
	noDecision = "no placement has been decided yet"
	noTraffic  = "no service's connections are routed"
)

// candidates checks every candidate that was scored, of every decision.
func candidates(t *Telemetry, check func(d *DecisionFacts, c *CandidateFacts) observation) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	type scored struct {
		*DecisionFacts
		*CandidateFacts
	}
	var all []scored
	for i := range t.Placement.Decisions {
		d := &t.Placement.Decisions[i]
		for j := range d.Candidates {
			if c := &d.Candidates[j]; !c.Filtered {
				all = append(all, scored{d, c})
			}
		}
	}
	return over(all, noDecision, func(s *scored) observation {
		o := check(s.DecisionFacts, s.CandidateFacts)
		o.name = s.Replica + " on " + s.Node
		return o
	})
}

func checkRoutingScore(t *Telemetry) Verdict {
	return candidates(t, func(d *DecisionFacts, c *CandidateFacts) observation {
		s := RoutingScore(c.Entropy, d.Entropy, c.Capacity, c.Usage, d.Target)
		if s != c.Score { // bit by bit
			return seen("", s, false, notRecomputed, c.Score, s)
		}
		busier := RoutingScore(c.Entropy, d.Entropy, c.Capacity, c.Usage+(c.Capacity-c.Usage)/2, d.Target)
		return seen("", s, within(s, 0, c.Capacity) && busier <= s, "S = %v, C_n = %v, and S = %v if half the room were taken", s, c.Capacity, busier)
	})
}

func checkPriorityBlend(t *Telemetry) Verdict {
	return candidates(t, func(d *DecisionFacts, c *CandidateFacts) observation {
		if !Admit(c.Score, d.Threshold, true) {
			return observation{skip: true} // it is no candidate, and has no rank
		}
		// Ranked is the node as it would be with the replica.
		with := func(c *CandidateFacts) float64 {
			return RoutingScore(c.Entropy, d.Entropy, c.Capacity, min(c.Usage+d.Demand, c.Capacity), d.Target)
		}
		var largest float64
		for i := range d.Candidates {
			if other := &d.Candidates[i]; !other.Filtered && Admit(other.Score, d.Threshold, true) {
				largest = max(largest, with(other))
			}
		}
		k := PriorityBlend(with(c), largest, c.Capacity, min(c.Usage+d.Demand, c.Capacity), d.Weight)
		return seen("", c.Rank, within(c.Rank, 0, 1) && same(k, c.Rank), notRecomputed, c.Rank, k)
	})
}

func checkAdmission(t *Telemetry) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	return over(t.Placement.Decisions, noDecision, func(d *DecisionFacts) observation {
		theta := d.Threshold
		if d.Chosen >= len(d.Candidates) {
			return seen(d.Replica, 0, false, "candidate %d of %d was chosen", d.Chosen, len(d.Candidates))
		}
		if d.Chosen >= 0 {
			c := &d.Candidates[d.Chosen]
			return seen(d.Replica, c.Score, Admit(c.Score, theta, !c.Filtered), "admitted to %s with S = %v, θ = %v", c.Node, c.Score, theta)
		}
		for i := range d.Candidates {
			if c := &d.Candidates[i]; Admit(c.Score, theta, !c.Filtered) {
				return seen(d.Replica, c.Score, false, "not admitted to %s with S = %v, θ = %v", c.Node, c.Score, theta)
			}
		}
		return observation{name: d.Replica, value: none}
	})
}

func checkTrafficWeights(t *Telemetry) Verdict {
	return over(t.Traffic, noTraffic, func(f *TrafficFacts) observation {
		want := TrafficWeights(make([]float64, len(f.Scores)), f.Scores)
		if len(want) != len(f.Weights) {
			return seen(f.Service, 0, false, "%d weights for %d scores", len(f.Weights), len(f.Scores))
		}
		var sum float64
		for i, w := range f.Weights {
			if !same(w, want[i]) {
				return seen(f.Service, w, false, notRecomputed, w, want[i])
			}
			sum += w
		}
		return seen(f.Service, sum, same(sum, 1), "Σω = %v", sum)
	})
}

func checkRendezvous(t *Telemetry) Verdict {
	return over(t.Traffic, noTraffic, func(f *TrafficFacts) observation {
		if len(f.Keys) == 0 {
			return observation{skip: true}
		}
		if len(f.Keys) != len(f.Choices) || len(f.Nodes) != len(f.Weights) {
			return seen(f.Service, 0, false, "%d choices for %d keys, %d weights for %d nodes", len(f.Choices), len(f.Keys), len(f.Weights), len(f.Nodes))
		}
		for i, key := range f.Keys {
			if want := RendezvousChoice(key, f.Nodes, f.Weights); want != f.Choices[i] {
				return seen(f.Service, 0, false, "key %x went to node %d, not %d", key, f.Choices[i], want)
			}
		}
		return observation{name: f.Service, value: none}
	})
}

func checkSlots(t *Telemetry) Verdict {
	return over(t.Traffic, noTraffic, func(f *TrafficFacts) observation {
		if len(f.Slots) != len(f.Weights) {
			return seen(f.Service, 0, false, "slots of %d nodes, weights of %d", len(f.Slots), len(f.Weights))
		}
		total := 0
		for _, n := range f.Slots {
			total += n
		}
		if total != f.Size || total <= 0 {
			return seen(f.Service, 0, false, "%d of the kernel's %d slots are given", total, f.Size)
		}
		want := SlotApportionment(make([]int, len(f.Weights)), f.Weights, total)
		var furthest float64
		for i, n := range f.Slots {
			if n != want[i] {
				return seen(f.Service, 0, false, "node %d has %d of the kernel's %d slots, not %d", i, n, total, want[i])
			}
			furthest = max(furthest, math.Abs(float64(n)/float64(total)-f.Weights[i]))
		}
		return seen(f.Service, furthest, furthest < 1/float64(total)+1e-9, "off by %v of %d slots", furthest, total)
	})
}

func checkDisruption(t *Telemetry) Verdict {
	return over(t.Traffic, "no node was removed from a service", func(f *TrafficFacts) observation {
		r := f.Removal
		if r == nil || len(r.Before) == 0 {
			return observation{skip: true}
		}
		moved, strayed := Disruption(r.Before, r.After, r.Removed)
		share := float64(moved) / float64(len(r.Before))
		if strayed > 0 {
			return seen(f.Service, share, false, "%d of %d keys moved between survivors", strayed, len(r.Before))
		}
		return seen(f.Service, share, same(share, r.Share), "%v moved, the node's share was %v", share, r.Share)
	})
}

// correlation checks a correlation of the nodes' entropies with the containers on each.
func correlation(t *Telemetry, coefficient func(x, y []float64) float64, least float64, used func(*PlacementFacts) *float64) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	nodes := t.Placement.Nodes
	if len(nodes) < 2 {
		return Verdict{NotApplicable, "one node only"}
	}
	entropies, containers, all := make([]float64, len(nodes)), make([]float64, len(nodes)), 0
	for i, n := range nodes {
		if !within(n.Entropy, 0, 1) {
			return Verdict{Fail, fmt.Sprintf("%s: E_n = %v", n.Node, n.Entropy)}
		}
		entropies[i], containers[i] = n.Entropy, float64(n.Containers)
		all += n.Containers
	}
	if deviation(entropies) < 0.05 {
		return Verdict{NotApplicable, "the nodes' entropies do not differ: σ < 0.05"}
	}
	r := coefficient(entropies, containers)
	if math.IsNaN(r) {
		return Verdict{NotApplicable, "as many containers on every node"}
	}
	if u := used(t.Placement); u != nil && !same(r, *u) {
		return Verdict{Fail, fmt.Sprintf(notRecomputed, *u, r)}
	}
	if len(nodes) < 10 || all < 50 {
		least = -1
	}
	text := fmt.Sprintf("%s over %d nodes, %d containers", number(r), len(nodes), all)
	if !within(r, least, 1) {
		return Verdict{Fail, text}
	}
	return Verdict{Pass, text}
}

func deviation(x []float64) float64 {
	m := mean(x)
	var squares float64
	for _, v := range x {
		squares += (v - m) * (v - m)
	}
	return math.Sqrt(squares / float64(len(x)))
}

func checkPearson(t *Telemetry) Verdict {
	return correlation(t, PearsonCorrelation, 0.13, func(p *PlacementFacts) *float64 { return p.Correlation })
}

func checkSpearman(t *Telemetry) Verdict {
	return correlation(t, SpearmanCorrelation, -1, func(p *PlacementFacts) *float64 { return p.RankCorrelation })
}

func checkFairness(t *Telemetry) Verdict {
	const absent = "fewer than two containers were throttled throughout"
	return one(t.Fairness, absent, func(f *FairnessFacts) observation {
		if len(f.Received) != len(f.Entitled) {
			return seen("", 0, false, "%d received, %d entitled", len(f.Received), len(f.Entitled))
		}
		if len(f.Received) < 2 {
			return observation{skip: true}
		}
		x := make([]float64, len(f.Received))
		for i := range x {
			x[i] = float64(f.Received[i]) / float64(f.Entitled[i])
		}
		j := JainFairness(x)
		return seen("", j, j >= 0.95, "J = %v over %d containers", j, len(x))
	})
}

func checkRoutingSuccess(t *Telemetry) Verdict {
	return one(t.Placement, noRouter, func(p *PlacementFacts) observation {
		if p.Offered == 0 && p.Admitted == 0 {
			return observation{skip: true}
		}
		share := RoutingSuccess(p.Admitted, p.Offered)
		return seen("", share, within(share, 0.95, 1), "%d admitted of %d that there was room for", p.Admitted, p.Offered)
	})
}

func checkSampling(t *Telemetry) Verdict {
	if t.Placement == nil {
		return Verdict{NotApplicable, noRouter}
	}
	return one(t.Placement.Sampling, "every candidate is scanned", func(f *SamplingFacts) observation {
		if f.Scanned == 0 {
			return observation{skip: true}
		}
		if want := SampleSize(f.Quantile, f.Confidence); want != f.Size {
			return seen("", 0, false, "%d sampled, %d recomputed", f.Size, want)
		}
		share := float64(f.Top) / float64(f.Scanned)
		return seen("", share, within(share, 0.95, 1), "%d of %d choices were among the best 5 %%", f.Top, f.Scanned)
	})
}
