package router

import (
	"math"
	"slices"
	"time"

	"github.com/entroos/entroos/equations"
)

// facts are counted while placing.
type facts struct {
	placeable, admitted, refused, cancelled uint64
	lowest                                  float64 // score admitted
	sampled                                 uint64
	audits, auditsInTop                     uint64
	lastQuantile                            float64
}

func (f *facts) place(score float64) {
	if f.admitted == 0 || score < f.lowest {
		f.lowest = score
	}
	f.admitted++
}

// audit records that of so many candidates, so many rank above the one chosen.
func (f *facts) audit(above, candidates int) {
	f.audits++
	f.lastQuantile = 1 - float64(above)/float64(candidates)
	if f.lastQuantile >= auditQuantile {
		f.auditsInTop++
	}
}

// auditQuantile is the quantile that row 24 asks of sampled decisions.
const auditQuantile = 0.95

// A Status is what the router knows of itself.
type Status struct {
	Nodes, Healthy, Cordoned int
	Placed, Waiting          int
	// Due is how many of those waiting have waited for Config.Aging, and Held
	// how many nodes are kept free for them.
	Due, Held int
	// EntropyLeftOut tells that no node is healthy, so that each E_n counts as 1.
	EntropyLeftOut bool
	// Offered counts all replicas, Placeable those that some node could hold,
	// Admitted those of them that were placed, Cancelled those that left the
	// queue unplaced, and Refused those that no node could hold.
	Offered, Placeable, Admitted, Cancelled, Refused uint64
	// Overdue is Overdue at the last time told. Success is equation 23,
	// Admitted/(Admitted+Overdue): who left the queue, or waits for room that
	// there is not, is no failure.
	Overdue int
	Success float64
	// LowestScore is the lowest S that a replica was admitted at; it lies above
	// θ. 0 before the first.
	LowestScore float64
	// Correlation is Pearson's r (20) of E_n with the replicas on each node,
	// RankCorrelation Spearman's ρ (21), and EntropyDeviation σ(E_n). r and ρ are
	// NaN where they are not defined.
	Correlation, RankCorrelation, EntropyDeviation float64
	// Sampled counts decisions on a sample of the nodes. One in 1,000 of them was
	// scanned in full: Audits; AuditsInTop of these had chosen a node among the
	// top 5 % of candidates; LastQuantile is where the last one stood.
	SampleSize          int
	Sampled             uint64
	Audits, AuditsInTop uint64
	LastQuantile        float64
	Cycle               Cycle  // the queue's last
	Sequence            uint64 // replicas placed since the start
}

// Status returns the router's facts.
func (c *Cluster) Status() Status {
	f := &c.facts
	s := Status{
		Nodes: len(c.nodes), Waiting: c.queue.len(), Due: len(c.queue.due),
		Placed:         len(c.replicas) - c.queue.len(),
		EntropyLeftOut: !c.anyHealth,
		Offered:        f.placeable + f.refused, Placeable: f.placeable,
		Admitted: f.admitted, Cancelled: f.cancelled, Refused: f.refused,
		Overdue:     c.Overdue(c.now),
		LowestScore: f.lowest,
		SampleSize:  c.sample, Sampled: f.sampled,
		Audits: f.audits, AuditsInTop: f.auditsInTop, LastQuantile: f.lastQuantile,
		Cycle:    c.queue.cycle.last,
		Sequence: c.sequence,
	}
	s.Success = equations.RoutingSuccess(s.Admitted, s.Admitted+uint64(s.Overdue))
	entropy, containers := make([]float64, len(c.nodes)), make([]float64, len(c.nodes))
	for i, m := range c.nodes {
		entropy[i], containers[i] = m.Entropy, float64(len(m.running))
		switch {
		case m.Cordoned:
			s.Cordoned++
		case m.healthy():
			s.Healthy++
		}
		if m.heldFor != nil {
			s.Held++
		}
	}
	s.Correlation = equations.PearsonCorrelation(entropy, containers)
	s.RankCorrelation = equations.SpearmanCorrelation(entropy, containers)
	s.EntropyDeviation = deviation(entropy)
	return s
}

// Overdue counts those that at the time given have waited for twice Config.Aging
// while some node has room for them, be it held for another.
func (c *Cluster) Overdue(now time.Time) (n int) {
	for _, r := range c.inTurn() {
		if now.Sub(r.since) >= 2*c.config.Aging && slices.ContainsFunc(c.nodes, func(m *member) bool { return c.hasRoom(m, r) }) {
			n++
		}
	}
	return n
}

// hasRoom tells whether the replica would fit on the node if it were held for
// no other.
func (c *Cluster) hasRoom(m *member, r *replica) bool {
	held := m.heldFor
	m.heldFor = nil
	fits := c.verdict(m, r) == Fits
	m.heldFor = held
	return fits
}

// deviation returns the standard deviation σ.
func deviation(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	var sum, squares float64
	for _, v := range x {
		sum += v
	}
	mean := sum / float64(len(x))
	for _, v := range x {
		squares += float64((v - mean) * (v - mean))
	}
	return math.Sqrt(squares / float64(len(x)))
}

// A NodeStatus is a node with what is committed to it.
type NodeStatus struct {
	Node
	Entropy, Capacity, Usage float64 // E_n as the score takes it, C_n, U_n
	Headroom                 float64 // equation 31, C_n − U_n
	DominantShare            float64 // equation 38 of all that is committed
	CommittedCPU             int64   // millicores
	CommittedMemory          int64   // bytes
	Replicas                 []string
	Shares                   []Share // of Replicas, in the same order
	HeldFor                  string  // the due replica that it is kept free for
}

// Nodes returns the status of all nodes, in the order of their ids.
func (c *Cluster) Nodes() []NodeStatus {
	nodes := make([]NodeStatus, len(c.nodes))
	for i, m := range c.nodes {
		k := &c.columns
		committed := Replica{CPU: m.cpu, Memory: m.mem}
		nodes[i] = NodeStatus{
			Node: m.Node.clone(), Entropy: k.entropy[i], Capacity: k.capacity[i], Usage: k.usage[i],
			Headroom:      equations.Headroom(k.capacity[i], k.usage[i]),
			DominantShare: committed.dominantShare(m.CPU, m.Memory),
			CommittedCPU:  m.cpu, CommittedMemory: m.mem,
			Replicas: m.ids(), Shares: m.shares(c.config.Target),
		}
		if m.heldFor != nil {
			nodes[i].HeldFor = m.heldFor.ID
		}
	}
	return nodes
}
