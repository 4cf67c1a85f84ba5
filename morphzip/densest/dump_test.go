package densest

import (
	"fmt"
	"os"
	"sort"
	"testing"
)

func TestDump(t *testing.T) {
	f := os.Getenv("DUMP")
	if f == "" {
		t.Skip()
	}
	b, _ := os.ReadFile(f)
	s := split(b)
	sort.SliceStable(s.clusters, func(i, j int) bool { return s.clusters[i].first < s.clusters[j].first })
	for _, c := range s.clusters {
		fmt.Printf("%4d ", len(c.rows))
		for _, p := range c.pieces {
			if p.kind == literal {
				fmt.Printf("%s", p.lit)
			} else if p.kind == text {
				fmt.Print("\x1b[31m*\x1b[0m")
			} else {
				fmt.Print("<T>")
			}
		}
		fmt.Println()
	}
}
