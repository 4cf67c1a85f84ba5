package appliance

import (
	"testing"

	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

// A decision is judged by T, w and θ as they were, who left the queue counts
// neither way, and the node itself is told apart.
func TestPlacementFacts(t *testing.T) {
	const before, now = 0.8, 0.2
	score := equations.RoutingScore(0.9, 0.5, 1, 0.25, before)
	with := equations.RoutingScore(0.9, 0.5, 1, 0.5, before)
	status := &entroosv1.RouterStatusResponse{
		Target: now, Weight: 0.7,
		Counters: &entroosv1.RouterCounters{Offered: 100, Placeable: 100, Placed: 40, Cancelled: 58, Overdue: 2},
		Nodes: []*entroosv1.RouterNodeStatus{
			{Node: &entroosv1.RouterNode{Id: "other", Entropy: 0.5}, Capacity: 1},
			{Node: &entroosv1.RouterNode{Id: "own", Entropy: 0.9}, Capacity: 1},
		},
		EntropyCorrelation: proto.Float64(0.25), EntropyRankCorrelation: proto.Float64(0.5),
		Decisions: []*entroosv1.PlacementDecision{{
			Replica: &entroosv1.Replica{Name: "web", Entropy: proto.Float64(0.5)}, Outcome: entroosv1.PlacementDecision_OUTCOME_PLACED,
			Target: before, Weight: 0.1,
			Candidates: []*entroosv1.PlacementCandidate{{
				Hostname: "cellar", Entropy: 0.9, Capacity: 1, Usage: 0.25, Demand: 0.25, Chosen: true,
				Score: score, Rank: equations.PriorityBlend(with, with, 1, 0.5, 0.1),
			}},
		}},
	}
	p, err := placementFacts(status, "own")
	if err != nil {
		t.Fatal(err)
	}
	if p.Admitted != 40 || p.Offered != 42 {
		t.Errorf("%d admitted of %d, want 40 of 42", p.Admitted, p.Offered)
	}
	if p.Nodes[0].Own || !p.Nodes[1].Own {
		t.Errorf("nodes %+v", p.Nodes)
	}
	if *p.Correlation != 0.25 || *p.RankCorrelation != 0.5 {
		t.Errorf("r = %v, ρ = %v", *p.Correlation, *p.RankCorrelation)
	}
	for _, r := range equations.Evaluate(&equations.Telemetry{Placement: p})[12:15] {
		if r.State != equations.Pass {
			t.Errorf("row %d after T and w were changed: %v, %s", r.Number, r.State, r.Seen)
		}
	}
}
