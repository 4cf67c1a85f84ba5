package logline

import (
	"errors"
	"fmt"
)

// ErrCorrupt is the error of a table, or of a coded one, that no block has.
var ErrCorrupt = errors.New("logline: corrupt")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// maxBlock is the largest block: 64 MiB.
const maxBlock = 64 << 20

// Join appends the lines of the table to dst. It fails where a row has no
// template, a slot no column, a column too few or too many values, or where
// the lines are longer than 64 MiB.
func (t *Table) Join(dst []byte) ([]byte, error) {
	return t.join(dst, maxBlock)
}

// join is Join with a limit to what is appended.
func (t *Table) join(dst []byte, limit int) ([]byte, error) {
	nested := 2*limit + 64
	j, err := newJoiner(t, &nested)
	if err != nil {
		return dst, err
	}
	limit += len(dst)
	for i, r := range t.Rows {
		if int(r) >= len(t.Templates) {
			return dst, corrupt("row without a template")
		}
		if dst, err = j.row(dst, &t.Templates[r], limit); err != nil {
			return dst, err
		}
		if i+1 < len(t.Rows) || !t.Unterminated {
			if len(dst) >= limit {
				return dst, corrupt("more bytes than declared")
			}
			dst = append(dst, '\n')
		}
	}
	return dst, j.done()
}

// strings returns the rows of the table as strings. Of left it takes how many
// bytes they have: that is a bound for all tables in a table together, as the
// entries of each are parts of the block.
func (t *Table) strings(left *int) (Strings, error) {
	s := Strings{Ends: make([]uint32, 0, len(t.Rows))}
	j, err := newJoiner(t, left)
	if err != nil {
		return s, err
	}
	limit := *left
	s.Bytes = make([]byte, 0, min(limit, 16*len(t.Rows)))
	for _, r := range t.Rows {
		if int(r) >= len(t.Templates) {
			return s, corrupt("row without a template")
		}
		if s.Bytes, err = j.row(s.Bytes, &t.Templates[r], limit); err != nil {
			return s, err
		}
		s.Ends = append(s.Ends, uint32(len(s.Bytes)))
	}
	*left -= len(s.Bytes)
	return s, j.done()
}

// joiner writes rows.
type joiner struct {
	columns []cursor
}

// cursor is where in a column the next value is.
type cursor struct {
	*Column
	next, length int
	entries      Strings
	time         timeWriter
}

func newJoiner(t *Table, left *int) (*joiner, error) {
	j := &joiner{columns: make([]cursor, len(t.Columns))}
	for i := range t.Columns {
		c := &t.Columns[i]
		if err := c.check(); err != nil {
			return nil, err
		}
		cur := cursor{Column: c, length: c.Len(), entries: c.Dictionary}
		if c.Table != nil {
			s, err := c.Table.strings(left)
			if err != nil {
				return nil, err
			}
			cur.entries = s
		}
		if c.Type == Time {
			cur.time = newTimeWriter(c.Layout)
		}
		j.columns[i] = cur
	}
	return j, nil
}

// check tells whether every value of the column can be written.
func (c *Column) check() error {
	if c.Type >= types {
		return corrupt("unknown type of column")
	}
	if c.Widths != nil && len(c.Widths) != len(c.Numbers) {
		return corrupt("not as many widths as numbers")
	}
	most := 0
	switch c.Type {
	case Decimal:
		most = 19
	case Hex, HexUpper:
		most = 16
	case Fixed:
		most = 18
	case Time:
		most = 9
		if !Layout(c.Layout).valid() {
			return corrupt("unknown layout of times")
		}
	}
	if c.Width < 0 || c.Width > most {
		return corrupt("width of numbers")
	}
	for _, w := range c.Widths {
		if int(w) > most {
			return corrupt("width of a number")
		}
	}
	return nil
}

// row appends a row.
func (j *joiner) row(dst []byte, t *Template, limit int) ([]byte, error) {
	if len(t.Literals) != len(t.Slots)+1 {
		return dst, corrupt("template without a literal")
	}
	for i, s := range t.Slots {
		dst = append(dst, t.Literals[i]...)
		if int(s) >= len(j.columns) {
			return dst, corrupt("slot without a column")
		}
		c := &j.columns[s]
		if c.next >= c.length {
			return dst, corrupt("column without a value")
		}
		if c.Type.Numeric() {
			dst = c.number(dst)
		} else {
			n := c.next
			if c.Indices != nil {
				n = int(c.Indices[n])
			}
			if n >= len(c.entries.Ends) {
				return dst, corrupt("index without an entry")
			}
			e := c.entries.At(n)
			if len(dst)+len(e) > limit {
				return dst, corrupt("more bytes than declared")
			}
			switch c.Type {
			case Digest:
				dst = appendDigest(dst, e)
			case UUID:
				dst = appendUUID(dst, e)
			default:
				dst = append(dst, e...)
			}
		}
		c.next++
		if len(dst) > limit {
			return dst, corrupt("more bytes than declared")
		}
	}
	dst = append(dst, t.Literals[len(t.Slots)]...)
	if len(dst) > limit {
		return dst, corrupt("more bytes than declared")
	}
	return dst, nil
}

// number appends the next number.
func (c *cursor) number(dst []byte) []byte {
	v, width := c.Numbers[c.next], c.Width
	if c.Widths != nil {
		width = int(c.Widths[c.next])
	}
	switch c.Type {
	case Decimal:
		if width == 0 {
			return appendDecimal(dst, v)
		}
		return appendPadded(dst, v, width)
	case Hex, HexUpper:
		alphabet := lower
		if c.Type == HexUpper {
			alphabet = upper
		}
		if width == 0 {
			width = hexDigits(v)
		}
		return appendHex(dst, v, width, alphabet)
	case Fixed:
		return appendFixed(dst, v, width)
	case Address:
		return appendAddress(dst, v)
	case Uptime:
		return appendUptime(dst, v)
	}
	if c.Widths != nil {
		v = uint64(int64(v) / int64(powers[9-width]))
	}
	return c.time.append(dst, int64(v), width)
}

// done tells whether all values were used.
func (j *joiner) done() error {
	for i := range j.columns {
		if j.columns[i].next != j.columns[i].length {
			return corrupt("values that no row has")
		}
	}
	return nil
}
