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

// A figure is a plot with its legend below it, where it covers nothing, and
// below that notes on what is drawn.
type figure struct {
	*plot.Plot
	legend []legendEntry
	notes  []string
}

type legendEntry struct {
	name   string
	thumbs []plot.Thumbnailer
}

func newFigure(title, x, y string, r *simulation.Result) *figure {
	f := &figure{Plot: plot.New()}
	f.Title.Text = title
	f.Title.Padding = 8
	f.notes = []string{r.Parameters.String() + "."}
	f.X.Label.Text, f.Y.Label.Text = x, y
	f.X.Label.Padding, f.Y.Label.Padding = 3, 3
	for style, size := range map[*text.Style]vg.Length{
		&f.Title.TextStyle:   11,
		&f.X.Label.TextStyle: 10, &f.Y.Label.TextStyle: 10,
		&f.X.Tick.Label: 9, &f.Y.Tick.Label: 9,
	} {
		style.Font, style.Handler = sans(size), newSubscript()
	}
	f.BackgroundColor = color.White
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color, grid.Horizontal.Width = grey, 0.5
	f.Add(grid)
	return f
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// note adds a line below the legend.
func (f *figure) note(format string, values ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, values...))
}

// explain adds an entry to the legend.
func (f *figure) explain(name string, thumbs ...plot.Thumbnailer) {
	f.legend = append(f.legend, legendEntry{name, thumbs})
}

const (
	legendRow = vg.Length(13)
	noteRow   = vg.Length(11)
	margin    = vg.Length(6)
	indent    = vg.Length(42) // of the legend and the notes, from the left edge
)

// draw draws the plot, the legend in two columns below it, and the notes.
func (f *figure) draw(c draw.Canvas) {
	const columns = 2
	rows := (len(f.legend) + columns - 1) / columns
	below := 2*margin + legendRow*vg.Length(rows) + noteRow*vg.Length(len(f.notes))
	f.Plot.Draw(draw.Crop(c, margin, -2*margin, below, -margin))
	width := (c.Max.X - c.Min.X - indent) / columns
	top := c.Min.Y + below - margin
	for i, e := range f.legend {
		l := plot.NewLegend()
		l.TextStyle.Font, l.TextStyle.Handler = sans(9), newSubscript()
		l.Left, l.Top = true, true
		l.ThumbnailWidth = 26
		l.Add(" "+e.name, e.thumbs...)
		corner := vg.Point{X: c.Min.X + indent + width*vg.Length(i/rows), Y: top - legendRow*vg.Length(i%rows)}
		l.Draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: corner.X, Y: corner.Y - legendRow}, Max: vg.Point{X: corner.X + width, Y: corner.Y},
		}})
	}
	style := f.X.Label.TextStyle
	style.Font = sans(8)
	style.XAlign, style.YAlign = text.XLeft, text.YTop
	for i, note := range f.notes {
		c.FillText(style, vg.Point{X: c.Min.X + indent, Y: top - legendRow*vg.Length(rows) - noteRow*vg.Length(i)}, note)
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
