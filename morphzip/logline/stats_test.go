package logline

import (
	"fmt"
	"strings"
	"testing"
)

// TestSizes prints what the columns of logs take.
func TestSizes(t *testing.T) {
	for name, b := range logs(t) {
		b = b[:min(len(b), 1<<20)]
		out, ok := Encode(nil, b, Default)
		if !ok {
			continue
		}
		d := new(decoder)
		c, err := d.open(out, len(b))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d, head %d", name, len(out), len(out)-bodyOf(c))
		printSizes(t, d, c, " ")
	}
}

func bodyOf(c *codedTable) int {
	n := len(c.rows.body)
	for i := range c.columns {
		n += len(c.columns[i].section.body)
	}
	return n
}

func printSizes(t *testing.T, d *decoder, c *codedTable, indent string) {
	text := 0
	for _, p := range c.Templates {
		for _, l := range p.Literals {
			text += len(l) + 1
		}
	}
	t.Logf("%s%d rows %d meta %d body; %d templates, %d bytes; %d columns", indent, c.lines, len(c.rows.meta), len(c.rows.body), len(c.Templates), text, len(c.Columns))
	before := map[uint32]string{}
	for _, p := range c.Templates {
		for i, s := range p.Slots {
			if before[s] == "" {
				l := p.Literals[i]
				before[s] = fmt.Sprintf("%q", l[max(0, len(l)-20):])
			}
		}
	}
	if err := d.all(c); err != nil {
		t.Fatal(err)
	}
	for i := range c.columns {
		k, col := &c.columns[i], &c.Columns[i]
		if len(k.section.body) < 20 && k.shape&(shapeApart|shapeTable) == 0 && len(col.Dictionary.Bytes) < 200 {
			continue
		}
		how := []string{}
		m := k.section.meta
		for n := 0; n < min(len(m), 10); n++ {
			how = append(how, fmt.Sprint(m[n]))
		}
		t.Logf("%s%d %s type %d n %d entries %d shape %d dict %d: body %d meta %d [%s]", indent, i, before[uint32(i)], col.Type, k.length, k.entries, k.shape, len(col.Dictionary.Bytes), len(k.section.body), len(k.section.meta), strings.Join(how, " "))
		if k.shape&shapeTable != 0 && !col.Type.Numeric() {
			d.section = k.section
			if k.shape&shapeSeries != 0 {
				c.aligner.begin(i)
				if _, err := d.varint(1); err != nil {
					t.Fatal(err)
				}
				if _, err := d.series(k.length, c.aligner, false); err != nil {
					t.Fatal(err)
				}
			}
			in, err := d.table()
			if err != nil {
				t.Fatal(err)
			}
			printSizes(t, d, in, indent+"    ")
		}
	}
}
