package dense

import (
	"errors"
	"fmt"

	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

// ErrCorrupt says that a payload is not one of this package's.
var ErrCorrupt = errors.New("dense: the coded block is damaged")

// errUnfit says that a table cannot be coded here: too many streams, or an
// unknown order.
var errUnfit = errors.New("dense: the table does not fit")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// walker walks over a table row by row, and codes what it finds, or decodes and
// appends it. With a recorder it says what it finds instead.
type walker struct {
	c        *mixing.Coder
	effort   int
	streams  []stream
	place    uint32 // the template and slot of the value to come
	slots    *mixing.Slots
	numbers  *mixing.Model // of the header, and of streams without a model
	text     *text
	metas    [natures][2]uint32 // the header's latest numbers of each nature
	recalls  int
	failed   error
	room     int // bytes of the block that are not decoded yet, at most
	letters  int // bytes of text that there still may be
	budget   int // bytes of memory that the rest of the table may take
	decoding bool
	recorder *recorder
}

// What the parts of a table take of the budget, in bytes of memory, at most.
const (
	templateBytes = 96
	columnBytes   = 1024
	slotBytes     = 48
	rowBytes      = 8
	valueBytes    = 16
	listBytes     = 64 // for each value of a listed stream's list
	textBytes     = 2
)

// spend takes n from the budget.
func (w *walker) spend(n int) error {
	if n < 0 || n > w.budget {
		return corrupt("more than the block holds")
	}
	w.budget -= n
	return nil
}

// produce tells that a decoder has decoded what takes at least n bytes of the
// block.
func (w *walker) produce(n int) error {
	if !w.decoding {
		return nil
	}
	if w.room -= n; w.room < 0 {
		return corrupt("more than the block holds")
	}
	return nil
}

// branch is a table on the walk.
type branch struct {
	table   *logline.Table
	rows    int   // the stream of the rows' templates
	lengths []int // of each template's literals and, of lines, the '\n'
	columns []leaf
	next    int // row
}

// leaf is a column on the walk.
type leaf struct {
	column *logline.Column
	values int     // the stream of numbers or indices
	widths int     // the stream of the widths
	inner  *branch // the entries, where they are a table
	next   int     // value
	known  int     // entries so far
}

// value codes the next value of a stream.
func (w *walker) value(stream int, value uint64) uint64 {
	s := &w.streams[stream]
	if w.recorder != nil {
		w.recorder.event(w, stream, value)
		return value
	}
	return w.code(s, value)
}

// row walks over the next row of a table.
func (w *walker) row(b *branch) error {
	t := b.table
	id := uint64(0)
	if !w.decoding {
		id = uint64(t.Rows[b.next])
	}
	outer := w.place
	w.place = uint32(b.rows)
	id = w.value(b.rows, id)
	if w.failed != nil {
		return w.failed
	}
	if id >= uint64(len(t.Templates)) {
		return corrupt("row without a template")
	}
	if w.decoding {
		t.Rows = append(t.Rows, uint32(id))
	}
	b.next++
	if err := w.produce(b.lengths[id]); err != nil {
		return err
	}
	for i, c := range t.Templates[id].Slots {
		w.place = mixing.Hash(uint32(b.rows)<<16|uint32(id), uint32(i))
		if err := w.cell(&b.columns[c]); err != nil {
			return err
		}
	}
	w.place = outer
	return nil
}

// cell walks over the next value of a column.
func (w *walker) cell(l *leaf) error {
	c := l.column
	if err := w.spend(valueBytes); err != nil {
		return err
	}
	i := l.next
	l.next++
	switch {
	case c.Type.Numeric():
		number, width := uint64(0), uint64(0)
		if !w.decoding {
			number = c.Numbers[i]
		}
		number = w.value(l.values, number)
		if l.widths >= 0 {
			if !w.decoding {
				width = uint64(c.Widths[i])
			}
			width = w.value(l.widths, width)
			if width > 255 {
				return corrupt("width of a number")
			}
		}
		if w.decoding {
			if err := w.produce(1); err != nil {
				return err
			}
			c.Numbers = append(c.Numbers, number)
			if l.widths >= 0 {
				c.Widths = append(c.Widths, uint8(width))
			}
		}
		return nil
	case w.streams[l.values].transform == silent:
		return w.entry(l)
	}
	n := uint64(0)
	if !w.decoding {
		n = uint64(c.Indices[i])
	}
	n = w.value(l.values, n)
	if n > uint64(l.known) {
		if w.decoding {
			return corrupt("index without an entry")
		}
		return errUnfit
	}
	if w.decoding {
		c.Indices = append(c.Indices, uint32(n))
	}
	if n == uint64(l.known) {
		return w.entry(l)
	}
	return nil
}

// entry walks over the next entry of a column that is not numeric.
func (w *walker) entry(l *leaf) error {
	c := l.column
	i := l.known
	if l.inner != nil {
		l.known++
		return w.row(l.inner)
	}
	var b []byte
	if !w.decoding {
		b = c.Dictionary.At(i)
	}
	if w.recorder != nil {
		w.recorder.entry(w, l, b)
		l.known++
		return nil
	}
	s := &w.streams[l.values]
	b, err := w.text.entry(w, s, c.Type, b)
	if err != nil {
		return err
	}
	if err := w.spend(textBytes * len(b)); err != nil {
		return err
	}
	if err := w.produce(len(b)); err != nil {
		return err
	}
	if w.decoding {
		c.Dictionary.Append(b)
	}
	l.known++
	if s.transform == silent {
		w.code(s, hashText(b))
	}
	return nil
}

// hashText stands for a text as a value.
func hashText(b []byte) uint64 {
	h := uint64(len(b))
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x9E3779B97F4A7C15
	}
	return h ^ h>>29
}
