package plots

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"gonum.org/v1/plot"

	"github.com/entroos/entroos/router/simulation"
)

// prototypeUtilisation is where the prototype stood, in per cent.
const prototypeUtilisation = 44.3

// mostBars is how many groups of nodes are shown at most.
const mostBars = 20

// utilisation draws the nodes' utilisation against the target, with and without
// the governor. Nodes stand in the order of their entropy within their run, so
// that the n-th of one run can be averaged with that of another.
func utilisation(r *simulation.Result) (*figure, error) {
	groups := min(r.Parameters.Nodes, mostBars)
	without, with := make([][]float64, groups), make([][]float64, groups)
	for _, run := range r.Runs {
		nodes := slices.Clone(run.Nodes)
		slices.SortStableFunc(nodes, func(a, b simulation.Node) int { return cmp.Compare(a.Entropy, b.Entropy) })
		for i, n := range nodes {
			g := i * groups / len(nodes)
			without[g] = append(without[g], 100*n.Utilisation)
			with[g] = append(with[g], 100*n.Governed)
		}
	}
	axis := "node, in the order of entropy within its run (1 is the lowest E_n)"
	if groups < r.Parameters.Nodes {
		axis = fmt.Sprintf("%d groups of nodes, in the order of entropy within their run (1 is the lowest E_n)", groups)
	}
	f := newFigure("CPU utilisation per node against the target", axis, "CPU utilisation (% of the node)", r)
	free := &bars{fill: orange, hatched: true}
	held := &bars{fill: blue}
	var names []plot.Tick
	const half = 0.38
	for g := range groups {
		at := float64(g + 1)
		free.add(at-half, at, bandOf(without[g]))
		held.add(at, at+half, bandOf(with[g]))
		names = append(names, plot.Tick{Value: at, Label: strconv.Itoa(g + 1)})
	}
	f.note("A bar is the mean over the runs, a whisker the 5th to the 95th percentile.")
	f.note("Nodes whose containers want less than the target stay below it.")
	if r.Parameters.Runs*r.Parameters.Nodes/groups < 20 {
		free.low, free.high, held.low, held.high = nil, nil, nil, nil
		f.notes[1] = "A bar is the mean over the runs."
	}
	target := newRule(100*simulation.Target, false, black, 1.4)
	prototype := newRule(prototypeUtilisation, false, vermilion, 1.4, 6, 3)
	f.Add(free, held, target, prototype)
	f.X.Min, f.X.Max = 0.4, float64(groups)+0.6
	f.X.Tick.Marker = plot.ConstantTicks(names)
	f.X.Tick.Length = 0
	f.Y.Min, f.Y.Max = 0, 100
	f.Y.Tick.Marker = constantTicks(ticks(0, 100, 10), "%.0f")
	f.explain("without a governor", free)
	f.explain("with the governor", held)
	f.explain(fmt.Sprintf("target, %.0f %%", 100*simulation.Target), target)
	f.explain(fmt.Sprintf("prototype's mean, %.1f %%", prototypeUtilisation), prototype)
	return f, nil
}

func (b *bars) add(left, right float64, v band) {
	b.left, b.right, b.height = append(b.left, left), append(b.right, right), append(b.height, v.mean)
	b.low, b.high = append(b.low, v.low), append(b.high, v.high)
}
