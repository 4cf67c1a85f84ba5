package router

import (
	"math"

	"github.com/entroos/entroos/equations"
)

// columns are what equation 13 is computed from, a slice for each quantity.
// Index i is nodes[i].
type columns struct {
	// entropy, capacity and usage are E_n, C_n and U_n. entropy is 1 where
	// entropy is left out, 0 where the node is out of placement.
	entropy, capacity, usage []float64
	// base is the score at E_c = 1, as things stand.
	base []float64
	open []opening
}

// An opening is what a decision reads of a node, within a cache line.
type opening struct {
	// cpu and mem are the room that is open to any replica; cpu is -1 where none
	// is: the node is out of placement or held for a due replica, or its CPU is
	// all committed, so that its score is 0. Entropies that count are at least
	// MinEntropy, so that no other score is.
	cpu, mem int64
	// capacity and usage are C_n and U_n, and square is E_n².
	capacity, usage, square float64
	perCapacity             float64 // 1/C_n
}

// prospect is the score (13) at E_c = 1 that the node will have once it holds a
// replica that takes so much more. It is RoutingScore, bit for bit, without the
// call. E_c is a factor of both S and S_max, so it falls out of K: the choice is
// made by prospects, and only admission and what is reported need the replica's
// own S.
func (o *opening) prospect(more, t float64) float64 {
	un := o.usage + more
	if un > o.capacity { // by rounding
		return 0
	}
	return float64(o.square*float64(o.capacity-un)) / float64(1+math.Abs(un-t))
}

// used is U_n/C_n then, but for rounding.
func (o *opening) used(more float64) float64 { return float64((o.usage + more) * o.perCapacity) }

func (k *columns) resize(n int) {
	if cap(k.open) < n {
		n := n + n/4
		k.entropy, k.capacity, k.usage = make([]float64, n), make([]float64, n), make([]float64, n)
		k.base, k.open = make([]float64, n), make([]opening, n)
	}
	k.entropy, k.capacity, k.usage = k.entropy[:n], k.capacity[:n], k.usage[:n]
	k.base, k.open = k.base[:n], k.open[:n]
}

// measure fills the columns anew, after nodes came, went or changed.
func (c *Cluster) measure() {
	c.largest, c.totalCPU, c.totalMem, c.anyHealth = c.config.Largest, 0, 0, false
	for i, m := range c.nodes {
		m.at = i
		c.largest = max(c.largest, m.CPU)
		c.totalCPU = saturatingAdd(c.totalCPU, m.CPU)
		c.totalMem = saturatingAdd(c.totalMem, m.Memory)
		c.anyHealth = c.anyHealth || m.healthy() && !m.Cordoned
	}
	k := &c.columns
	k.resize(len(c.nodes))
	for i, m := range c.nodes {
		k.entropy[i], k.capacity[i], k.usage[i] = c.entropy(m), c.share(m.CPU), c.share(m.cpu)
	}
	k.scores(1, c.config.Target)
	for _, m := range c.nodes {
		if m.heldFor != nil && !c.couldHold(m, &m.heldFor.Replica) {
			m.heldFor.hold, m.heldFor = nil, nil // another is found for it
		}
		c.open(m)
	}
}

// entropy returns E_n as the score takes it: where no node is healthy it is
// left out, so that workloads start.
func (c *Cluster) entropy(m *member) float64 {
	switch {
	case m.Cordoned:
		return 0
	case !c.anyHealth:
		return 1
	case m.healthy():
		return m.Entropy
	}
	return 0
}

// share returns millicores as a share of the largest node's.
func (c *Cluster) share(cpu int64) float64 { return float64(cpu) / float64(c.largest) }

// refresh brings a node's entries in the columns up to date.
func (c *Cluster) refresh(m *member) {
	k, i := &c.columns, m.at
	k.entropy[i], k.capacity[i], k.usage[i] = c.entropy(m), c.share(m.CPU), c.share(m.cpu)
	k.base[i] = c.score(i, 1)
	c.open(m)
}

// open brings what a decision reads of a node up to date with the other columns.
func (c *Cluster) open(m *member) {
	k, i := &c.columns, m.at
	o := opening{
		cpu: m.CPU - m.cpu, mem: m.Memory - m.mem,
		capacity: k.capacity[i], usage: k.usage[i], square: float64(k.entropy[i] * k.entropy[i]), perCapacity: 1 / k.capacity[i],
	}
	if !(k.base[i] > 0) || m.heldFor != nil {
		o.cpu = -1
	}
	k.open[i] = o
}

// scores computes base for all nodes, at the entropy ec and the target t.
func (k *columns) scores(ec, t float64) {
	base := k.base
	entropy, capacity, usage := k.entropy[:len(base)], k.capacity[:len(base)], k.usage[:len(base)]
	for i := range base {
		base[i] = equations.RoutingScore(entropy[i], ec, capacity[i], usage[i], t)
	}
}

// score returns S (equation 13) of a node for a replica of the entropy ec.
func (c *Cluster) score(i int, ec float64) float64 {
	k := &c.columns
	return equations.RoutingScore(k.entropy[i], ec, k.capacity[i], k.usage[i], c.config.Target)
}

// rank returns K (equation 14) of a node as it will be once it holds a replica
// that takes so much more, from its score then and the largest of all candidates.
func (c *Cluster) rank(i int, more, score, largest float64) float64 {
	k := &c.columns
	return equations.PriorityBlend(score, largest, k.capacity[i], k.usage[i]+more, c.config.Weight)
}

func saturatingAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
