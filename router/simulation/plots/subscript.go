package plots

import (
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// subscript is a handler of plain text in which a letter after "_" is lowered:
// the font has no such letters of its own.
type subscript struct{ text.Plain }

func newSubscript() subscript { return subscript{text.Plain{Fonts: plot.DefaultTextHandler.Cache()}} }

// A piece is a part of a line in one size.
type piece struct {
	text string
	font font.Font
	drop vg.Length // below the line
}

func pieces(line string, f font.Font) []piece {
	small := f
	small.Size *= 0.7
	parts := strings.Split(line, "_")
	list := []piece{{text: parts[0], font: f}}
	for _, p := range parts[1:] {
		letter := min(1, len(p))
		list = append(list, piece{p[:letter], small, f.Size / 6}, piece{text: p[letter:], font: f})
	}
	return list
}

// Box implements text.Handler.
func (h subscript) Box(line string, f font.Font) (width, height, depth vg.Length) {
	_, height, depth = h.Plain.Box(line, f)
	for _, p := range pieces(line, f) {
		w, _, _ := h.Plain.Box(p.text, p.font)
		width += w
	}
	return width, height, depth
}

// Draw implements text.Handler. Only upright text of one line has subscripts.
func (h subscript) Draw(c vg.Canvas, line string, style text.Style, at vg.Point) {
	if style.Rotation != 0 || !strings.Contains(line, "_") {
		h.Plain.Draw(c, line, style, at)
		return
	}
	width, height, depth := h.Box(line, style.Font)
	at.X += width * vg.Length(style.XAlign)
	at.Y += (height+depth)*vg.Length(style.YAlign) - h.Extents(style.Font).Ascent + style.Font.Size
	c.SetColor(style.Color)
	if isSVG(c) { // the subscripts come when the text is done (finishText)
		c.FillString(h.Fonts.Lookup(style.Font, style.Font.Size), at, line)
		return
	}
	for _, p := range pieces(line, style.Font) {
		face := h.Fonts.Lookup(p.font, p.font.Size)
		if p.text != "" {
			c.FillString(face, vg.Point{X: at.X, Y: at.Y - p.drop}, p.text)
		}
		at.X += face.Width(p.text)
	}
}

// isSVG looks through the canvases that are parts of others.
func isSVG(c vg.Canvas) bool {
	for {
		switch part := c.(type) {
		case *draw.Canvas:
			c = part.Canvas
		case draw.Canvas:
			c = part.Canvas
		case *vgsvg.Canvas:
			return true
		default:
			return false
		}
	}
}
