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

// A prospect is a candidate as it will be once it holds the replica: its score
// at E_c = 1, and about which share of its CPU is committed.
type prospect struct {
	score, used float64
	at          int32
}

// scratch is what decisions reuse, so that they need not allocate.
type scratch struct {
	found []prospect
	sampler
}

// choose returns the best node for the replica, if there is one.
func (c *Cluster) choose(r *replica) (choice, bool) {
	if c.config.SampleAbove < 0 || len(c.nodes) <= c.config.SampleAbove || (len(c.nodes)+1)/2 <= c.sample {
		return c.scan(r)
	}
	found, largest, enough := c.draw(r)
	if !enough {
		return c.scan(r)
	}
	best, _ := c.among(r, found, largest)
	best.sampled = true
	if c.facts.sampled++; c.facts.sampled%auditEvery == 0 {
		c.audit(r, best)
	}
	return best, true
}

// scan returns the best of all nodes for the replica.
func (c *Cluster) scan(r *replica) (choice, bool) {
	open, plain := c.columns.open, c.plain(r)
	found := c.scratch.found[:0]
	more, t, largest := c.share(r.CPU), c.config.Target, -1.0
	for i := range open {
		o := &open[i]
		if o.cpu < r.CPU || o.mem < r.Memory || !plain && c.verdict(c.nodes[i], r) != Fits {
			continue // as candidate has it
		}
		s := o.prospect(more, t)
		if s > largest { // as max would, but sooner
			largest = s
		}
		found = append(found, prospect{s, o.used(more), int32(i)})
	}
	c.scratch.found = found
	return c.among(r, found, largest)
}

// slack is far more than an estimate of K in [0,1], w·S/S_max + (1−w)·(1−U_n/C_n)
// with its terms computed apart, differs from K by rounding. Only nodes whose
// estimate comes that close to the best K need K itself, which decides.
const slack = 1.0 / (1 << 40)

// candidate tells whether the replica could go to the node of index i.
func (c *Cluster) candidate(i int, r *replica, plain bool) bool {
	o := &c.columns.open[i]
	return o.cpu >= r.CPU && o.mem >= r.Memory && (plain || c.verdict(c.nodes[i], r) == Fits)
}

// among returns the best of some candidates for the replica.
func (c *Cluster) among(r *replica, found []prospect, largest float64) (choice, bool) {
	best := choice{at: -1, candidates: len(found)}
	more := c.share(r.CPU)
	per, room := 0.0, 1-c.config.Weight
	if largest > 0 {
		per = c.config.Weight / largest
	}
	bar := -1.0
	for _, f := range found {
		if float64(f.score*per)+float64(room*(1-f.used)) < bar {
			continue
		}
		if best.improve(int(f.at), c.rank(int(f.at), more, f.score, largest)) {
			bar = best.rank - slack
		}
	}
	return best, best.at >= 0
}

// improve takes the node if its rank is higher; among equals the first by id.
func (b *choice) improve(i int, rank float64) bool {
	if b.at >= 0 && (rank < b.rank || rank == b.rank && i >= b.at) {
		return false
	}
	b.at, b.rank = i, rank
	return true
}

// plain tells whether the room in the columns is all that a scan must look at:
// with θ = 0 any S above 0 is admitted.
func (c *Cluster) plain(r *replica) bool {
	return len(r.Ports) == 0 && len(r.Constraints) == 0 && c.config.Theta == 0
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
