package router

import (
	"github.com/entroos/entroos/equations"
)

// A choice is the node that a replica goes to.
type choice struct {
	at         int
	rank       float64
	candidates int
	sampled    bool
}

// scratch is what decisions reuse, so that they need not allocate.
type scratch struct {
	candidates []int32
	permutation
}

// choose returns the best node for the replica, if there is one.
func (c *Cluster) choose(r *replica) (choice, bool) {
	if c.config.SampleAbove < 0 || len(c.nodes) <= max(c.config.SampleAbove, c.sample) {
		return c.best(c.scan(r))
	}
	best, found := c.best(c.draw(r))
	if best.sampled = found; found {
		c.facts.sampled++
		if c.facts.sampled%auditEvery == 0 {
			c.audit(r, best)
		}
	}
	return best, found
}

// scan returns the nodes that the replica could go to, in order, and the
// largest base among them.
func (c *Cluster) scan(r *replica) ([]int32, float64) {
	k := &c.columns
	candidates, largest := c.scratch.candidates[:0], 0.0
	cpu, mem, base := k.cpu, k.mem[:len(k.cpu)], k.base[:len(k.cpu)]
	simple := r.plain() && c.config.Theta == 0
	for i, room := range cpu {
		if room < r.CPU || mem[i] < r.Memory || !(base[i] > 0) {
			continue
		}
		if !simple && c.verdict(c.nodes[i], r) != Fits {
			continue
		}
		candidates = append(candidates, int32(i))
		if base[i] > largest {
			largest = base[i]
		}
	}
	c.scratch.candidates = candidates
	return candidates, largest
}

// candidate tells whether the replica could go to the node of index i: scan's
// condition, for a single one.
func (c *Cluster) candidate(i int, r *replica) bool {
	k := &c.columns
	if k.cpu[i] < r.CPU || k.mem[i] < r.Memory || !(k.base[i] > 0) {
		return false
	}
	return r.plain() && c.config.Theta == 0 || c.verdict(c.nodes[i], r) == Fits
}

// best returns the candidate of the highest rank; among equals the first by id.
func (c *Cluster) best(candidates []int32, largest float64) (choice, bool) {
	best := choice{at: -1, candidates: len(candidates)}
	for _, i := range candidates {
		i := int(i)
		rank := c.rank(i, largest)
		if best.at < 0 || rank > best.rank || rank == best.rank && i < best.at {
			best.at, best.rank = i, rank
		}
	}
	return best, best.at >= 0
}

// A Verdict is what keeps a replica from a node, or that nothing does.
type Verdict int

// The verdicts, in the order that they are looked for.
const (
	Fits       Verdict = iota
	Unmatched          // a constraint does not hold
	CPUSize            // the node's whole CPU is too small
	MemorySize         // the node's whole memory is too small
	ScoreSize          // even with nothing on the node, S would not lie above θ
	Cordoned           // the node is out of placement
	Unhealthy          // E_n = 0, where another node is healthy
	PortTaken          // a replica on the node listens on a host port
	Held               // the node is kept free for a replica that is due
	CPURoom            // too little CPU is left
	MemoryRoom         // too little memory is left
	LowScore           // S does not lie above θ
	verdicts           // how many there are
)

// lasting tells whether the node will not do however long one waits.
func (v Verdict) lasting() bool { return Unmatched <= v && v <= ScoreSize }

// verdict is the filter and admission (15) for one node.
func (c *Cluster) verdict(m *member, r *replica) Verdict {
	if v := c.size(m, &r.Replica); v != Fits {
		return v
	}
	switch {
	case m.Cordoned:
		return Cordoned
	case c.anyHealth && !m.healthy():
		return Unhealthy
	case m.portTaken(r) != nil:
		return PortTaken
	case m.heldFor != nil && m.heldFor != r:
		return Held
	case r.CPU > m.CPU-m.cpu:
		return CPURoom
	case r.Memory > m.Memory-m.mem:
		return MemoryRoom
	case !equations.Admit(c.score(m.at, r.entropy()), c.config.Theta, true):
		return LowScore
	}
	return Fits
}

// size is the part of the filter that does not change with what runs.
func (c *Cluster) size(m *member, r *Replica) Verdict {
	for _, k := range r.Constraints {
		if !k.Holds(&m.Node) {
			return Unmatched
		}
	}
	switch {
	case r.CPU > m.CPU:
		return CPUSize
	case r.Memory > m.Memory:
		return MemorySize
	}
	// An unhealthy node may become healthy, so its E_n counts as 1 here.
	en := 1.0
	if c.anyHealth && m.healthy() {
		en = m.Entropy
	}
	empty := equations.RoutingScore(en, r.entropy(), c.share(m.CPU), 0, c.config.Target)
	if !equations.Admit(empty, c.config.Theta, true) {
		return ScoreSize
	}
	return Fits
}

// couldHold tells whether the replica would fit on the node with nothing else
// there, as things stand.
func (c *Cluster) couldHold(m *member, r *Replica) bool {
	return c.entropy(m) > 0 && c.size(m, r) == Fits
}

// portTaken returns who listens on a port that the replica wants.
func (m *member) portTaken(r *replica) *replica {
	for _, want := range r.Ports {
		for _, p := range m.ports {
			if p.Conflicts(want) {
				return p.by
			}
		}
	}
	return nil
}
