// Package plots draws the pictures of the production test. They can be told
// apart without colour: each series has its own fill, marker or line, and the
// colours are those of Okabe and Ito (Color Universal Design, 2008).
package plots

import (
	"bytes"
	"fmt"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/entroos/entroos/router/simulation"
)

// A Picture is one figure, the same in both forms. The same result gives the
// same bytes.
type Picture struct {
	Name     string // without an ending
	SVG, PNG []byte
}

// Width and Height are a picture's size: two columns of a paper.
const (
	Width  = 6.5 * vg.Inch
	Height = 4.4 * vg.Inch
	// Resolution is the PNG's, in dots per inch.
	Resolution = 300
)

// Draw draws the three pictures.
func Draw(r *simulation.Result) ([]Picture, error) {
	var pictures []Picture
	for _, f := range []struct {
		name string
		make func(*simulation.Result) (*figure, error)
	}{
		{"utilisation", utilisation},
		{"entropy", entropy},
		{"correlation", correlation},
	} {
		figure, err := f.make(r)
		if err != nil {
			return nil, fmt.Errorf("picture %s: %w", f.name, err)
		}
		picture := Picture{Name: f.name}
		if picture.SVG, err = figure.svg(); err != nil {
			return nil, fmt.Errorf("picture %s: %w", f.name, err)
		}
		if picture.PNG, err = figure.png(); err != nil {
			return nil, fmt.Errorf("picture %s: %w", f.name, err)
		}
		pictures = append(pictures, picture)
	}
	return pictures, nil
}

func (f *figure) svg() ([]byte, error) {
	canvas := vgsvg.New(Width, Height)
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	text, err := finishText(out.String())
	return []byte(text), err
}

func (f *figure) png() ([]byte, error) {
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(Width, Height), vgimg.UseDPI(Resolution))}
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	_, err := canvas.WriteTo(&out)
	return out.Bytes(), err
}
