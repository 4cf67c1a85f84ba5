package simulation

import (
	"context"

	"github.com/entroos/entroos/equations"
)

// The model's parameters in this test, which are the prototype's.
const (
	Weight = 0.7 // w of equation 14
	Target = 0.2 // T of equation 13 and of the governor
	Theta  = 0.0 // θ of equation 15
)

// A Result is what came of a test.
type Result struct {
	Parameters Parameters `json:"parameters"`
	Model      Model      `json:"model"`
	Draws      Draws      `json:"draws"`
	Total      Total      `json:"total"`
	Runs       []Run      `json:"runs"`
}

// Model is the parameters of the equations.
type Model struct {
	Weight float64 `json:"weight"`
	Target float64 `json:"target"`
	Theta  float64 `json:"theta"`
}

// Draws states what is drawn, and how.
type Draws struct {
	Generator        string  `json:"generator"`
	Order            string  `json:"order"`
	NodeEntropy      Uniform `json:"node_entropy"`
	NodeCapacity     Uniform `json:"node_capacity"`
	ContainerEntropy Uniform `json:"container_entropy"`
	ContainerDemand  Uniform `json:"container_demand"`
	Containers       string  `json:"containers"`
}

// Total is the figures over all runs.
type Total struct {
	Containers int    `json:"containers"`
	Offered    int    `json:"offered"`
	Admitted   int    `json:"admitted"`
	Success    Number `json:"routing_success"` // equation 23 over all runs

	// Over the runs, each run counting once.
	Correlation     Summary `json:"correlation"`
	RankCorrelation Summary `json:"rank_correlation"`
	Score           Summary `json:"mean_score"`
	NodeEntropy     Summary `json:"mean_node_entropy"`
	Utilisation     Summary `json:"utilisation"`
	Governed        Summary `json:"governed"`

	// Over the containers of all runs, each counting once.
	ScoreOverall       Number `json:"mean_score_over_containers"`
	NodeEntropyOverall Number `json:"mean_node_entropy_over_containers"`

	// Over the nodes of all runs; the first three over those whose demand is
	// above the target.
	Saturated    Summary `json:"saturated_utilisation"`
	AtTarget     Summary `json:"saturated_governed"`
	Settled      Summary `json:"saturated_settled_seconds"`
	NodeFairness Summary `json:"fairness"`
}

// Simulate runs the test. The runs' seeds follow on one another. An error says
// which parameter is wrong; or the context ended.
func Simulate(ctx context.Context, p Parameters) (*Result, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	result := &Result{
		Parameters: p,
		Model:      Model{Weight, Target, Theta},
		Draws: Draws{
			Generator:   "Go math/rand/v2 NewPCG(seed, 0); each draw is one Uint64() >> 11 over 2^53; seeds follow on one another",
			Order:       "for each node E_n, C_n; the number of containers; for each container E_c, d",
			NodeEntropy: NodeEntropy, NodeCapacity: NodeCapacity,
			ContainerEntropy: ContainerEntropy, ContainerDemand: ContainerDemand,
			Containers: "uniform integer in " + p.Containers.String(),
		},
		Runs: make([]Run, p.Runs),
	}
	for i := range result.Runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if result.Runs[i], err = runSeed(p, p.Seed+uint64(i)); err != nil {
			return nil, err
		}
	}
	result.Total = total(result.Runs)
	return result, nil
}

func total(runs []Run) Total {
	var t Total
	var scores, entropies float64
	for _, r := range runs {
		t.Containers += r.Offered + r.Refused
		t.Offered += r.Offered
		t.Admitted += r.Admitted
		scores += r.scores
		entropies += r.entropies
	}
	t.Success = Number(equations.RoutingSuccess(uint64(t.Admitted), uint64(t.Offered)))
	t.ScoreOverall, t.NodeEntropyOverall = mean(scores, t.Admitted), mean(entropies, t.Admitted)
	for _, s := range []struct {
		into *Summary
		get  func(*Run) Number
	}{
		{&t.Correlation, func(r *Run) Number { return r.Correlation }},
		{&t.RankCorrelation, func(r *Run) Number { return r.RankCorrelation }},
		{&t.Score, func(r *Run) Number { return r.Score }},
		{&t.NodeEntropy, func(r *Run) Number { return r.NodeEntropy }},
		{&t.Utilisation, func(r *Run) Number { return r.Utilisation }},
		{&t.Governed, func(r *Run) Number { return r.Governed }},
	} {
		values := make([]Number, len(runs))
		for i := range runs {
			values[i] = s.get(&runs[i])
		}
		*s.into = summarise(values)
	}
	var utilisation, governed, settled, fairness []Number
	for _, r := range runs {
		for _, n := range r.Nodes {
			fairness = append(fairness, n.Fairness)
			if n.saturated() {
				utilisation = append(utilisation, Number(n.Utilisation))
				governed = append(governed, Number(n.Governed))
				settled = append(settled, n.Settled)
			}
		}
	}
	t.Saturated, t.AtTarget = summarise(utilisation), summarise(governed)
	t.Settled, t.NodeFairness = summarise(settled), summarise(fairness)
	return t
}
