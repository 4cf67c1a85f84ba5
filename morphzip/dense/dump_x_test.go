package dense

import (
	"fmt"
	"os"
	"testing"

	"github.com/entroos/entroos/morphzip/logline"
)

func dump(t *logline.Table, ind string) {
	slots := 0
	use := make([]int, len(t.Columns))
	for _, r := range t.Rows {
		slots += len(t.Templates[r].Slots)
		for _, s := range t.Templates[r].Slots {
			use[s]++
		}
	}
	fmt.Printf("%srows %d templates %d columns %d slots/row %.1f\n", ind, len(t.Rows), len(t.Templates), len(t.Columns), float64(slots)/float64(len(t.Rows)))
	n := make([]int, len(t.Templates))
	for _, r := range t.Rows {
		n[r]++
	}
	for i, tp := range t.Templates {
		if i < 12 {
			s := ""
			for k, l := range tp.Literals {
				s += string(l)
				if k < len(tp.Slots) {
					s += fmt.Sprintf("<%d>", tp.Slots[k])
				}
			}
			if len(s) > 400 {
				s = s[:400]
			}
			fmt.Printf("%s  T%d x%d %q\n", ind, i, n[i], s)
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Len()*50 < len(t.Rows) && i > 30 {
			continue
		}
		fmt.Printf("%s  C%d type %d len %d width %d widths %v layout %q idx %v dict %d/%dB", ind, i, c.Type, c.Len(), c.Width, c.Widths != nil, c.Layout, c.Indices != nil, c.Dictionary.Len(), len(c.Dictionary.Bytes))
		if c.Type.Numeric() {
			m := map[uint64]int{}
			for _, v := range c.Numbers {
				m[v]++
			}
			fmt.Printf(" distinct %d: %v", len(m), c.Numbers[:min(8, len(c.Numbers))])
		} else {
			for k := 0; k < min(3, c.Dictionary.Len()); k++ {
				s := c.Dictionary.At(k)
				fmt.Printf(" %.70q", s)
			}
		}
		fmt.Println()
		if c.Table != nil {
			dump(c.Table, ind+"      ")
		}
	}
}

func TestDump(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("F"))
	if err != nil {
		t.Skip()
	}
	b = b[:min(len(b), 8<<20)]
	dump(logline.Split(b), "")
}
