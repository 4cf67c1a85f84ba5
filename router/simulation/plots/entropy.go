package plots

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/router/simulation"
)

// shownPoints is how many nodes are drawn one by one at most: more could not be
// told apart. All nodes count in the means, the line and r.
const shownPoints = 500

// entropy draws how many containers each node got against its entropy.
func entropy(r *simulation.Result) (*figure, error) {
	f := newFigure("Containers per node against the node's entropy", "node entropy E_n (bit per bit)", "containers on the node", r)
	var x, y []float64
	for _, run := range r.Runs {
		for _, n := range run.Nodes {
			x, y = append(x, n.Entropy), append(y, float64(n.Containers))
		}
	}
	points, err := plotter.NewScatter(pairs(x, y, shownPoints))
	if err != nil {
		return nil, err
	}
	points.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: 1.8, Shape: draw.RingGlyph{}}
	f.Add(points)
	f.explain("a node", points)
	if len(x) > shownPoints {
		f.note("The first %d of %d nodes are drawn as points; the means, the line (least squares) and its r are over all.", shownPoints, len(x))
	}
	top := 0.0
	for _, v := range y {
		top = max(top, v)
	}
	var fit legendEntry // explained after the means, though drawn below them
	if slope, intercept, ok := leastSquares(x, y); ok {
		low, high := simulation.NodeEntropy.Low, simulation.NodeEntropy.High
		line, err := plotter.NewLine(plotter.XYs{{X: low, Y: intercept + slope*low}, {X: high, Y: intercept + slope*high}})
		if err != nil {
			return nil, err
		}
		line.LineStyle = draw.LineStyle{Color: vermilion, Width: 1.8, Dashes: []vg.Length{8, 3}}
		f.Add(line)
		formula := strings.ReplaceAll(fmt.Sprintf("%.2f + %.2f E_n", intercept, slope), "-", "−")
		fit.name = fmt.Sprintf("line fitted: %s, r = %.3f", formula, equations.PearsonCorrelation(x, y))
		fit.thumbs = []plot.Thumbnailer{line}
	}
	if bins := meansByEntropy(x, y); len(bins.at) > 1 && len(x) >= 20*len(bins.at) {
		f.Add(bins)
		f.explain("mean by entropy, with 5th to 95th percentile", bins)
	}
	if fit.thumbs != nil {
		f.legend = append(f.legend, fit)
	}
	if c := r.Total.Correlation; c.Mean.Defined() && r.Parameters.Runs > 1 {
		f.note("Within a run, r is %.3f in the mean over the runs: nodes compete only with those of their own run.", float64(c.Mean))
	}
	f.X.Min, f.X.Max = simulation.NodeEntropy.Low-0.02, simulation.NodeEntropy.High+0.02
	f.X.Tick.Marker = constantTicks(ticks(simulation.NodeEntropy.Low, simulation.NodeEntropy.High, 0.1), "%.1f")
	f.Y.Min = 0
	f.Y.Max = math.Max(1, top*1.04)
	f.Y.Tick.Marker = wholeTicks(f.Y.Max)
	return f, nil
}

// pairs are the first points, the most of them being n.
func pairs(x, y []float64, n int) plotter.XYs {
	p := make(plotter.XYs, min(n, len(x)))
	for i := range p {
		p[i].X, p[i].Y = x[i], y[i]
	}
	return p
}

// leastSquares fits y = intercept + slope·x, if x varies.
func leastSquares(x, y []float64) (slope, intercept float64, ok bool) {
	var mx, my, xx, xy float64
	for i := range x {
		mx += x[i] / float64(len(x))
		my += y[i] / float64(len(x))
	}
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	if !(xx > 0) {
		return 0, 0, false
	}
	slope = xy / xx
	return slope, my - slope*mx, true
}
