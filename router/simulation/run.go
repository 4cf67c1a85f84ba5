package simulation

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/router"
)

// A Run is what came of one seed.
type Run struct {
	Seed uint64 `json:"seed"`

	Offered  int `json:"offered"`  // containers that some node could hold
	Admitted int `json:"admitted"` // containers that got a node; the others wait
	Refused  int `json:"refused"`  // containers that no node could hold

	Correlation     Number `json:"correlation"`        // equation 20, E_n with containers on the node
	RankCorrelation Number `json:"rank_correlation"`   // equation 21, of the same
	Score           Number `json:"mean_score"`         // equation 13, over admitted containers
	NodeEntropy     Number `json:"mean_node_entropy"`  // E_n of its node, over admitted containers
	Success         Number `json:"routing_success"`    // equation 23
	Utilisation     Number `json:"utilisation"`        // mean over the nodes, without a governor
	Governed        Number `json:"governed"`           // mean over all nodes, with the governor
	Saturated       int    `json:"saturated_nodes"`    // nodes whose demand is above the target
	AtTarget        Number `json:"governed_saturated"` // mean over the saturated nodes, with the governor

	Nodes      []Node      `json:"nodes"`
	Placements []Placement `json:"placements,omitempty"`

	scores, entropies float64 // sums over admitted containers
}

// A Node is a simulated node after a run.
type Node struct {
	Entropy    float64 `json:"entropy"`    // E_n
	Capacity   float64 `json:"capacity"`   // C_n
	Committed  float64 `json:"committed"`  // U_n
	Containers int     `json:"containers"` // placed on it
	// Utilisation is what the containers use of the node itself, U_n/C_n,
	// without a governor.
	Utilisation float64 `json:"utilisation"`
	// Governed is the same with the governor: its mean over the last 30 s.
	Governed float64 `json:"governed"`
	// Settled is after how many seconds from the load's arrival it stays within
	// a point of the target; not defined where the demand is not above that.
	Settled Number `json:"settled_seconds"`
	// Fairness is equation 22 over what containers received of what they were
	// entitled to (28); not defined without containers.
	Fairness Number `json:"fairness"`
}

// saturated tells whether the containers want more than the target.
func (n *Node) saturated() bool { return n.Utilisation > Target }

// A Placement is a container with what was decided for it, in the order of the
// draws.
type Placement struct {
	Entropy float64 `json:"entropy"` // E_c
	Demand  float64 `json:"demand"`  // d
	Node    int     `json:"node"`    // index in Run.Nodes; -1: it waits
	Order   uint64  `json:"order"`   // of placement, from 1; 0: it waits
	Score   Number  `json:"score"`   // S before the commit
	Rank    Number  `json:"rank"`    // K
}

// runSeed draws a run and places it with the router.
func runSeed(p Parameters, seed uint64) (Run, error) {
	s := draw(p, seed)
	decisions, err := s.place()
	if err != nil {
		return Run{}, fmt.Errorf("seed %d: %w", seed, err)
	}
	r := Run{Seed: seed, Nodes: make([]Node, len(s.nodes))}
	for i, n := range s.nodes {
		r.Nodes[i] = Node{Entropy: n.entropy, Capacity: share(n.capacity)}
	}
	committed := make([]int64, len(s.nodes))
	demands := make([][]float64, len(s.nodes))
	for i, d := range decisions {
		c := s.containers[i]
		place := Placement{c.entropy, share(c.demand), -1, 0, Number(math.NaN()), Number(math.NaN())}
		switch d.Outcome {
		case router.Placed:
			at, err := strconv.Atoi(d.Node)
			if err != nil || at < 0 || at >= len(r.Nodes) {
				return Run{}, fmt.Errorf("seed %d: the router placed %s on %q, which is no node", seed, d.Replica, d.Node)
			}
			place.Node, place.Order, place.Score, place.Rank = at, d.Sequence, Number(d.Score), Number(d.Rank)
			r.Offered++
			r.Admitted++
			r.Nodes[at].Containers++
			r.scores += d.Score
			r.entropies += s.nodes[at].entropy
			committed[at] += c.demand
			demands[at] = append(demands[at], float64(c.demand)/float64(s.nodes[at].capacity))
		case router.Queued:
			r.Offered++
		case router.Refused:
			r.Refused++
		default:
			return Run{}, fmt.Errorf("seed %d: the router decided %v for %s", seed, d.Outcome, d.Replica)
		}
		if p.Placements {
			r.Placements = append(r.Placements, place)
		}
	}
	governor := equations.NewGovernor(Target)
	for i := range r.Nodes {
		n := &r.Nodes[i]
		n.Committed = share(committed[i])
		n.Utilisation = float64(committed[i]) / float64(s.nodes[i].capacity)
		g := govern(governor, demands[i])
		n.Governed, n.Fairness, n.Settled = g.utilisation, Number(g.fairness), Number(math.NaN())
		if n.saturated() {
			n.Settled = Number(g.settled)
		}
	}
	r.figures()
	return r, nil
}

// place has the router place the containers, which arrive together.
func (s scenario) place() ([]router.Decision, error) {
	config := router.DefaultConfig()
	config.Weight, config.Target, config.Theta, config.Largest = Weight, Target, Theta, whole
	nodes := make([]router.Node, len(s.nodes))
	for i, n := range s.nodes {
		nodes[i] = router.Node{ID: id(i, len(s.nodes)), CPU: n.capacity, Memory: router.MaxMemory, Entropy: n.entropy}
	}
	cluster, err := router.New(config, nodes...)
	if err != nil {
		return nil, err
	}
	replicas := make([]router.Replica, len(s.containers))
	for i, c := range s.containers {
		replicas[i] = router.Replica{ID: id(i, len(s.containers)), Entropy: c.entropy, CPU: c.demand}
	}
	return cluster.Place(time.Time{}, replicas...)
}

// id is the number i of n, with zeros before it so that ids sort as numbers do.
func id(i, n int) string { return fmt.Sprintf("%0*d", len(strconv.Itoa(n-1)), i) }

// share is a number of parts as a share of the whole.
func share(parts int64) float64 { return float64(parts) / whole }

// figures computes the run's figures from its nodes.
func (r *Run) figures() {
	entropies, counts := make([]float64, len(r.Nodes)), make([]float64, len(r.Nodes))
	var utilisation, governed, atTarget float64
	for i, n := range r.Nodes {
		entropies[i], counts[i] = n.Entropy, float64(n.Containers)
		utilisation += n.Utilisation
		governed += n.Governed
		if n.saturated() {
			r.Saturated++
			atTarget += n.Governed
		}
	}
	r.Correlation = Number(equations.PearsonCorrelation(entropies, counts))
	r.RankCorrelation = Number(equations.SpearmanCorrelation(entropies, counts))
	r.Score = mean(r.scores, r.Admitted)
	r.NodeEntropy = mean(r.entropies, r.Admitted)
	r.Success = Number(equations.RoutingSuccess(uint64(r.Admitted), uint64(r.Offered)))
	r.Utilisation = mean(utilisation, len(r.Nodes))
	r.Governed = mean(governed, len(r.Nodes))
	r.AtTarget = mean(atTarget, r.Saturated)
}

// mean is not defined over nothing.
func mean(sum float64, n int) Number {
	if n == 0 {
		return Number(math.NaN())
	}
	return Number(sum / float64(n))
}
