package logline

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestMayContain looks for what is in a block, and for what may not be.
func TestMayContain(t *testing.T) {
	g := lines()
	rapid.Check(t, func(t *rapid.T) {
		block := g.Draw(t, "block")
		out, ok := Encode(nil, block, Default)
		if !ok {
			return
		}
		all := bytes.Split(block, []byte{'\n'})
		l := rapid.SampledFrom(all).Draw(t, "line")
		at := rapid.IntRange(0, len(l)).Draw(t, "at")
		end := rapid.IntRange(at, len(l)).Draw(t, "end")
		may, err := MayContain(out, len(block), l[at:end])
		if err != nil || !may {
			t.Fatalf("%q is in %q: %v", l[at:end], l, err)
		}
	})
}

// TestMayContainSkips looks for words that no line has, though its bytes are
// there.
func TestMayContainSkips(t *testing.T) {
	var b []byte
	for i := range 2000 {
		b = fmt.Appendf(b, "2026-11-23T07:49:%02d.%03dZ level=INFO msg=\"request %s\" path=/items/%d/view user=u%d\n", i/40%60, i%1000, []string{"begins", "ends"}[i%2], i*7919, i%13)
	}
	out, ok := Encode(nil, b, Default)
	if !ok {
		t.Fatal("not coded")
	}
	for _, q := range []string{"needle", "level=WARN", "request starts", "items/needle", "u13", "user=x", "ends\" path=/xyz", "Z level=INFO msg=\"request begins\" path=/items/9999999999"} {
		if may, err := MayContain(out, len(b), []byte(q)); may || err != nil {
			t.Errorf("%q may be in the block: %v", q, err)
		}
	}
	for _, q := range []string{"u12", "07:49:1", "begins\" path=/items/0/v", "INFO", "\" p"} {
		if may, err := MayContain(out, len(b), []byte(q)); !may || err != nil {
			t.Errorf("%q may not be in the block: %v", q, err)
		}
	}
	c, err := Open(out, len(b))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range c.Columns() {
		col, err := c.Column(i)
		if err != nil {
			t.Fatal(err)
		}
		f := c.Facts(i)
		if col.Len() != f.Values {
			t.Errorf("column %d has %d values, not %d", i, col.Len(), f.Values)
		}
		n += f.Values
	}
	if n < 2000 || len(c.Templates()) == 0 {
		t.Errorf("%d values, %d templates", n, len(c.Templates()))
	}
}

func BenchmarkMayContain(b *testing.B) {
	for name, l := range logs(b) {
		b.Run(name, func(b *testing.B) {
			block := l[:min(len(l), 1<<20)]
			out, ok := Encode(nil, block, Default)
			if !ok {
				b.Skip("not lines")
			}
			for b.Loop() {
				if _, err := MayContain(out, len(block), []byte("xyzzy-needle")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
