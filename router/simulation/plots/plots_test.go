package plots_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entroos/entroos/router/simulation"
	"github.com/entroos/entroos/router/simulation/plots"
)

func draw(t testing.TB, p simulation.Parameters) []plots.Picture {
	t.Helper()
	r, err := simulation.Simulate(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := plots.Draw(r)
	if err != nil {
		t.Fatal(err)
	}
	return pictures
}

// text returns what an SVG has to read, and fails if it is not well formed.
func text(t testing.TB, svg []byte) string {
	t.Helper()
	var out strings.Builder
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if chars, ok := token.(xml.CharData); ok {
			out.Write(bytes.TrimSpace(chars))
			out.WriteByte('\n')
		}
	}
}

func TestPicturesTellTheResult(t *testing.T) {
	p := simulation.Default()
	p.Runs = 60
	r, err := simulation.Simulate(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	pictures := draw(t, p)
	for i, want := range [][]string{
		{"utilisation", "CPU utilisation (% of the node)", "target, 20 %", "with the governor", "without a governor", "seeds 1 to 60"},
		{"entropy", "containers on the node", "line fitted", "(bit per bit)"},
		{"correlation", "number of runs", "prototype, 0.3042", "mean 0.", "(dimensionless)"},
	} {
		picture := pictures[i]
		if picture.Name != want[0] {
			t.Errorf("picture %d is %s", i, picture.Name)
		}
		read := text(t, picture.SVG)
		for _, w := range want[1:] {
			if !strings.Contains(read, w) {
				t.Errorf("%s does not say %q:\n%s", picture.Name, w, read)
			}
		}
		if strings.Contains(read, "NaN") || bytes.Contains(picture.SVG, []byte("NaN")) {
			t.Errorf("%s has NaN in it", picture.Name)
		}
		img, err := png.Decode(bytes.NewReader(picture.PNG))
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 1950 || b.Dy() != 1320 {
			t.Errorf("%s is of %v dots", picture.Name, b)
		}
		// What is drawn keeps off the edges: nothing is cut.
		for x := range img.Bounds().Dx() {
			for _, y := range []int{0, 1, 1318, 1319} {
				if c := color.GrayModel.Convert(img.At(x, y)).(color.Gray); c.Y < 250 {
					t.Fatalf("%s has something at the edge, %d,%d", picture.Name, x, y)
				}
			}
		}
		for y := range img.Bounds().Dy() {
			for _, x := range []int{0, 1, 1948, 1949} {
				if c := color.GrayModel.Convert(img.At(x, y)).(color.Gray); c.Y < 250 {
					t.Fatalf("%s has something at the edge, %d,%d", picture.Name, x, y)
				}
			}
		}
	}
	if !r.Total.Correlation.Mean.Defined() {
		t.Error("r is not defined")
	}
	again := draw(t, p)
	for i := range pictures {
		if !bytes.Equal(pictures[i].SVG, again[i].SVG) || !bytes.Equal(pictures[i].PNG, again[i].PNG) {
			t.Errorf("%s is not the same twice", pictures[i].Name)
		}
	}
}

// Tests in which this or that is not defined can be drawn too.
func TestPicturesOfOddTests(t *testing.T) {
	for name, p := range map[string]simulation.Parameters{
		"one of each":     {Runs: 1, Nodes: 1, Containers: simulation.Range{Least: 1, Most: 1}},
		"two nodes":       {Runs: 1, Nodes: 2, Containers: simulation.Range{Least: 1, Most: 3}, Seed: 5},
		"many nodes":      {Runs: 3, Nodes: 137, Containers: simulation.Range{Least: 300, Most: 300}},
		"overloaded":      {Runs: 2, Nodes: 2, Containers: simulation.Range{Least: 400, Most: 400}},
		"many containers": {Runs: 1, Nodes: 10, Containers: simulation.Range{Least: 5000, Most: 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, picture := range draw(t, p) {
				if text(t, picture.SVG); bytes.Contains(picture.SVG, []byte("NaN")) || bytes.Contains(picture.SVG, []byte("Inf")) {
					t.Errorf("%s has NaN or Inf in it", picture.Name)
				}
			}
		})
	}
}

func TestWrite(t *testing.T) {
	pictures := []plots.Picture{{"a", []byte("a svg"), []byte("a png")}, {"b", []byte("b svg"), []byte("b png")}}
	folder := filepath.Join(t.TempDir(), "pictures")
	for range 2 { // the second time over the first's
		paths, err := plots.Write(folder, pictures)
		if err != nil {
			t.Fatal(err)
		}
		if len(paths) != 4 || paths[3] != filepath.Join(folder, "b.png") {
			t.Errorf("paths %q", paths)
		}
		for i, want := range []string{"a svg", "a png", "b svg", "b png"} {
			if got, err := os.ReadFile(paths[i]); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", paths[i], got, err)
			}
		}
		if n := count(t, folder); n != 4 {
			t.Errorf("%d files", n)
		}
	}
}

func count(t *testing.T, folder string) int {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// An error leaves nothing half written.
func TestWriteLeavesNothing(t *testing.T) {
	pictures := []plots.Picture{{"a", []byte("a svg"), []byte("a png")}, {"b", []byte("b svg"), []byte("b png")}}
	root := t.TempDir()
	file, taken := filepath.Join(root, "file"), filepath.Join(root, "taken")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(taken, "b.svg"), 0o755); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{
		file:                               "is a file",
		filepath.Join(file, "below"):       "not a directory",
		filepath.Join(root, "no", "where"): "cannot be made",
		taken:                              "is a folder",
	} {
		paths, err := plots.Write(folder, pictures)
		if err == nil || !strings.Contains(err.Error(), want) || len(paths) > 0 {
			t.Errorf("%s: %q, %v, want %q", folder, paths, err, want)
		}
	}
	// A name that no file can have: the folder that was made is gone again.
	long := []plots.Picture{pictures[0], {strings.Repeat("x", 300), nil, nil}}
	if _, err := plots.Write(filepath.Join(root, "new"), long); err == nil {
		t.Error("a name of 300 letters was taken")
	}
	if n := count(t, root); n != 2 {
		t.Errorf("%d entries are left", n)
	}
	if n := count(t, taken); n != 1 {
		t.Errorf("%d entries are left among the pictures", n)
	}
}
