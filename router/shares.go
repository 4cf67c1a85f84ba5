package router

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/entroos/entroos/equations"
)

// A Share is what a replica is entitled to of its node's CPU, once the node has
// more to do than its budget allows.
type Share struct {
	Replica     string
	CPUWeight   uint64  // equation 27, the kernel's cpu.weight
	Entitlement float64 // equation 28, a share of the node's CPU
}

// Shares returns the shares of the replicas on a node, by id, where budget is
// q_k, the share of the node's CPU that all of them may use together. The
// entitlements add up to it.
func (c *Cluster) Shares(node string, budget float64) ([]Share, error) {
	m := c.byID[node]
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, node)
	}
	if !(0 <= budget && budget <= 1) {
		return nil, fmt.Errorf("%w: a CPU budget of %v, must lie in [0,1]", ErrInvalid, budget)
	}
	running := slices.Clone(m.running)
	slices.SortFunc(running, func(a, b *replica) int { return cmp.Compare(a.ID, b.ID) })
	var total uint64
	for _, r := range running {
		total += r.weight()
	}
	mean := float64(total) / float64(max(1, len(running)))
	shares := make([]Share, len(running))
	for i, r := range running {
		w := r.weight()
		shares[i] = Share{r.ID, equations.CPUWeight(float64(w), mean), equations.Entitlement(w, total, budget)}
	}
	return shares, nil
}

// ids returns the ids of what runs on the node, in order.
func (m *member) ids() []string {
	ids := make([]string, len(m.running))
	for i, r := range m.running {
		ids[i] = r.ID
	}
	slices.Sort(ids)
	return ids
}
