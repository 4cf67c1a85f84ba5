package densest

// lineModel codes rows one after the other: the template, then the values of
// its slots, each knowing what came before.
type lineModel struct {
	c   *coder
	t   *table
	buf []byte // the block: in decoding as far as it is known
	pos int
	max int

	templates []*template
	slots     int // in all of them
	ids       *idModel
	values    *valueModel
	texts     *textModel
	numbers   *numberModel
	match     matcher
	follow    follower
	starts    []uint64 // a bit for each byte at which a slot's value starts

	line  lineState
	kind  *int
	times map[int]*timeState
}

// template is what a coder knows of a cluster.
type template struct {
	pieces []piece
	slots  []slot
	rows   int
}

// slot is the memory of one column.
type slot struct {
	key            uint64 // of the template and the slot's number
	name           uint64 // of the text before it
	order          uint64 // of its number alone
	last, last2    span
	seen           int
	end            byte // what ends a value
	instants       int  // number among the template's instants
	hit            uint32
	copied, copies int // the value in the line it was last equal to, and how often since
	lastRow        int
}

type lineState struct {
	start    int
	id       int
	ids      [6]int // of the rows before, latest first
	row      int
	slot     int
	previous [3]uint64 // hashes of the values before in the line
	first    uint64
	times    []moment
	values   []span
	missed   uint32
	symbols  uint64
}

func newLineModel(c *coder, buf []byte, size int) *lineModel {
	bitsOf := 10
	for bitsOf < 21 && 1<<bitsOf < size {
		bitsOf++
	}
	t := newTable(bitsOf)
	m := &lineModel{c: c, t: t, buf: buf, max: size, kind: new(int)}
	m.ids = newIDModel(t, min(bitsOf, 20))
	m.values = newValueModel(t, bitsOf)
	m.texts = newTextModel(t)
	m.numbers = newNumberModel(t)
	m.match.init(bitsOf, 5)
	m.starts = make([]uint64, size/64+1)
	return m
}

// emit adds a known byte to the block.
func (m *lineModel) emit(b byte) {
	if m.c.decoding {
		m.buf = append(m.buf, b)
	}
	m.pos++
	m.match.update(m.buf[:m.pos])
	m.follow.update(m.buf[:m.pos], &m.match)
}

// room is how many bytes may follow in the block and in the line: what works in
// proportion to a line's length is bounded by it.
func (m *lineModel) room() int {
	return min(m.max-m.pos, longestLine-(m.pos-m.line.start))
}

// back returns the i-th byte before.
func (m *lineModel) back(i int) byte {
	if m.pos < i {
		return '\n'
	}
	return m.buf[m.pos-i]
}

// row codes one line; r is nil in decoding.
func (m *lineModel) row(r *row) error {
	id := 0
	if r != nil {
		id = r.shape.id
		if id < 0 {
			id = len(m.templates)
			r.shape.id = id
		}
	}
	l := &m.line
	l.start = m.pos
	*m.kind = 0
	id = m.ids.code(m.c, l, id, len(m.templates))
	l.slot, l.previous, l.first, l.missed = 0, [3]uint64{}, 0, 0
	l.times = l.times[:0]
	l.values = l.values[:0]
	l.id = id
	var t *template
	if id > len(m.templates) || m.c.next > len(m.c.in)+8 && m.c.decoding {
		return ErrCorrupt
	}
	if id == len(m.templates) {
		if id >= maxTemplates {
			return ErrCorrupt
		}
		t = &template{}
		m.templates = append(m.templates, t)
		if err := m.newTemplate(t, r); err != nil {
			return err
		}
	} else {
		t = m.templates[id]
		n := 0
		for i := range t.pieces {
			p := &t.pieces[i]
			if p.kind == literal {
				if len(p.lit) > m.room() {
					return ErrCorrupt
				}
				for _, b := range p.lit {
					m.emit(b)
				}
				continue
			}
			var v span
			if r != nil {
				v = r.values[n]
			}
			if err := m.slotValue(&t.slots[n], p, v); err != nil {
				return err
			}
			n++
		}
	}
	t.rows++
	copy(l.ids[1:], l.ids[:5])
	l.ids[0] = id
	l.row++
	return nil
}

