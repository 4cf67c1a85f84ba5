package logline

import "bytes"

// draft is a template in the making.
type draft struct {
	line   uint32 // whose text the literals are
	rows   uint32
	varies uint32 // where its tokens' flags begin
	index  int32  // of the finished template
	slots  []slot
}

// slot is a token that varies.
type slot struct {
	token  uint32 // within the line
	column int32
	before []byte // literal
}

// pending is a column in the making.
type pending struct {
	Column
	least, most uint8 // width
	natural     bool  // no zeros in front, or at the end of times
	bytes       int   // of text
}

// builder is the part of splitter that fills the table.
type builder struct {
	drafts  []draft
	varies  []bool
	columns []pending
	byKey   map[uint64]int32
	interns intern
}

// draft begins a template whose text is that of variant v.
func (s *splitter) draft(v int32) int32 {
	s.drafts = append(s.drafts, draft{line: s.variants[v].line, rows: s.variants[v].rows})
	return int32(len(s.drafts) - 1)
}

// table builds the table of the lines scanned.
func (s *splitter) table() *Table {
	s.templates()
	s.columns = s.columns[:0]
	if s.byKey == nil {
		s.byKey = map[uint64]int32{}
	}
	clear(s.byKey)
	s.interns.reset()
	s.flag()
	t := &Table{Rows: make([]uint32, len(s.lines))}
	text := int32(-1) // the template of a line that is free text
	for i := range s.lines {
		l := &s.lines[i]
		if l.variant >= 0 {
			d := &s.drafts[s.variants[l.variant].template]
			if d.rows == 1 {
				t.Rows[i] = s.single(t, l)
				continue
			}
			if d.slots == nil && d.index == 0 {
				s.finish(t, d)
			}
			if s.fits(d, l) {
				s.take(d, l)
				t.Rows[i] = uint32(d.index - 1)
				continue
			}
		}
		if text < 0 {
			text = int32(len(t.Templates))
			c := s.column(mix(seed, 't'), Text, 0)
			t.Templates = append(t.Templates, Template{Literals: [][]byte{nil, nil}, Slots: []uint32{uint32(c)}})
		}
		s.text(t.Templates[text].Slots[0], s.block[l.start:l.end], 0)
		t.Rows[i] = uint32(text)
	}
	s.close(t)
	return t
}

// flag finds which tokens of each template vary.
func (s *splitter) flag() {
	s.varies = s.varies[:0]
	for i := range s.drafts {
		d := &s.drafts[i]
		d.varies = uint32(len(s.varies))
		for _, t := range s.tokensOf(&s.lines[d.line]) {
			s.varies = append(s.varies, t.kind == Time || t.kind == Uptime || (t.kind.Numeric() && d.rows < 4))
		}
	}
	for i := range s.lines {
		l := &s.lines[i]
		if l.variant < 0 {
			continue
		}
		d := &s.drafts[s.variants[l.variant].template]
		of := &s.lines[d.line]
		if l == of || l.tokens != of.tokens {
			continue
		}
		tokens, reference := s.tokensOf(l), s.tokensOf(of)
		varies := s.varies[d.varies:][:len(tokens)]
		for p := range tokens {
			if !varies[p] {
				t, r := &tokens[p], &reference[p]
				varies[p] = t.value != r.value || t.end-t.start != r.end-r.start
			}
		}
	}
}

// finish makes a template of a draft.
func (s *splitter) finish(t *Table, d *draft) {
	of := &s.lines[d.line]
	varies := s.varies[d.varies:][:of.tokens]
	d.slots = make([]slot, 0, 8)
	template := Template{}
	last := of.start
	key := uint64(seed)
	for p, tok := range s.tokensOf(of) {
		if !varies[p] {
			continue
		}
		before := s.block[last:tok.start:tok.start]
		key = columnKey(key, before, len(d.slots) == 0)
		c := s.column(mix(key, uint64(tok.kind)<<8|uint64(uint8(tok.layout))), tok.kind, tok.layout)
		d.slots = append(d.slots, slot{token: uint32(p), column: c, before: before})
		template.Literals = append(template.Literals, before)
		template.Slots = append(template.Slots, uint32(c))
		last = tok.end
	}
	template.Literals = append(template.Literals, s.block[last:of.end:of.end])
	t.Templates = append(t.Templates, template)
	d.index = int32(len(t.Templates)) // plus 1: 0 is not finished
}

// columnKey tells the nature of a slot by what is before it: words, or else
// the slot before and where on the line it is.
func columnKey(last uint64, before []byte, first bool) uint64 {
	tail := before[max(0, len(before)-16):]
	h := hashBytes(tail)
	for _, c := range tail {
		if classes[c]&alpha != 0 {
			return h
		}
	}
	if first {
		return mix(h, 1)
	}
	return mix(h, last)
}

