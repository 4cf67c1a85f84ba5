package plots

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg/draw"

	"github.com/entroos/entroos/router/simulation"
)

// means are mean values as squares, with whiskers.
type means struct {
	at    []float64
	bands []band
}

var square = draw.GlyphStyle{Color: black, Radius: 3, Shape: draw.BoxGlyph{}}

// meansByEntropy averages y over ten equal intervals of x, those that have any.
func meansByEntropy(x, y []float64) *means {
	const bins = 10
	low, high := simulation.NodeEntropy.Low, simulation.NodeEntropy.High
	var values [bins][]float64
	for i := range x {
		b := min(bins-1, max(0, int((x[i]-low)/(high-low)*bins)))
		values[b] = append(values[b], y[i])
	}
	m := new(means)
	for b, v := range values {
		if len(v) > 0 {
			m.at = append(m.at, low+(float64(b)+0.5)*(high-low)/bins)
			m.bands = append(m.bands, bandOf(v))
		}
	}
	return m
}

// Plot implements plot.Plotter.
func (m *means) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, b := range m.bands {
		at := x(m.at[i])
		drawWhisker(c, at, y(b.low), y(b.high), 3)
	}
	for i, b := range m.bands {
		point := c.Center()
		point.X, point.Y = x(m.at[i]), y(b.mean)
		c.DrawGlyph(square, point)
	}
}

// Thumbnail implements plot.Thumbnailer.
func (m *means) Thumbnail(c *draw.Canvas) {
	centre := c.Center()
	c.StrokeLine2(whisker, centre.X, c.Min.Y, centre.X, c.Max.Y)
	c.DrawGlyph(square, centre)
}
