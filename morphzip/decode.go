package morphzip

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sort"
)

// Decode appends the block that frame holds to dst. It must be the whole of
// frame, and have at most limit bytes, else the error is ErrTooLarge. It
// allocates a small multiple of limit at most.
func Decode(dst, frame []byte, limit int) ([]byte, error) {
	f, rest, err := ParseFrame(frame)
	if err != nil {
		return dst, err
	}
	if len(rest) > 0 {
		return dst, corrupt("more than a block")
	}
	return f.Append(dst, limit)
}

// Append appends the block to dst, if it has at most limit bytes: one that has
// more is for WriteTo.
func (f *Frame) Append(dst []byte, limit int) ([]byte, error) {
	if f.Size > uint64(max(limit, 0)) {
		return dst, fmt.Errorf("morphzip: a block of %d bytes: %w", f.Size, ErrTooLarge)
	}
	if len(f.runs) == 0 {
		out, err := f.appendRest(dst)
		if err == nil {
			err = f.check(checksum(out[len(dst):]))
		}
		if err != nil {
			return dst, err
		}
		return out, nil
	}
	buffer := bytes.NewBuffer(slices.Grow(dst, int(f.Size)))
	if _, err := f.WriteTo(buffer); err != nil {
		return dst, err
	}
	return buffer.Bytes(), nil
}

// WriteTo writes the block to w. Nothing is written of a block that is damaged.
func (f *Frame) WriteTo(w io.Writer) (int64, error) {
	b, err := f.decode(nil)
	if err != nil {
		return 0, err
	}
	return b.writeTo(w, 0)
}

// appendRest appends the block without its runs.
func (f *Frame) appendRest(dst []byte) ([]byte, error) {
	if f.Rest == 0 && len(f.Payload) == 0 {
		return dst, nil
	}
	m := f.Method.of()
	if m == nil { // not of ParseFrame
		return dst, corrupt("a block's method")
	}
	out, err := m.decode(dst, f.Payload, f.Rest)
	if err != nil {
		return dst, asCorrupt(err)
	}
	if len(out) != len(dst)+f.Rest {
		return dst, corrupt("a block's length")
	}
	return out, nil
}

func (f *Frame) check(sum uint32) error {
	if sum != f.content {
		return corrupt("the checksum of a block's content")
	}
	return nil
}

// decode gives the block, in the storage of rest if it has enough.
func (f *Frame) decode(rest []byte) (block, error) {
	rest, err := f.appendRest(rest[:0])
	if err != nil {
		return block{}, err
	}
	raw := rawBlock{rest: rest, runs: f.runs}
	return newBlock(rest, f.runs, f.Size), f.check(raw.checksum())
}

// block is a decoded block, which gives its bytes from any place on.
type block struct {
	rest   []byte
	runs   []run
	starts []uint64 // of the runs, in the block
	size   uint64
}

func newBlock(rest []byte, runs []run, size uint64) block {
	b := block{rest: rest, runs: runs, size: size, starts: make([]uint64, len(runs))}
	elided := uint64(0)
	for i, r := range runs {
		b.starts[i] = uint64(r.at) + elided
		elided += r.length
	}
	return b
}

// piece is the bytes at an offset within the block, as far as they are of one
// kind: literal ones, or so many times value.
func (b *block) piece(at uint64) (literal []byte, value byte, length uint64) {
	i := sort.Search(len(b.runs), func(i int) bool { return b.starts[i]+b.runs[i].length > at })
	if i == len(b.runs) {
		return b.rest[len(b.rest)-int(b.size-at):], 0, 0
	}
	r := &b.runs[i]
	if start := b.starts[i]; at < start {
		return b.rest[r.at-int(start-at) : r.at], 0, 0
	}
	return nil, r.value, r.length - (at - b.starts[i])
}

// readAt fills p with the bytes from an offset within the block on, as far as
// it goes, and says how many those are.
func (b *block) readAt(p []byte, at uint64) (n int) {
	for n < len(p) && at < b.size {
		literal, value, length := b.piece(at)
		took := copy(p[n:], literal)
		if literal == nil {
			took = int(min(length, uint64(len(p)-n)))
			fill(p[n:n+took], value)
		}
		n += took
		at += uint64(took)
	}
	return n
}

// fill sets all bytes to value.
func fill(p []byte, value byte) {
	if value == 0 {
		clear(p)
		return
	}
	for i := range p[:min(len(p), 64)] {
		p[i] = value
	}
	for n := 64; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

// pageSize is how much of a run is written at a time.
const pageSize = 64 << 10

// writeTo writes the bytes from an offset on.
func (b *block) writeTo(w io.Writer, at uint64) (written int64, err error) {
	var page []byte
	for at < b.size {
		literal, value, length := b.piece(at)
		if literal == nil {
			if page == nil {
				page = make([]byte, pageSize)
			}
			literal = page[:min(length, pageSize)]
			fill(literal, value)
		}
		n, err := w.Write(literal)
		written += int64(n)
		if err != nil {
			return written, err
		}
		at += uint64(n)
	}
	return written, nil
}
