package logline

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
)

// section is where the decoder is, and the section's ends: in the head's
// numbers, in its text and in the body.
type section struct {
	meta, text, body []byte
	pooled           bool // the pool is used: what is before comes first
}

// decoder decodes payloads. Its memory is used again.
type decoder struct {
	section
	bytes     bytesDecoder
	guess     guesser
	signed    []int64
	left      int // of the budget of values
	bytesLeft int // of that of dictionaries
	size      int // of the block
	depth     int
	pool      pool
	ranks     ranker
	inSet     bool
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Decode appends the block of size bytes that payload codes to dst. Whatever
// the payload, it allocates at most 512 bytes for each of the size, and 1 MiB.
func Decode(dst, payload []byte, size int) ([]byte, error) {
	if size < 0 || size > maxBlock {
		return dst, corrupt("size of a block")
	}
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	t, err := d.open(payload, size)
	if err != nil {
		return dst, err
	}
	if err := d.all(t); err != nil {
		return dst, err
	}
	at := len(dst)
	out, err := t.Table.join(slices.Grow(dst, size), size)
	if err != nil {
		return dst[:at], err
	}
	if len(out)-at != size {
		return dst[:at], corrupt("fewer bytes than declared")
	}
	return out, nil
}

// open reads the head of a payload, and the table that it begins with.
func (d *decoder) open(payload []byte, size int) (*codedTable, error) {
	d.size, d.left, d.depth, d.bytesLeft = size, budget(size), 0, 4*size+4096
	d.pool.reset()
	d.inSet = false
	d.section = section{meta: payload}
	meta, err := d.varint(maxBlock)
	if err != nil {
		return nil, err
	}
	text, err := d.varint(maxBlock)
	if err != nil {
		return nil, err
	}
	coded, err := d.varint(maxBlock << 3)
	if err != nil {
		return nil, err
	}
	if coded>>3 > len(d.meta) || meta+text > headLimit(size) {
		return nil, corrupt("length of the head")
	}
	b, err := d.bytes.decode(d.meta[:coded>>3], coded&7, meta+text)
	if err != nil {
		return nil, err
	}
	b = bytes.Clone(b)
	d.section = section{meta: b[:meta], text: b[meta:], body: d.meta[coded>>3:]}
	return d.table()
}

// headLimit bounds the head of a block of so many bytes.
func headLimit(size int) int { return 4*size + 4096 }

// uvarint reads a number of the head.
func (d *decoder) uvarint() (uint64, error) {
	v, n := binary.Uvarint(d.meta)
	if n <= 0 {
		return 0, corrupt("number")
	}
	d.meta = d.meta[n:]
	return v, nil
}

// varint reads a number of the head, from 0 to limit.
func (d *decoder) varint(limit int) (int, error) {
	v, err := d.uvarint()
	if err != nil {
		return 0, err
	}
	if v > uint64(limit) {
		return 0, corrupt("number too large")
	}
	return int(v), nil
}

// take takes the next n bytes of the body.
func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.body) {
		return nil, corrupt("length in the body")
	}
	b := d.body[:n]
	d.body = d.body[n:]
	return b, nil
}

// line takes the next line of the text, without its '\n'.
func (d *decoder) line() ([]byte, error) {
	n := bytes.IndexByte(d.text, '\n')
	if n < 0 {
		return nil, corrupt("text")
	}
	b := d.text[:n:n]
	d.text = d.text[n+1:]
	return b, nil
}

// spend takes n of the budget of values.
func (d *decoder) spend(n int) error {
	if d.left -= n; d.left < 0 {
		return corrupt("more values than there may be")
	}
	return nil
}

// charge takes n of the budget of dictionaries.
func (d *decoder) charge(n int) error {
	if d.bytesLeft -= n; d.bytesLeft < 0 {
		return corrupt("more bytes in dictionaries than there may be")
	}
	return nil
}

// skip takes a section, to be read later.
func (d *decoder) skip() (section, error) {
	var lengths [3]int
	for i := range lengths {
		var err error
		if lengths[i], err = d.varint(2 * maxBlock); err != nil {
			return section{}, err
		}
	}
	pooled := lengths[0]&1 == 1
	lengths[0] >>= 1
	if lengths[0] > len(d.meta) || lengths[1] > len(d.body) || lengths[2] > len(d.text) {
		return section{}, corrupt("length of a section")
	}
	s := section{meta: d.meta[:lengths[0]], body: d.body[:lengths[1]], text: d.text[:lengths[2]], pooled: pooled}
	d.meta, d.body, d.text = d.meta[lengths[0]:], d.body[lengths[1]:], d.text[lengths[2]:]
	return s, nil
}

// codedTable is a table whose columns are yet to be decoded.
type codedTable struct {
	Table
	lines   int
	rows    section
	columns []codedColumn
	aligner *aligner
}

// codedColumn is a column that may be decoded.
type codedColumn struct {
	shape, length, entries int
	// what a search can know of it
	classes     uint16
	least, most uint64
	section     section
	decoded     bool
	entered     bool // the entries are
}

