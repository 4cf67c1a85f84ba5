// Package columns is the morph of records of a fixed width: arrays of numbers,
// samples, tables. What is alike comes together: the bytes of one field and of
// one place value, of all records, one after the other, of the field's values
// or of how they differ from the record before.
//
// The morphed block is
//
//	width of a record           uvarint, 1 to 512
//	bytes before the first one  uvarint, less than the width
//	the record's fields         a byte each, until they are as wide as it
//	the bytes before the first record, and behind the last whole one
//	of each field, of each of its bytes from the most significant: that of every record
//
// A field's byte is its size's logarithm in bits 0 and 1, its order of bytes in
// bit 2 (1 is the most significant first), and in bits 3 and 4 what stands for
// its values: 0 themselves, 1 zigzag codes of their first differences, 2 of
// their second differences, 3 the exclusive or with the value before. The value
// before the first is 0. Numbers wrap around at the field's size.
package columns

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is what Invert wraps where the bytes are no morphed block of the
// size.
var ErrCorrupt = errors.New("columns: the morphed block is damaged")

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, ErrCorrupt) }

// MaxWidth is the widest record that is looked for, in bytes.
const MaxWidth = 512

// minRecords is the fewest records that a layout is worth.
const minRecords = 16

// Apply appends block, morphed, to dst. ok is false, and dst as it was, where
// the block seems to have no records.
func Apply(dst, block []byte) (out []byte, ok bool) {
	l, ok := detect(block)
	if !ok {
		return dst, false
	}
	return l.apply(dst, block), true
}

func (l *layout) apply(dst, block []byte) []byte {
	dst = l.append(dst)
	records := (len(block) - l.skip) / l.width
	rest := l.skip + records*l.width
	dst = append(dst, block[:l.skip]...)
	dst = append(dst, block[rest:]...)
	if records == 0 {
		return dst
	}
	at := l.skip
	for _, f := range l.fields {
		start := len(dst)
		dst = append(dst, make([]byte, records*f.size())...)
		f.split(dst[start:], block[at:rest], l.width, records)
		at += f.size()
	}
	return dst
}

// Invert appends the block of size bytes, whose morphed bytes these are, to dst.
// It allocates no more than size bytes and a layout's.
func Invert(dst, morphed []byte, size int) ([]byte, error) {
	l, body, err := parseLayout(morphed)
	if err != nil {
		return dst, err
	}
	if len(body) != size || size < l.skip {
		return dst, corrupt("the length")
	}
	start := len(dst)
	dst = append(dst, body...)
	block := dst[start:]
	records := (size - l.skip) / l.width
	rest := l.skip + records*l.width
	copy(block[rest:], body[l.skip:])
	body = body[l.skip+size-rest:]
	if records == 0 {
		return dst, nil
	}
	at := l.skip
	for _, f := range l.fields {
		f.join(block[at:rest], body[:records*f.size()], l.width, records)
		body = body[records*f.size():]
		at += f.size()
	}
	return dst, nil
}

// layout is how a block is made of records.
type layout struct {
	width, skip int
	fields      []field
}

func (l *layout) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(l.width))
	dst = binary.AppendUvarint(dst, uint64(l.skip))
	for _, f := range l.fields {
		dst = append(dst, byte(f))
	}
	return dst
}

func parseLayout(b []byte) (l layout, body []byte, err error) {
	width, n := binary.Uvarint(b)
	if n <= 0 || width == 0 || width > MaxWidth {
		return l, b, corrupt("the records' width")
	}
	b = b[n:]
	skip, n := binary.Uvarint(b)
	if n <= 0 || skip >= width {
		return l, b, corrupt("the first record's place")
	}
	b = b[n:]
	l.width, l.skip = int(width), int(skip)
	for left := l.width; left > 0; {
		if len(b) == 0 || b[0]&^byte(fieldBits) != 0 || field(b[0]).size() > left {
			return l, b, corrupt("a field")
		}
		l.fields = append(l.fields, field(b[0]))
		left -= field(b[0]).size()
		b = b[1:]
	}
	return l, b, nil
}
