package simulation

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A Uniform is the continuous uniform distribution on [Low, High).
type Uniform struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// String returns the distribution as it is written in papers.
func (u Uniform) String() string { return fmt.Sprintf("U(%g, %g)", u.Low, u.High) }

// What is drawn for nodes and containers. Capacities and demands are shares of
// the CPU of the largest node that there could be.
var (
	NodeEntropy      = Uniform{0.3, 1}
	NodeCapacity     = Uniform{0.5, 1}
	ContainerEntropy = Uniform{0.3, 1}
	ContainerDemand  = Uniform{0.01, 0.08}
)

// whole is how many parts the CPU of the largest node has. The router counts
// what is committed in integers, as thousandths of a core, so capacities and
// demands are drawn to nine decimal places.
const whole = 1_000_000_000

// A scenario is what is drawn for one run.
type scenario struct {
	nodes      []drawnNode
	containers []drawnContainer
}

type drawnNode struct {
	entropy  float64
	capacity int64 // of whole
}

type drawnContainer struct {
	entropy float64
	demand  int64 // of whole
}

// draw makes the run of a seed. The generator is PCG-DXSM (math/rand/v2) with
// the state (seed, 0). Each draw takes the upper 53 bits of one 64-bit output,
// as f in [0, 1), in this order: for each node E_n and C_n; the number of
// containers; for each container E_c and its demand.
func draw(p Parameters, seed uint64) scenario {
	g := generator{rand.NewPCG(seed, 0)}
	s := scenario{nodes: make([]drawnNode, p.Nodes)}
	for i := range s.nodes {
		s.nodes[i] = drawnNode{g.uniform(NodeEntropy), g.parts(NodeCapacity)}
	}
	s.containers = make([]drawnContainer, g.integer(p.Containers))
	for i := range s.containers {
		s.containers[i] = drawnContainer{g.uniform(ContainerEntropy), g.parts(ContainerDemand)}
	}
	return s
}

type generator struct{ *rand.PCG }

func (g generator) fraction() float64 { return float64(g.Uint64()>>11) / (1 << 53) }

// uniform is low + (high − low)·f, each step rounded to a float64.
func (g generator) uniform(u Uniform) float64 {
	return u.Low + float64(float64(u.High-u.Low)*g.fraction())
}

// parts is a uniform draw in parts of the whole, rounded to the nearest.
func (g generator) parts(u Uniform) int64 {
	return int64(math.Round(float64(g.uniform(u) * whole)))
}

// integer is ⌊least + n·f⌋ over the n integers of the range.
func (g generator) integer(r Range) int {
	n := float64(r.Most - r.Least + 1)
	return r.Least + int(float64(n*g.fraction()))
}