const (
	shapeSeries = 1 << iota // there are widths, or indices
	shapeTable              // a table
	shapeApart              // the dictionary is in the body

	shapeTrimmed = shapeTable // of times: the widths are those without zeros at the end
)

// table reads templates and what columns there are.
func (d *decoder) table() (*codedTable, error) {
	flags, err := d.varint(1)
	if err != nil {
		return nil, err
	}
	templates, err := d.varint(len(d.text))
	if err != nil {
		return nil, err
	}
	columns, err := d.varint(len(d.meta))
	if err != nil {
		return nil, err
	}
	t := &codedTable{columns: make([]codedColumn, columns)}
	t.Unterminated = flags == 1
	t.Columns = make([]Column, columns)
	t.Templates = make([]Template, templates)
	next := uint32(0)
	for i := range t.Templates {
		p := &t.Templates[i]
		slots, err := d.varint(min(len(d.meta), len(d.text)))
		if err != nil {
			return nil, err
		}
		p.Slots, p.Literals = make([]uint32, slots), make([][]byte, slots+1)
		for k := range p.Slots {
			c, err := d.varint(columns)
			if err != nil {
				return nil, err
			}
			if c == 0 {
				p.Slots[k] = next
				next++
			} else {
				p.Slots[k] = uint32(c - 1)
			}
		}
		for k := range p.Literals {
			if p.Literals[k], err = d.line(); err != nil {
				return nil, err
			}
		}
	}
	if int(next) > columns {
		return nil, corrupt("slot without a column")
	}
	if t.lines, err = d.varint(maxBlock + 1); err != nil {
		return nil, err
	}
	if t.lines == 0 && t.Unterminated {
		return nil, corrupt("no last line")
	}
	if err := d.spend(t.lines); err != nil {
		return nil, err
	}
	if t.rows, err = d.skip(); err != nil {
		return nil, err
	}
	for i := range t.columns {
		if err := d.describe(&t.Columns[i], &t.columns[i]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// describe reads what the head says of a column.
func (d *decoder) describe(c *Column, k *codedColumn) error {
	v, err := d.varint(int(types-1) | 7<<4)
	if err != nil {
		return err
	}
	c.Type, k.shape = Type(v&15), v>>4
	if c.Type >= types {
		return corrupt("unknown type of column")
	}
	if k.length, err = d.varint(budget(d.size)); err != nil {
		return err
	}
	if err := d.spend(k.length); err != nil {
		return err
	}
	if c.Type.Numeric() {
		if err := d.numeric(c, k); err != nil {
			return err
		}
	} else if err := d.textual(c, k); err != nil {
		return err
	}
	k.section, err = d.skip()
	return err
}

func (d *decoder) numeric(c *Column, k *codedColumn) (err error) {
	if k.shape > shapeTrimmed || (k.shape == shapeTrimmed && c.Type != Time) || k.shape == shapeTrimmed|shapeSeries {
		return corrupt("shape of a column")
	}
	if c.Width, err = d.varint(19); err != nil {
		return err
	}
	if c.Type == Time {
		n, err := d.varint(maxLayout)
		if err != nil || n > len(d.meta) {
			return corrupt("layout of times")
		}
		c.Layout, d.meta = d.meta[:n:n], d.meta[n:]
	}
	if k.least, err = d.uvarint(); err != nil {
		return err
	}
	span, err := d.uvarint()
	k.most = k.least + span
	return err
}

func (d *decoder) textual(c *Column, k *codedColumn) error {
	classes, err := d.varint(1<<16 - 1)
	if err != nil {
		return err
	}
	k.classes = uint16(classes)
	least, err := d.varint(maxBlock)
	if err != nil {
		return err
	}
	span, err := d.varint(maxBlock)
	if err != nil {
		return err
	}
	k.least, k.most = uint64(least), uint64(least+span)
	k.entries = k.length
	if k.shape&shapeSeries != 0 {
		if k.entries, err = d.varint(k.length); err != nil {
			return err
		}
		if err := d.spend(k.entries); err != nil {
			return err
		}
	}
	if k.shape&(shapeTable|shapeApart) != 0 {
		return nil
	}
	n, err := d.varint(len(d.text))
	if err != nil || n+k.entries > len(d.text) {
		return corrupt("length of a dictionary")
	}
	c.Dictionary, err = terminated(d.text[:n+k.entries], k.entries)
	d.text = d.text[n+k.entries:]
	return err
}

// terminated takes n strings, a '\n' after each.
func terminated(b []byte, n int) (Strings, error) {
	s := Strings{Bytes: make([]byte, 0, max(len(b)-n, 0)), Ends: make([]uint32, 0, n)}
	for range n {
		k := bytes.IndexByte(b, '\n')
		if k < 0 {
			return s, corrupt("number of entries")
		}
		s.Append(b[:k])
		b = b[k+1:]
	}
	if len(b) > 0 {
		return s, corrupt("number of entries")
	}
	return s, nil
}
