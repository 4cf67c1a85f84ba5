package router

import (
	"cmp"
	"slices"

	"github.com/entroos/entroos/equations"
)

// A Share is what a replica is entitled to of its node's CPU while all that runs
// there wants more than the budget.
type Share struct {
	Replica     string
	CPUWeight   uint64  // equation 27, the kernel's cpu.weight
	Entitlement float64 // equation 28 of the target T, a share of the node's CPU
}

// shares returns the shares of the replicas on the node, by id. The entitlements
// add up to the budget.
func (m *member) shares(budget float64) []Share {
	running := slices.Clone(m.running)
	slices.SortFunc(running, func(a, b *replica) int { return cmp.Compare(a.ID, b.ID) })
	var given uint64
	for _, r := range running {
		given += r.weight()
	}
	mean := float64(given) / float64(max(1, len(running)))
	shares := make([]Share, len(running))
	var total uint64 // the kernel shares by what it is given, rounded and bounded
	for i, r := range running {
		shares[i] = Share{Replica: r.ID, CPUWeight: equations.CPUWeight(float64(r.weight()), mean)}
		total += shares[i].CPUWeight
	}
	for i := range shares {
		shares[i].Entitlement = equations.Entitlement(shares[i].CPUWeight, total, budget)
	}
	return shares
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
