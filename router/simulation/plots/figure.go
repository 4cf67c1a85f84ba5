package plots

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/entroos/entroos/router/simulation"
)

// The colours of Okabe and Ito that are used. In grey they are of different
// lightness: black 0, blue 0.37, vermilion 0.47, sky 0.66, orange 0.68.
var (
	black     = color.RGBA{0, 0, 0, 255}
	blue      = color.RGBA{0, 114, 178, 255}
	vermilion = color.RGBA{213, 94, 0, 255}
	sky       = color.RGBA{86, 180, 233, 255}
	orange    = color.RGBA{230, 159, 0, 255}
	grey      = color.RGBA{225, 225, 225, 255} // of the grid
)

// family is the font's, as the SVG names it.
const family = "Liberation Sans"

// A figure is a plot with its legend below it, where it covers nothing.
type figure struct {
	*plot.Plot
	legend []legendEntry
}

type legendEntry struct {
	name   string
	thumbs []plot.Thumbnailer
}

func newFigure(title, x, y string, r *simulation.Result) *figure {
	f := &figure{Plot: plot.New()}
	p := r.Parameters
	f.Title.Text = fmt.Sprintf("%s\n%s", title, setting(p))
	f.Title.Padding = 6
	f.X.Label.Text, f.Y.Label.Text = x, y
	f.X.Label.Padding, f.Y.Label.Padding = 3, 3
	for style, size := range map[*text.Style]vg.Length{
		&f.Title.TextStyle:   10,
		&f.X.Label.TextStyle: 10, &f.Y.Label.TextStyle: 10,
		&f.X.Tick.Label: 9, &f.Y.Tick.Label: 9,
	} {
		style.Font = sans(size)
	}
	f.BackgroundColor = color.White
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color, grid.Horizontal.Width = grey, 0.5
	f.Add(grid)
	return f
}

// setting says what was run.
func setting(p simulation.Parameters) string {
	runs := "1 run"
	seeds := fmt.Sprintf("seed %d", p.Seed)
	if p.Runs > 1 {
		runs = fmt.Sprintf("%d runs", p.Runs)
		seeds = fmt.Sprintf("seeds %d–%d", p.Seed, p.Seed+uint64(p.Runs-1))
	}
	nodes := "1 node"
	if p.Nodes > 1 {
		nodes = fmt.Sprintf("%d nodes", p.Nodes)
	}
	return fmt.Sprintf("%s (%s) of %s and %s containers; w = %g, T = %g", runs, seeds, nodes, p.Containers, simulation.Weight, simulation.Target)
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// explain adds an entry to the legend.
func (f *figure) explain(name string, thumbs ...plot.Thumbnailer) {
	f.legend = append(f.legend, legendEntry{name, thumbs})
}

const (
	legendRow    = 13 * vg.Length(1)
	legendMargin = 8 * vg.Length(1)
)

// draw draws the plot, and the legend in two columns below it.
func (f *figure) draw(c draw.Canvas) {
	const columns = 2
	rows := (len(f.legend) + columns - 1) / columns
	height := legendRow*vg.Length(rows) + legendMargin
	f.Plot.Draw(draw.Crop(c, 6, -12, height, -6))
	width := (c.Max.X - c.Min.X - 60) / columns
	for i, e := range f.legend {
		l := plot.NewLegend()
		l.TextStyle.Font = sans(9)
		l.Left, l.Top = true, true
		l.ThumbnailWidth = 26
		l.Add(e.name, e.thumbs...)
		left := c.Min.X + 48 + width*vg.Length(i/rows)
		top := c.Min.Y + height - legendMargin/2 - legendRow*vg.Length(i%rows)
		l.Draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left, Y: top - legendRow}, Max: vg.Point{X: left + width, Y: top},
		}})
	}
}

// A rule is a straight line across the whole plot at a value.
type rule struct {
	at       float64
	vertical bool
	draw.LineStyle
}

func newRule(at float64, vertical bool, c color.Color, width vg.Length, dashes ...vg.Length) *rule {
	return &rule{at, vertical, draw.LineStyle{Color: c, Width: width, Dashes: dashes}}
}

// Plot implements plot.Plotter.
func (r *rule) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	if r.vertical {
		c.StrokeLine2(r.LineStyle, x(r.at), c.Min.Y, x(r.at), c.Max.Y)
		return
	}
	c.StrokeLine2(r.LineStyle, c.Min.X, y(r.at), c.Max.X, y(r.at))
}

// Thumbnail implements plot.Thumbnailer.
func (r *rule) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(r.LineStyle, c.Min.X, y, c.Max.X, y)
}
