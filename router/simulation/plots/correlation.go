package plots

import (
	"fmt"
	"math"

	"github.com/entroos/entroos/router/simulation"
)

// prototypeCorrelation is what the prototype showed.
const prototypeCorrelation = 0.3042

// binWidth is that of the histogram.
const binWidth = 0.02

// correlation draws how r is distributed over the runs.
func correlation(r *simulation.Result) (*figure, error) {
	f := newFigure("Correlation of containers with node entropy, over the runs",
		"Pearson's r of E_n with the number of containers, in a run (dimensionless)", "number of runs", r)
	counts := make(map[int]int)
	least, most := int(math.Floor(prototypeCorrelation/binWidth)), 0
	for _, run := range r.Runs {
		if !run.Correlation.Defined() {
			continue
		}
		bin := min(int(math.Floor(float64(run.Correlation)/binWidth)), int(1/binWidth)-1)
		counts[bin]++
		least, most = min(least, bin), max(most, counts[bin])
	}
	h := &bars{fill: sky}
	for bin := least; bin < int(1/binWidth); bin++ {
		if counts[bin] > 0 {
			h.left = append(h.left, float64(bin)*binWidth)
			h.right = append(h.right, float64(bin+1)*binWidth)
			h.height = append(h.height, float64(counts[bin]))
		}
	}
	prototype := newRule(prototypeCorrelation, true, vermilion, 1.6, 6, 3)
	mark := newRule(simulation.LeastCorrelation, true, blue, 1.6, 1.5, 2)
	f.Add(h, prototype, mark)
	low := math.Floor(10*float64(least)*binWidth-0.5) / 10
	f.X.Min, f.X.Max = low, 1
	f.X.Tick.Marker = constantTicks(ticks(low, 1, 0.1), "%.1f")
	f.Y.Min, f.Y.Max = 0, math.Max(1, 1.05*float64(most))
	f.Y.Tick.Marker = wholeTicks(f.Y.Max)
	f.explain(fmt.Sprintf("runs, in intervals of %g", binWidth), h)
	if c := r.Total.Correlation; c.Mean.Defined() {
		mean := newRule(float64(c.Mean), true, black, 1.8)
		f.Add(mean)
		name := fmt.Sprintf("mean %.4f", float64(c.Mean))
		if c.Deviation.Defined() {
			name += fmt.Sprintf(", deviation %.4f", float64(c.Deviation))
		}
		f.explain(name, mean)
	}
	f.explain(fmt.Sprintf("prototype, %.4f", prototypeCorrelation), prototype)
	f.explain(fmt.Sprintf("the mean must reach %.2f", simulation.LeastCorrelation), mark)
	return f, nil
}