// column returns the column of a key.
func (s *splitter) column(key uint64, kind Type, layout int8) int32 {
	if c, ok := s.byKey[key]; ok && s.columns[c].Type == kind {
		return c
	}
	c := int32(len(s.columns))
	s.byKey[key] = c
	if cap(s.columns) > len(s.columns) {
		s.columns = s.columns[:len(s.columns)+1]
	} else {
		s.columns = append(s.columns, pending{})
	}
	p := &s.columns[c]
	*p = pending{natural: true, least: 255}
	p.Type = kind
	if kind == Time {
		p.Layout = layouts[layout]
	}
	return c
}

// fits tells whether the line is the template's: hashes may be equal by chance.
func (s *splitter) fits(d *draft, l *line) bool {
	of := &s.lines[d.line]
	if l.tokens != of.tokens {
		return false
	}
	tokens, last := s.tokensOf(l), l.start
	for i := range d.slots {
		sl := &d.slots[i]
		t := &tokens[sl.token]
		if t.start < last || !bytes.Equal(s.block[last:t.start], sl.before) || s.columns[sl.column].Type != t.kind {
			return false
		}
		if t.kind == Time && &layouts[t.layout][0] != &s.columns[sl.column].Layout[0] {
			return false
		}
		last = t.end
	}
	reference := of.start
	if n := len(d.slots); n > 0 {
		reference = s.tokensOf(of)[d.slots[n-1].token].end
	}
	return bytes.Equal(s.block[last:l.end], s.block[reference:of.end])
}

// take appends the line's values to the columns.
func (s *splitter) take(d *draft, l *line) {
	tokens := s.tokensOf(l)
	for i := range d.slots {
		s.value(d.slots[i].column, &tokens[d.slots[i].token])
	}
}

// value appends a token to its column.
func (s *splitter) value(column int32, t *token) {
	if !t.kind.Numeric() {
		s.text(uint32(column), s.block[t.start:t.end], t.value)
		return
	}
	p := &s.columns[column]
	p.Numbers = append(p.Numbers, t.value)
	p.Widths = append(p.Widths, t.width)
	p.least, p.most = min(p.least, t.width), max(p.most, t.width)
	switch t.kind {
	case Decimal:
		p.natural = p.natural && (t.width == 1 || s.block[t.start] != '0')
	case Hex, HexUpper:
		p.natural = p.natural && int(t.width) == hexDigits(t.value)
	}
}

// text appends bytes to a column of text.
func (s *splitter) text(column uint32, b []byte, hash uint64) {
	p := &s.columns[column]
	p.Indices = append(p.Indices, s.interns.index(&p.Dictionary, column, b, hash))
	p.bytes += len(b)
}

// single makes a line that is alone with its template free text, but for a time
// at its begin.
func (s *splitter) single(t *Table, l *line) uint32 {
	tokens := s.tokensOf(l)
	for i := range min(len(tokens), 3) {
		tok := &tokens[i]
		if tok.kind != Time && tok.kind != Uptime {
			continue
		}
		before := s.block[l.start:tok.start:tok.start]
		if i > 0 && !tokens[0].fixed {
			break
		}
		key := columnKey(seed, before, true)
		c := s.column(mix(key, uint64(tok.kind)<<8|uint64(uint8(tok.layout))), tok.kind, tok.layout)
		if s.columns[c].Type != tok.kind || (tok.kind == Time && &s.columns[c].Layout[0] != &layouts[tok.layout][0]) {
			break // keys are equal by chance
		}
		rest := s.column(mix(seed, 'r'), Text, 0)
		n := s.lead(t, before, uint32(c), uint32(rest))
		s.value(c, tok)
		s.text(uint32(rest), s.block[tok.end:l.end], 0)
		return n
	}
	c := s.column(mix(seed, 't'), Text, 0)
	n := s.lead(t, nil, uint32(c))
	s.text(uint32(c), s.block[l.start:l.end], 0)
	return n
}

// lead finds or makes a template that is one literal before slots.
func (s *splitter) lead(t *Table, before []byte, slots ...uint32) uint32 {
	key := mix(hashBytes(before), 'l')
	for _, c := range slots {
		key = mix(key, uint64(c))
	}
	if n, ok := s.byKey[key]; ok && int(n) < len(t.Templates) {
		if u := &t.Templates[n]; len(u.Slots) == len(slots) && u.Slots[0] == slots[0] && u.Slots[len(slots)-1] == slots[len(slots)-1] &&
			bytes.Equal(u.Literals[0], before) && len(u.Literals[1]) == 0 && len(u.Literals[len(slots)]) == 0 {
			return uint32(n)
		}
	}
	s.byKey[key] = int32(len(t.Templates))
	literals := make([][]byte, len(slots)+1)
	literals[0] = before
	t.Templates = append(t.Templates, Template{Literals: literals, Slots: slots})
	return uint32(len(t.Templates) - 1)
}
