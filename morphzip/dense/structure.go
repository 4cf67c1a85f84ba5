package dense

import (
	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

// The natures of the header's numbers and texts, which are their contexts.
const (
	metaTemplates = iota + 1
	metaColumns
	metaSlots
	metaSlot
	metaType
	metaWidth
	metaFlags
	metaRows
	metaDigest
	metaTransform
	metaVersus
	metaBase
	metaContexts
	metaKind
	metaTerm
	metaTextFrom
	metaSame
	metaListed
	metaDigits
	metaRandom

	natureLiteral
	natureLayout
	natures
)

// maxStreams is how many streams a block may have.
const maxStreams = 1 << 12

// maxDepth is how deep tables are in tables.
const maxDepth = 4

// meta codes a number of the header.
func (w *walker) meta(nature uint32, value uint64) uint64 {
	m := w.numbers
	last := &w.metas[nature]
	for i := range defaultContexts {
		m.Hash[i] = mixing.Hash(nature<<8|uint32(i), last[0]*uint32(i&1)+last[1]*uint32(i>>1)*977)
	}
	m.Expect(0, 0, 0)
	m.Expect(1, 0, 0)
	m.Set = 1
	value = m.Number(w.c, value, [mixing.Expectations]uint64{})
	last[1], last[0] = last[0], fold(value)
	return value
}

// count codes how many of something there are, and spends what they take.
func (w *walker) count(nature uint32, n, each int) (int, error) {
	u := w.meta(nature, uint64(n))
	if u > uint64(w.budget/each) {
		return 0, corrupt("more than the block holds")
	}
	return int(u), w.spend(int(u) * each)
}

// describe codes a table's templates and what its columns are.
func (w *walker) describe(t *logline.Table, depth int) error {
	if depth > maxDepth {
		return errUnfit
	}
	templates, err := w.count(metaTemplates, len(t.Templates), templateBytes)
	if err != nil {
		return err
	}
	columns, err := w.count(metaColumns, len(t.Columns), columnBytes)
	if err != nil {
		return err
	}
	if columns > maxStreams {
		return errUnfit
	}
	if w.decoding {
		t.Templates = make([]logline.Template, templates)
		t.Columns = make([]logline.Column, columns)
	}
	next := uint64(0) // a column not used yet
	for i := range t.Templates {
		if next, err = w.template(&t.Templates[i], next, columns); err != nil {
			return err
		}
	}
	for i := range t.Columns {
		if err := w.column(&t.Columns[i], depth); err != nil {
			return err
		}
	}
	return nil
}

// template codes a template. Most slots are the next column, or the one after
// the slot before.
func (w *walker) template(t *logline.Template, next uint64, columns int) (uint64, error) {
	slots, err := w.count(metaSlots, len(t.Slots), slotBytes)
	if err != nil {
		return 0, err
	}
	if w.decoding {
		t.Slots = make([]uint32, slots)
		t.Literals = make([][]byte, slots+1)
	}
	for i := range t.Literals {
		if err := w.spend(textBytes * len(t.Literals[i])); err != nil {
			return 0, err
		}
		b, err := w.text.literal(w, natureLiteral, t.Literals[i])
		if err != nil {
			return 0, err
		}
		if w.decoding {
			if err := w.spend(textBytes * len(b)); err != nil {
				return 0, err
			}
			t.Literals[i] = append([]byte(nil), b...)
		}
	}
	for i := range t.Slots {
		back := w.meta(metaSlot, next-uint64(t.Slots[i]))
		if back > next || next-back >= uint64(columns) {
			return 0, corrupt("slot without a column")
		}
		t.Slots[i] = uint32(next - back)
		if back == 0 {
			next++
		}
	}
	return next, nil
}

// The flags of a column.
const (
	flagWidths = 1 << iota
	flagIndices
	flagTable

	flags
)

// column codes what a column is.
func (w *walker) column(c *logline.Column, depth int) error {
	flag := uint64(0)
	if c.Widths != nil {
		flag |= flagWidths
	}
	if c.Indices != nil {
		flag |= flagIndices
	}
	if c.Table != nil {
		flag |= flagTable
	}
	c.Type = logline.Type(min(w.meta(metaType, uint64(c.Type)), 255))
	flag = w.meta(metaFlags, flag)
	if flag >= flags || c.Type.Numeric() && flag&^flagWidths != 0 || !c.Type.Numeric() && flag&flagWidths != 0 {
		return corrupt("kind of column")
	}
	c.Width = int(min(w.meta(metaWidth, uint64(c.Width)), 255))
	if c.Type == logline.Time {
		layout, err := w.text.literal(w, natureLayout, c.Layout)
		if err != nil {
			return err
		}
		if w.decoding {
			if err := w.spend(textBytes * len(layout)); err != nil {
				return err
			}
			c.Layout = append([]byte(nil), layout...)
		}
	}
	if w.decoding {
		if flag&flagWidths != 0 {
			c.Widths = []uint8{}
		}
		if flag&flagIndices != 0 {
			c.Indices = []uint32{}
		}
		if flag&flagTable != 0 {
			c.Table = &logline.Table{}
		}
	}
	if c.Table != nil {
		return w.describe(c.Table, depth+1)
	}
	return nil
}

// plant makes the branch of a table, and its streams; each row ends in so many
// bytes.
func (w *walker) plant(t *logline.Table, ends int) (*branch, error) {
	b := &branch{table: t, rows: w.stream(), columns: make([]leaf, len(t.Columns))}
	w.streams[b.rows].rows = true
	for i := range t.Templates {
		n := ends
		for _, l := range t.Templates[i].Literals {
			n += len(l)
		}
		b.lengths = append(b.lengths, n)
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		l := &b.columns[i]
		*l = leaf{column: c, values: w.stream(), widths: -1}
		if c.Widths != nil {
			l.widths = w.stream()
		}
		if len(w.streams) > maxStreams {
			return nil, errUnfit
		}
		s := &w.streams[l.values]
		if !c.Type.Numeric() {
			s.leaf = l
			s.transform = index
			if c.Indices == nil {
				s.transform = silent
			}
		}
		if c.Table != nil {
			inner, err := w.plant(c.Table, 0)
			if err != nil {
				return nil, err
			}
			l.inner = inner
		}
	}
	return b, nil
}

// stream adds a stream.
func (w *walker) stream() int {
	n := len(w.streams)
	w.streams = append(w.streams, stream{id: uint32(n), plan: plan{transform: plain, copied: -1, textFrom: -1}})
	return n
}

// plans codes what the streams are predicted from.
func (w *walker) plans() error {
	own := 0
	for i := range w.streams {
		s := &w.streams[i]
		if err := w.plan(s); err != nil {
			return err
		}
		if s.own {
			if own++; own > maxModels {
				return corrupt("too many models")
			}
			s.model = mixing.NewModel(w.slots, len(s.contexts), 1, 5)
			for _, c := range s.contexts {
				for _, t := range c {
					if t.kind == recall {
						w.recalled(t.a, t.b)
						if w.recalls > maxRecalls {
							return corrupt("too many memories")
						}
					}
				}
			}
		} else {
			s.model = w.numbers
			s.contexts = commonContexts(i)
		}
	}
	return nil
}

// The bounds of what a header may ask for.
const (
	maxModels   = 64
	maxContexts = mixing.MaxContexts
	maxRecalls  = 256
)

// ref codes a stream's number, or −1.
func (w *walker) ref(nature uint32, i int) (int, error) {
	n := w.meta(nature, uint64(i+1))
	if n > uint64(len(w.streams)) {
		return 0, corrupt("no such stream")
	}
	return int(n) - 1, nil
}

func (w *walker) plan(s *stream) (err error) {
	code := uint64(s.transform) << 1
	if s.own {
		code |= 1
	}
	code = w.meta(metaTransform, code)
	if code>>1 >= uint64(transforms) {
		return corrupt("transform")
	}
	natural := s.transform
	s.transform, s.own = transform(code>>1), code&1 != 0
	indexed := s.transform == index || s.transform == silent
	if (natural == silent) != (s.transform == silent) || indexed != (s.leaf != nil) && s.transform != constant {
		return corrupt("transform of a column")
	}
	switch s.transform {
	case constant:
		s.base = w.meta(metaBase, s.base)
	case versus, drift:
		if s.versus, err = w.ref(metaVersus, s.versus); err == nil && s.versus < 0 {
			err = corrupt("no stream to compare with")
		}
	}
	if err != nil {
		return err
	}
	if s.own {
		if s.copied, err = w.ref(metaVersus, s.copied); err != nil {
			return err
		}
		if err := w.contexts(s); err != nil {
			return err
		}
	}
	if s.leaf == nil || s.leaf.inner != nil {
		return nil
	}
	s.digits = digits(min(w.meta(metaDigits, uint64(s.digits)), 255))
	if s.digits > bareBytes {
		return corrupt("kind of digits")
	}
	quoted := uint64(0)
	if s.quoted {
		quoted = 1
	}
	if s.textFrom, err = w.ref(metaTextFrom, s.textFrom); err == nil && s.textFrom >= 0 {
		s.quoted = w.meta(metaFlags, quoted) != 0
	}
	return err
}

// contexts codes the contexts of a stream with a model of its own.
func (w *walker) contexts(s *stream) error {
	n := w.meta(metaContexts, uint64(len(s.contexts)))
	if n < 1 || n > maxContexts {
		return corrupt("number of contexts")
	}
	if w.decoding {
		s.contexts = make([]context, n)
	}
	for i := range s.contexts {
		for j := range s.contexts[i] {
			t := &s.contexts[i][j]
			t.kind = kind(min(w.meta(metaKind, uint64(t.kind)), 255))
			switch t.kind {
			case none:
			case place:
				continue
			case latest, earlier, residual, recall:
				a, err := w.ref(metaTerm, int(t.a))
				if err != nil || a < 0 {
					return corrupt("no such stream")
				}
				t.a = uint16(a)
				if t.kind == recall {
					if a, err = w.ref(metaTerm, int(t.b)); err != nil || a < 0 {
						return corrupt("no such stream")
					}
					t.b = uint16(a)
				}
				continue
			default:
				return corrupt("kind of term")
			}
			break
		}
	}
	return nil
}

// commonContexts are those of the streams without a model of their own.
func commonContexts(i int) []context {
	a := uint16(i)
	return []context{
		{},
		{{kind: latest, a: a}},
		{{kind: place}},
		{{kind: residual, a: a}, {kind: place}},
		{{kind: latest, a: a}, {kind: earlier, a: a}},
		{{kind: latest}, {kind: earlier}},
	}
}

// defaultContexts is how many common contexts are.
const defaultContexts = 6
