package plots

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars are upright rectangles from 0, with whiskers where they are given.
// Hatched ones can be told from the others without colour.
type bars struct {
	left, right []float64 // on the x axis
	height      []float64
	low, high   []float64 // whiskers, or nil
	fill        color.Color
	hatched     bool
}

var (
	outline = draw.LineStyle{Color: black, Width: 0.6}
	hatch   = draw.LineStyle{Color: black, Width: 0.5}
	whisker = draw.LineStyle{Color: black, Width: 0.9}
	halo    = draw.LineStyle{Color: color.White, Width: 2.4} // around whiskers
)

// drawWhisker draws a whisker, with arms at both ends, that stands out from
// what is behind it. One that would be hidden by its own arms is left out.
func drawWhisker(c draw.Canvas, x, low, high, arm vg.Length) {
	if high-low < 2*halo.Width {
		return
	}
	for _, style := range []draw.LineStyle{halo, whisker} {
		c.StrokeLine2(style, x, low, x, high)
		c.StrokeLine2(style, x-arm, low, x+arm, low)
		c.StrokeLine2(style, x-arm, high, x+arm, high)
	}
}

// Plot implements plot.Plotter.
func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i := range b.height {
		b.bar(c, vg.Rectangle{
			Min: vg.Point{X: x(b.left[i]), Y: y(0)},
			Max: vg.Point{X: x(b.right[i]), Y: y(b.height[i])},
		})
		if b.low == nil {
			continue
		}
		middle, arm := (x(b.left[i])+x(b.right[i]))/2, (x(b.right[i])-x(b.left[i]))/6
		drawWhisker(c, middle, y(b.low[i]), y(b.high[i]), arm)
	}
}

// bar draws one rectangle, if it has any height.
func (b *bars) bar(c draw.Canvas, r vg.Rectangle) {
	if r.Max.Y <= r.Min.Y {
		return
	}
	corners := []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}, r.Min}
	c.FillPolygon(b.fill, corners)
	if b.hatched {
		const gap = 4
		width, height := r.Max.X-r.Min.X, r.Max.Y-r.Min.Y
		// The lines x + y = d of the rectangle.
		for d := vg.Length(gap); d < width+height; d += gap {
			x0, x1 := max(0, d-height), min(width, d)
			c.StrokeLine2(hatch, r.Min.X+x0, r.Min.Y+d-x0, r.Min.X+x1, r.Min.Y+d-x1)
		}
	}
	c.StrokeLines(outline, corners)
}

// Thumbnail implements plot.Thumbnailer.
func (b *bars) Thumbnail(c *draw.Canvas) {
	b.bar(*c, vg.Rectangle{Min: vg.Point{X: c.Min.X, Y: c.Min.Y + 1}, Max: vg.Point{X: c.Max.X, Y: c.Max.Y - 1}})
}

// DataRange implements plot.DataRanger.
func (b *bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for i := range b.height {
		if i == 0 {
			xmin, xmax = b.left[0], b.right[0]
		}
		xmin, xmax, ymax = min(xmin, b.left[i]), max(xmax, b.right[i]), max(ymax, b.height[i])
		if b.high != nil {
			ymax = max(ymax, b.high[i])
		}
	}
	return xmin, xmax, 0, ymax
}
