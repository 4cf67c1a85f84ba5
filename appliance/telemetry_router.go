package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/router"
)

// routerTelemetry is what routerd tells of itself.
func (b *Box) routerTelemetry(ctx context.Context, t *equations.Telemetry) error {
	if b.Router == nil {
		return nil
	}
	if _, answers := b.Router.Away(); !answers {
		return errors.New("routerd does not answer; see `services`")
	}
	res, err := b.Router.Service().RouterStatus(ctx, connect.NewRequest(new(entroosv1.RouterStatusRequest)))
	if err != nil {
		return err
	}
	t.Placement, err = placementFacts(res.Msg, hex.EncodeToString(b.Store.Node[:]))
	return err
}

// placementFacts are those of a router, on the node of the id own.
func placementFacts(s *entroosv1.RouterStatusResponse, own string) (*equations.PlacementFacts, error) {
	p := &equations.PlacementFacts{
		Admitted: s.GetCounters().GetPlaced(), Offered: s.GetCounters().GetPlaced() + s.GetCounters().GetOverdue(),
		Correlation: s.EntropyCorrelation, RankCorrelation: s.EntropyRankCorrelation,
	}
	for _, n := range s.GetNodes() {
		p.Nodes = append(p.Nodes, equations.NodeFacts{
			Node: nodeName(n.GetNode()), Entropy: n.GetNode().GetEntropy(), Own: n.GetNode().GetId() == own, Capacity: n.GetCapacity(), Usage: n.GetUsage(),
			Containers: len(n.GetReplicas()),
		})
	}
	for _, d := range s.GetDecisions() {
		f, err := decisionFacts(d)
		if err != nil {
			return nil, err
		}
		if len(f.Candidates) > 0 { // in large clusters they are not kept
			p.Decisions = append(p.Decisions, f)
		}
	}
	if c := s.GetCycle(); c != nil {
		p.Queue = &equations.QueueFacts{
			Elapsed: time.Duration(c.GetEndedUnixNano() - c.GetBeganUnixNano()), Arrivals: c.GetArrivals(),
			Length: seconds(c.GetLengthSeconds()), Sojourn: seconds(c.GetWaitSeconds()),
		}
	}
	if uint64(len(s.GetNodes())) > uint64(s.GetSampleAbove()) && s.GetSampleAbove() > 0 {
		p.Sampling = &equations.SamplingFacts{
			Quantile: s.GetQuantile(), Confidence: s.GetConfidence(), Size: int(s.GetSampleSize()),
			Scanned: s.GetCounters().GetScanned(), Top: s.GetCounters().GetScannedInTop(),
		}
	}
	return p, nil
}

func decisionFacts(d *entroosv1.PlacementDecision) (equations.DecisionFacts, error) {
	r := d.GetReplica()
	f := equations.DecisionFacts{
		Replica: r.GetName(), Entropy: router.UnknownEntropy, Chosen: -1,
		Target: d.GetTarget(), Weight: d.GetWeight(), Threshold: d.GetThreshold(),
		Demands: []float64{float64(r.GetCpuMilli()), float64(r.GetMemoryBytes())},
	}
	if r.Entropy != nil {
		f.Entropy = max(r.GetEntropy(), router.MinEntropy)
	}
	for i, c := range d.GetCandidates() {
		f.Demand = c.GetDemand()
		k := equations.CandidateFacts{
			Node: c.GetHostname(), Filtered: c.GetFiltered(), Entropy: c.GetEntropy(), Capacity: c.GetCapacity(), Usage: c.GetUsage(),
			Score: c.GetScore(), Rank: c.GetRank(), DominantShare: c.GetDominantShare(),
		}
		if c.GetCpuMilli() > 0 { // the node is still there
			k.Capacities = []float64{float64(c.GetCpuMilli()), float64(c.GetMemoryBytes())}
		}
		if c.GetChosen() {
			f.Chosen = i
		}
		f.Candidates = append(f.Candidates, k)
	}
	if placed := d.GetOutcome() == entroosv1.PlacementDecision_OUTCOME_PLACED; placed != (f.Chosen >= 0) && len(f.Candidates) > 0 {
		return f, fmt.Errorf("the decision on %s is %v, and another among its candidates", r.GetName(), d.GetOutcome())
	}
	return f, nil
}

func nodeName(n *entroosv1.RouterNode) string {
	if n.GetHostname() != "" {
		return n.GetHostname()
	}
	return n.GetId()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
