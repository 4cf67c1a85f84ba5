package logline

import (
	"os"
	"strings"
	"testing"
)

// TestDump prints the templates of a file.
func TestDump(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("LOGLINE_DUMP"))
	if err != nil {
		t.Skip()
	}
	b = b[:min(len(b), 1<<20)]
	s := Split(b)
	rows := make([]int, len(s.Templates))
	for _, r := range s.Rows {
		rows[r]++
	}
	for i, p := range s.Templates {
		var l strings.Builder
		for k, x := range p.Literals {
			l.Write(x)
			if k < len(p.Slots) {
				l.WriteString("‹" + string(rune('0'+s.Columns[p.Slots[k]].Type)) + "›")
			}
		}
		t.Logf("%d: %s", rows[i], l.String())
	}
}
