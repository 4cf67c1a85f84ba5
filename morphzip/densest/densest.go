// Package densest is the coder of level 9: it mixes the predictions of many
// contexts, learned as it goes. Lines are split into templates and the values
// of their slots; other bytes are coded as they are.
package densest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is what a payload gives that no encoder made.
var ErrCorrupt = errors.New("densest: the payload is damaged")

// MaxSize is the most bytes of a block.
const MaxSize = 64 << 20

// The payload's first byte.
const (
	modePlain byte = 1 // any bytes
	modeLines byte = 2 // lines by template and slot
)

// Encode appends the coded block to dst; ok is false for blocks that are empty
// or larger than MaxSize.
func Encode(dst, block []byte) (out []byte, ok bool) {
	if len(block) == 0 || len(block) > MaxSize {
		return dst, false
	}
	if s := split(block); s != nil {
		if out, err := encodeLines(dst, block, s); err == nil {
			return out, true
		}
	}
	return encodePlain(dst, block), true
}

func encodeLines(dst, block []byte, s *splitter) ([]byte, error) {
	dst = append(dst, modeLines)
	dst = binary.AppendUvarint(dst, uint64(len(s.rows)))
	c := newEncoder(dst)
	m := newLineModel(c, block, len(block))
	if probe != nil {
		c.tally, m.kind = probe.tally, &probe.kind
	}
	for i := range s.rows {
		if err := m.row(&s.rows[i]); err != nil {
			return nil, err
		}
		if m.pos < len(block) {
			m.emit('\n')
		}
	}
	return c.finish(), nil
}

func encodePlain(dst, block []byte) []byte {
	c := newEncoder(append(dst, modePlain))
	m := newPlainModel(block, len(block))
	for _, b := range block {
		m.code(c, b)
	}
	return c.finish()
}

// Decode appends exactly size bytes to dst, or fails. It allocates at most 512
// MiB, and works in proportion to size.
func Decode(dst, payload []byte, size int) ([]byte, error) {
	if len(payload) == 0 || size <= 0 || size > MaxSize {
		return dst, ErrCorrupt
	}
	switch payload[0] {
	case modePlain:
		c := newDecoder(payload[1:])
		m := newPlainModel(make([]byte, 0, size), size)
		for range size {
			m.code(c, 0)
			if c.next > len(payload)+8 {
				return dst, ErrCorrupt
			}
		}
		return append(dst, m.buf...), nil
	case modeLines:
		return decodeLines(dst, payload[1:], size)
	}
	return dst, ErrCorrupt
}

func decodeLines(dst, payload []byte, size int) ([]byte, error) {
	rows, n := binary.Uvarint(payload)
	if n <= 0 || rows > uint64(size) {
		return dst, ErrCorrupt
	}
	c := newDecoder(payload[n:])
	m := newLineModel(c, make([]byte, 0, size), size)
	for range rows {
		if err := m.row(nil); err != nil {
			return dst, err
		}
		if m.pos < size {
			m.emit('\n')
		}
	}
	if m.pos != size {
		return dst, fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, m.pos, size)
	}
	return append(dst, m.buf...), nil
}

// Estimate gives the bits that the coded block would take, from a sample of it,
// and those of the payload's own header.
func Estimate(block []byte) (bits, header float64) {
	const sample = 16 << 10
	part := block[:min(len(block), sample)]
	out, ok := Encode(nil, part)
	if !ok {
		return 8 * float64(len(block)), 0
	}
	header = 32
	return float64(len(out)*8) / float64(len(part)) * float64(len(block)), header
}

// probe is where tests account for costs.
var probe *struct {
	tally func(bit, p int)
	kind  int
}
