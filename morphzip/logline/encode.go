package logline

import (
	"encoding/binary"
	"sync"
)

// encoder codes a table. Its memory is used again.
type encoder struct {
	head
	bytes  bytesCoder
	effort int

	tokens, extra, column []byte
	signed                []int64
	trial, missed, work   []uint64
	flags                 []bool
	guess                 guesser
	ranks                 ranker
	split                 splitter
	pool                  pool
	uses                  int // of the pool
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// The efforts of Encode.
const (
	Fast    = iota // as little as possible
	Default        // level 3
	Dense          // levels 4 to 6
)

// Encode appends the block, coded, to dst. ok is false, and dst is as it was,
// where the block has no lines worth the name.
func Encode(dst, block []byte, effort int) (out []byte, ok bool) {
	if len(block) == 0 || len(block) > maxBlock || !plausible(block) {
		return dst, false
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	t := e.split.split(block)
	if t.values() > budget(len(block)) {
		return dst, false
	}
	return e.payload(dst, t, effort), true
}

// values counts what a decoder will have to hold.
func (t *Table) values() int {
	n := len(t.Rows)
	for i := range t.Columns {
		n += t.Columns[i].Len()
		if t.Columns[i].Indices != nil && t.Columns[i].Table == nil {
			n += t.Columns[i].Dictionary.Len()
		}
		if t.Columns[i].Table != nil {
			n += t.Columns[i].Table.values()
		}
	}
	return n
}

// budget is how many rows, values and entries a block of so many bytes may have.
func budget(size int) int { return 2*size + 1024 }

// payload appends a coded table.
func (e *encoder) payload(dst []byte, t *Table, effort int) []byte {
	e.effort = effort
	e.meta, e.text, e.body = e.meta[:0], e.text[:0], e.body[:0]
	e.pool.reset()
	e.table(t)
	e.tokens = append(append(e.tokens[:0], e.meta...), e.text...)
	coded, coding := e.bytes.text(e.column[:0], e.tokens, max(effort, Default))
	e.column = coded
	dst = binary.AppendUvarint(dst, uint64(len(e.meta)))
	dst = binary.AppendUvarint(dst, uint64(len(e.text)))
	dst = binary.AppendUvarint(dst, uint64(len(coded))<<3|uint64(coding))
	dst = append(dst, coded...)
	return append(dst, e.body...)
}

// table codes a table: templates, rows, columns.
func (e *encoder) table(t *Table) {
	flags := 0
	if t.Unterminated {
		flags = 1
	}
	e.int(flags)
	e.int(len(t.Templates))
	e.int(len(t.Columns))
	next := uint32(0)
	for i := range t.Templates {
		p := &t.Templates[i]
		e.int(len(p.Slots))
		for _, s := range p.Slots {
			// Most often a new column, which is the next.
			if s == next {
				e.put(0)
				next++
			} else {
				e.put(uint64(s) + 1)
			}
		}
		for _, l := range p.Literals {
			e.text = append(append(e.text, l...), '\n')
		}
	}
	e.int(len(t.Rows))
	e.work = firsts(e.work[:0], t.Rows)
	e.section(func() { e.series(e.work, nil, true) })
	a := newAligner(t)
	for i := range t.Columns {
		a.begin(i)
		e.codeColumn(&t.Columns[i], a)
	}
}

// section puts before what f appends to meta how much it is, there, in the body
// and in the text, and whether the pool was used.
func (e *encoder) section(f func()) {
	meta, body, text := len(e.meta), len(e.body), len(e.text)
	uses := e.uses
	f()
	pooled := 0
	if e.uses > uses {
		pooled = 1
	}
	var lengths [3 * binary.MaxVarintLen64]byte
	b := binary.AppendUvarint(lengths[:0], uint64(len(e.meta)-meta)<<1|uint64(pooled))
	b = binary.AppendUvarint(b, uint64(len(e.body)-body))
	b = binary.AppendUvarint(b, uint64(len(e.text)-text))
	e.meta = append(e.meta, b...)
	copy(e.meta[meta+len(b):], e.meta[meta:len(e.meta)-len(b)])
	copy(e.meta[meta:], b)
}

// firsts appends indices so that each that occurs for the first time, in order,
// is 0, and the others are one more than they were.
func firsts(to []uint64, indices []uint32) []uint64 {
	next := uint32(0)
	for _, n := range indices {
		if n == next {
			to = append(to, 0)
			next++
		} else {
			to = append(to, uint64(n)+1)
		}
	}
	return to
}

// distances appends indices so that each that occurs for the first time, in
// order, is 0, the one that did so last 1, and so on.
func distances(to []uint64, indices []uint32) []uint64 {
	next := uint32(0)
	for _, n := range indices {
		to = append(to, uint64(next-n))
		if n == next {
			next++
		}
	}
	return to
}

// smallDictionary is the size up to which a dictionary is part of the head.
const smallDictionary = 4 << 10

// codeColumn codes a column, see docs/morphzip-format.md.
func (e *encoder) codeColumn(c *Column, a *aligner) {
	shape := 0
	if c.Widths != nil || c.Indices != nil {
		shape = 1
	}
	if c.Type.Numeric() {
		e.codeNumbers(c, a, shape)
		return
	}
	how, raw, printed := formBytes, c.Dictionary, []bool(nil)
	if c.Type == Text {
		if how, raw, printed = form(&c.Dictionary); how == formLines {
			raw = c.Dictionary
		}
	}
	inner := c.Table != nil && how == formLines
	outside := !inner && (how != formLines || len(c.Dictionary.Bytes) > smallDictionary)
	if inner {
		shape |= shapeTable
	}
	if outside {
		shape |= shapeApart
	}
	e.int(int(c.Type) | shape<<4)
	e.int(c.Len())
	e.facts(c)
	if c.Indices != nil {
		e.int(c.Dictionary.Len())
	}
	if !inner && !outside {
		e.int(len(c.Dictionary.Bytes))
		e.lines(&e.text, &c.Dictionary)
	}
	e.section(func() {
		// The entries first: a search needs no more.
		switch {
		case inner:
			e.table(c.Table)
		case outside:
			e.dictionary(how, &raw, printed)
		}
		if c.Indices != nil {
			e.indices(c.Indices, a)
		}
	})
}

// codeNumbers codes a numeric column.
func (e *encoder) codeNumbers(c *Column, a *aligner, shape int) {
	if shape != 0 && c.trimmed() {
		shape = shapeTrimmed
	}
	e.int(int(c.Type) | shape<<4)
	e.int(c.Len())
	e.int(c.Width)
	if c.Type == Time {
		e.int(len(c.Layout))
		e.meta = append(e.meta, c.Layout...)
	}
	least, most := bounds(c.Numbers)
	e.put(least)
	e.put(most - least)
	e.section(func() {
		if shape == shapeSeries {
			e.work = e.work[:0]
			for _, w := range c.Widths {
				e.work = append(e.work, uint64(w))
			}
			e.series(e.work, a, false)
		}
		e.series(c.Numbers, a, false)
	})
}

// trimmed tells whether the widths are those of times without zeros at the end.
func (c *Column) trimmed() bool {
	if c.Type != Time {
		return false
	}
	for i, w := range c.Widths {
		if int(w) != trimmedWidth(c.Numbers[i]) {
			return false
		}
	}
	return true
}

// trimmedWidth returns how many digits nanoseconds take, at least 1.
func trimmedWidth(v uint64) int {
	n := int64(v) % 1e9
	w := 9
	for w > 1 && n%10 == 0 {
		n /= 10
		w--
	}
	return w
}

// lines appends the strings, each with a '\n'.
func (e *encoder) lines(to *[]byte, s *Strings) {
	for i := range s.Ends {
		*to = append(append(*to, s.At(i)...), '\n')
	}
}

// dictionary codes a dictionary apart from the head.
func (e *encoder) dictionary(how int, raw *Strings, printed []bool) {
	e.int(how)
	if how == formLines {
		e.column = e.column[:0]
		e.lines(&e.column, raw)
		e.apart(e.column)
		return
	}
	e.uses++
	e.pool.refer(raw)
	e.series(e.pool.found, nil, false)
	fresh := &e.pool.fresh
	e.int(fresh.Len())
	e.work = e.work[:0]
	start := uint32(0)
	for _, end := range fresh.Ends {
		e.work = append(e.work, uint64(end-start))
		start = end
	}
	e.ints(e.work)
	e.apart(fresh.Bytes)
	if how == formQuoted {
		at := len(e.body)
		e.body = appendFlags(e.body, printed)
		e.int(len(printed))
		e.int(len(e.body) - at)
	}
}

// apart codes bytes in the body.
func (e *encoder) apart(b []byte) {
	at := len(e.body)
	var coding int
	e.body, coding = e.bytes.text(e.body, b, e.effort)
	e.int(len(b))
	e.int((len(e.body)-at)<<3 | coding)
}

// indices codes indices, whose first occurrences are in order: those that
// return are told by their number, or by how far back they are.
func (e *encoder) indices(v []uint32, a relatives) {
	numbers := firsts(nil, v)
	p, cost := e.plan(numbers, a, true)
	back := distances(nil, v)
	q, costBack := e.plan(back, a, false)
	if costBack < cost {
		e.int(1)
		e.planned(back, q, a, false)
		return
	}
	e.int(0)
	e.planned(numbers, p, a, true)
}

// facts tells what a search can know of a column of text without its values:
// the classes of bytes in it, and the least and largest length.
func (e *encoder) facts(c *Column) {
	least, most, all := ^uint32(0), uint32(0), uint16(0)
	start := uint32(0)
	for _, end := range c.Dictionary.Ends {
		n := end - start
		least, most = min(least, n), max(most, n)
		start = end
	}
	for _, b := range c.Dictionary.Bytes {
		all |= searchClasses[b]
	}
	e.put(uint64(all))
	e.put(uint64(min(least, most)))
	e.put(uint64(most - min(least, most)))
}

func bounds(v []uint64) (least, most uint64) {
	if len(v) == 0 {
		return 0, 0
	}
	least, most = v[0], v[0]
	for _, x := range v {
		least, most = min(least, x), max(most, x)
	}
	return least, most
}

// searchClasses are the classes of bytes that the facts of a column tell of: a
// bit for each of sixteen.
var searchClasses = func() (t [256]uint16) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = 1
		case c >= 'a' && c <= 'f':
			t[c] = 2
		case c >= 'g' && c <= 'z':
			t[c] = 4
		case c >= 'A' && c <= 'F':
			t[c] = 8
		case c >= 'G' && c <= 'Z':
			t[c] = 16
		case c == ' ':
			t[c] = 32
		case c == '.':
			t[c] = 64
		case c == '-' || c == '_':
			t[c] = 128
		case c == '/' || c == '\\':
			t[c] = 256
		case c == ':':
			t[c] = 512
		case c == '=' || c == '&' || c == '?' || c == '%':
			t[c] = 1024
		case c == '"' || c == '\'':
			t[c] = 2048
		case c == '(' || c == ')' || c == '[' || c == ']' || c == '{' || c == '}' || c == '<' || c == '>':
			t[c] = 4096
		case c < ' ':
			t[c] = 8192
		case c >= 0x80:
			t[c] = 16384
		default:
			t[c] = 32768
		}
	}
	return t
}()

// plausible tells whether a block may be lines, by a sample: binary data has
// control bytes, or hardly a '\n'.
func plausible(block []byte) bool {
	controls, total := 0, 0
	step := max(len(block)/16, 256)
	for at := 0; at < len(block); at += step {
		for _, c := range block[at:min(at+256, len(block))] {
			if c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\x1b' {
				controls++
			}
			total++
		}
	}
	return controls*64 <= total
}