// newTemplate codes a line whose template is new, and what in it is a slot.
func (m *lineModel) newTemplate(t *template, r *row) error {
	var pieces []piece
	if r != nil {
		pieces = r.shape.pieces
	}
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			t.pieces = append(t.pieces, piece{kind: literal, lit: lit})
			lit = nil
		}
	}
	n, at, p := 0, 0, 0
	for {
		// The next symbol: a byte of a literal, or a mark before a slot, a
		// NUL or the end.
		symbol, what := byte(0), byte(markEnd)
		if p < len(pieces) {
			switch pieces[p].kind {
			case literal:
				symbol = pieces[p].lit[at]
				what = markNUL
				at++
				if at == len(pieces[p].lit) {
					p, at = p+1, 0
				}
			default:
				what = pieces[p].kind
				p++
			}
		} else if r != nil {
			symbol = '\n'
		}
		*m.kind = 1
		symbol = m.texts.code(m, symbol, n)
		if symbol == '\n' {
			break
		}
		if symbol == 0 {
			what = m.texts.mark(m, what)
			if what > markNUL {
				return ErrCorrupt
			}
		}
		if symbol != 0 || what == markNUL {
			if m.room() < 1 {
				return ErrCorrupt
			}
			lit = append(lit, symbol)
			m.emit(symbol)
			continue
		}
		flush()
		q := piece{kind: what}
		if m.slots++; m.slots > maxSlots || adjacent(t.pieces) {
			return ErrCorrupt
		}
		var v span
		var f form
		if r != nil {
			f = pieces[p-1].form
			v = r.values[n]
		}
		end := byte('\n')
		if what == instant {
			q.form = m.texts.form(m, f)
			if !q.form.valid() {
				return ErrCorrupt
			}
		} else {
			if p < len(pieces) && pieces[p].kind == literal && delimiter[pieces[p].lit[0]] {
				end = pieces[p].lit[0]
			} else if r != nil && p == len(pieces) {
				end = '\n'
			}
			end = m.texts.end(m, end)
		}
		t.pieces = append(t.pieces, q)
		s := slot{key: mixHash(uint64(len(m.templates)), uint64(n)+77), order: uint64(n), end: end}
		s.name = m.nameHash()
		for i := range t.pieces[:len(t.pieces)-1] {
			if t.pieces[i].kind == instant {
				s.instants++
			}
		}
		t.slots = append(t.slots, s)
		if err := m.slotValue(&t.slots[n], &q, v); err != nil {
			return err
		}
		n++
	}
	flush()
	return nil
}

// adjacent tells whether three slots stand at the end with nothing between.
func adjacent(pieces []piece) bool {
	n := len(pieces)
	return n >= 3 && pieces[n-1].kind != literal && pieces[n-2].kind != literal && pieces[n-3].kind != literal
}

const (
	maxSlots     = 1 << 18 // of all templates
	markNUL      = 3
	markEnd      = 4
	maxTemplates = 1 << 16
)

// nameHash is of the text before a slot: the last word and what follows it.
func (m *lineModel) nameHash() uint64 {
	h := uint64(99)
	i := m.pos
	for i > m.line.start && !isWord(m.buf[i-1]) {
		i--
		h = mixHash(h, uint64(m.buf[i]))
	}
	for i > m.line.start && isWord(m.buf[i-1]) && !isDigit(m.buf[i-1]) {
		i--
		h = mixHash(h, uint64(m.buf[i]))
	}
	return h
}

// slotValue codes the value of a slot, v in the block.
func (m *lineModel) slotValue(s *slot, p *piece, v span) error {
	l := &m.line
	from := m.pos
	if p.kind == instant {
		if err := m.time(s, p.form, v); err != nil {
			return err
		}
	} else if err := m.values.code(m, s, v); err != nil {
		return err
	}
	now := span{int32(from), int32(m.pos)}
	if m.pos > from {
		m.starts[from>>6] |= 1 << (from & 63)
	}
	h := hashBytes(5, m.buf[from:m.pos])
	if p.kind != instant {
		if l.slot == 0 {
			l.first = h
		}
		l.previous[2], l.previous[1], l.previous[0] = l.previous[1], l.previous[0], h
		l.slot++
		l.values = append(l.values, now)
	}
	s.last2, s.last = s.last, now
	s.lastRow = l.row
	s.seen++
	return nil
}
