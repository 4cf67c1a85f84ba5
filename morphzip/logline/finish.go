package logline

// close completes the columns.
func (s *splitter) close(t *Table) {
	t.Columns = make([]Column, len(s.columns))
	for i := range s.columns {
		p := &s.columns[i]
		if p.Type.Numeric() {
			p.measure()
		}
		t.Columns[i] = p.Column
	}
	for i := range t.Columns {
		if t.Columns[i].Type == Text {
			s.nest(&t.Columns[i])
		}
	}
	for i := range t.Columns {
		t.Columns[i].pack()
	}
}

// measure chooses how the column's widths are told, and the times' unit.
func (p *pending) measure() {
	switch {
	case p.Type == Address || p.Type == Uptime:
		p.Width, p.Widths = 0, nil
	case p.least == p.most && (p.Type == Fixed || p.Type == Time || !p.natural):
		p.Width, p.Widths = int(p.least), nil
		if p.Type == Time && p.Width < 9 {
			unit := int64(powers[9-p.Width])
			for i, v := range p.Numbers {
				p.Numbers[i] = uint64(int64(v) / unit)
			}
		}
	case p.natural && p.Type != Fixed && p.Type != Time:
		p.Width, p.Widths = 0, nil
	}
}

// pack turns the texts of digests and UUIDs into the bytes they stand for.
func (c *Column) pack() {
	if c.Type != Digest && c.Type != UUID {
		return
	}
	packed := Strings{Ends: c.Dictionary.Ends}
	start := uint32(0)
	for i, end := range c.Dictionary.Ends {
		high, half := byte(0), false
		for _, b := range c.Dictionary.Bytes[start:end] {
			n := nibbles[b]
			if n > 15 {
				continue
			}
			if half {
				packed.Bytes = append(packed.Bytes, high|n)
			} else {
				high = n << 4
			}
			half = !half
		}
		start = end
		packed.Ends[i] = uint32(len(packed.Bytes))
	}
	c.Dictionary = packed
}

// The bounds of nesting: below, a table of the entries costs more than it saves.
const (
	maxDepth    = 2
	nestBytes   = 512
	nestEntries = 16
)

// nest takes a column's entries apart, where they have a structure.
func (s *splitter) nest(c *Column) {
	d := &c.Dictionary
	if s.depth >= maxDepth || s.fine || d.Len() < nestEntries || len(d.Bytes) < nestBytes {
		return
	}
	spaces, lengths := 0, len(d.Bytes)
	for _, b := range d.Bytes {
		if b == ' ' {
			spaces++
		}
	}
	// The lines of a text that were not taken apart will not be here.
	if lengths/d.Len() > 1024 || (s.depth == 0 && len(s.lines) == d.Len()) {
		return
	}
	flat := Strings{}
	indices := c.Indices
	if d.Len()*4 > len(c.Indices)*3 { // mostly distinct: indices would cost as much
		for _, n := range c.Indices {
			flat.Append(d.At(int(n)))
		}
		indices = nil
	} else {
		flat = *d
	}
	inner := new(splitter)
	t := inner.entries(&flat, spaces < d.Len()/2, s.depth+1)
	if len(t.Templates)*4 > len(t.Rows) || (len(t.Columns) == 1 && t.Columns[0].Len() == len(t.Rows) && !t.Columns[0].Type.Numeric() && len(t.Templates[0].Literals[0])+len(t.Templates[0].Literals[1]) == 0) {
		return
	}
	c.Table, c.Dictionary, c.Indices = t, flat, indices
}
