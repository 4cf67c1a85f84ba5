package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/router"
)

// Explain implements RouterServiceHandler.
func (s *Service) Explain(_ context.Context, r *connect.Request[entroosv1.ExplainRequest]) (*connect.Response[entroosv1.ExplainResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Msg.GetReplica() != nil {
		return s.consider(r.Msg.GetReplica())
	}
	id := r.Msg.GetContainer()
	if have := s.replicas[id]; have != nil {
		e, err := s.cluster.Explain(id)
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		// One that waits, or came with its node, is told of as things stand.
		hypothetical := !e.Recorded && e.Decision.Outcome == router.Placed
		return connect.NewResponse(&entroosv1.ExplainResponse{Decision: s.decision(have.Replica, e), Hypothetical: hypothetical}), nil
	}
	for _, d := range slices.Backward(s.decisions) {
		if d.GetReplica().GetId() == id {
			return connect.NewResponse(&entroosv1.ExplainResponse{Decision: d}), nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, errors.New("no decision on it is kept; with --spec you see what would be decided now"))
}

// consider tells what would be decided now.
func (s *Service) consider(wanted *entroosv1.Replica) (*connect.Response[entroosv1.ExplainResponse], error) {
	given, err := replicaOf(wanted, 0)
	if err != nil {
		return nil, invalid(err)
	}
	e, err := s.cluster.Consider(given)
	if err != nil {
		return nil, invalid(err)
	}
	return connect.NewResponse(&entroosv1.ExplainResponse{Decision: s.decision(wanted, e), Hypothetical: true}), nil
}

// record keeps the decision on a replica that is placed or waits.
func (s *Service) record(id string) {
	e, err := s.cluster.Explain(id)
	if err != nil { // both know the same replicas
		s.logger.Error("decision not kept", "replica", id, "error", err)
		return
	}
	s.keep(s.decision(s.replicas[id].Replica, e))
}

// recordRefused keeps the decision on one that was refused.
func (s *Service) recordRefused(have *replica, given router.Replica) {
	e, err := s.cluster.Consider(given)
	if err != nil {
		s.logger.Error("decision not kept", "replica", given.ID, "error", err)
		return
	}
	s.keep(s.decision(have.Replica, e))
}

// keep keeps one more decision, and forgets the oldest.
func (s *Service) keep(d *entroosv1.PlacementDecision) {
	if len(s.decisions) == maxDecisions {
		s.decisions = slices.Delete(s.decisions, 0, 1)
	}
	s.decisions = append(s.decisions, d)
	s.logger.Info("decision", "replica", d.GetReplica().GetName(), "outcome", outcomeWord(d.GetOutcome()), "reason", d.GetReason())
}

func outcomeWord(o entroosv1.PlacementDecision_Outcome) string {
	switch o {
	case entroosv1.PlacementDecision_OUTCOME_PLACED:
		return router.Placed.String()
	case entroosv1.PlacementDecision_OUTCOME_QUEUED:
		return router.Queued.String()
	}
	return router.Refused.String()
}

// decision is an explanation as the API has it.
func (s *Service) decision(wanted *entroosv1.Replica, e router.Explanation) *entroosv1.PlacementDecision {
	words, config := s.inWords(), s.cluster.Config()
	d := &entroosv1.PlacementDecision{
		Replica: wanted, NodeId: e.Decision.Node, Reason: words.Replace(e.Decision.Reason),
		DecidedUnixNano: unixNano(e.Decision.At), WaitedMillis: uint64(e.Decision.Waited.Milliseconds()),
		EntropyLeftOut: e.EntropyLeftOut,
		Target:         config.Target, Weight: config.Weight, Threshold: config.Theta,
		Outcome: map[router.Outcome]entroosv1.PlacementDecision_Outcome{
			router.Placed:  entroosv1.PlacementDecision_OUTCOME_PLACED,
			router.Queued:  entroosv1.PlacementDecision_OUTCOME_QUEUED,
			router.Refused: entroosv1.PlacementDecision_OUTCOME_REFUSED,
		}[e.Decision.Outcome],
	}
	for _, k := range e.Candidates {
		n := s.nodes[k.Node]
		d.Candidates = append(d.Candidates, &entroosv1.PlacementCandidate{
			NodeId: k.Node, Hostname: n.GetHostname(),
			Entropy: k.Entropy, Capacity: k.Capacity, Usage: k.Usage, Score: k.Score, Rank: k.Rank,
			Demand: k.Demand, DominantShare: k.DominantShare, Chosen: k.Chosen,
			Filtered: k.Verdict != router.Fits, Reason: words.Replace(e.Reason(k)),
			CpuMilli: n.GetCpuMilli(), MemoryBytes: n.GetMemoryBytes(),
		})
	}
	return d
}

// unixNano is a time for the API: 0 when there is none.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// RouterStatus implements RouterServiceHandler.
func (s *Service) RouterStatus(_ context.Context, r *connect.Request[entroosv1.RouterStatusRequest]) (*connect.Response[entroosv1.RouterStatusResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, config := s.cluster.Status(), s.cluster.Config()
	answer := &entroosv1.RouterStatusResponse{
		StartedUnixNano: s.started.UnixNano(), EntropyLeftOut: st.EntropyLeftOut,
		Target: config.Target, Weight: config.Weight, Threshold: config.Theta,
		SampleSize: uint32(st.SampleSize), SampleAbove: uint32(max(0, config.SampleAbove)),
		Quantile: config.Quantile, Confidence: config.Confidence,
		Counters: &entroosv1.RouterCounters{
			Offered: st.Offered, Placeable: st.Placeable, Placed: st.Admitted, Refused: st.Refused, Cancelled: st.Cancelled, Overdue: uint64(s.cluster.Overdue(s.now())),
			Scanned: st.Audits, ScannedInTop: st.AuditsInTop,
		},
	}
	if !math.IsNaN(st.Correlation) {
		answer.EntropyCorrelation = &st.Correlation
	}
	if !math.IsNaN(st.RankCorrelation) {
		answer.EntropyRankCorrelation = &st.RankCorrelation
	}
	if c := st.Cycle; c.Arrivals > 0 {
		answer.Cycle = &entroosv1.QueueCycle{
			BeganUnixNano: unixNano(c.Began), EndedUnixNano: unixNano(c.Ended), Arrivals: c.Arrivals,
			WaitSeconds: c.WaitSeconds, LengthSeconds: c.LengthSeconds, LawLength: c.Law(),
		}
	}
	for _, n := range s.cluster.Nodes() {
		node := &entroosv1.RouterNodeStatus{
			Node: s.nodes[n.ID], Capacity: n.Capacity, Usage: n.Usage,
			CommittedCpuMilli: uint64(n.CommittedCPU), CommittedMemoryBytes: uint64(n.CommittedMemory),
		}
		if !r.Msg.GetBrief() {
			for _, id := range n.Replicas {
				node.Replicas = append(node.Replicas, s.replicas[id].Replica)
			}
		}
		answer.Nodes = append(answer.Nodes, node)
	}
	if r.Msg.GetBrief() {
		return connect.NewResponse(answer), nil
	}
	answer.Decisions = slices.Clone(s.decisions)
	slices.Reverse(answer.Decisions)
	if err := s.addQueue(answer); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(answer), nil
}

// addQueue adds those that wait, the one that has waited longest first.
func (s *Service) addQueue(answer *entroosv1.RouterStatusResponse) error {
	words := s.inWords()
	for id, have := range s.replicas {
		if have.placed == nil {
			continue
		}
		e, err := s.cluster.Explain(id)
		if err != nil {
			return fmt.Errorf("replica %s: %w", id, err)
		}
		answer.Queue = append(answer.Queue, &entroosv1.RouterQueued{
			Replica: have.Replica, QueuedUnixNano: unixNano(e.Since), Reason: words.Replace(e.Decision.Reason),
		})
	}
	slices.SortFunc(answer.Queue, func(a, b *entroosv1.RouterQueued) int { return int(a.GetQueuedUnixNano() - b.GetQueuedUnixNano()) })
	return nil
}
