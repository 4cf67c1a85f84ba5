package dense

import (
	mathbits "math/bits"

	"github.com/entroos/entroos/morphzip/logline"
	"github.com/entroos/entroos/morphzip/mixing"
)

// The efforts, which are levels.
const (
	LeastEffort = 7
	MostEffort  = 8
)

// newWalker returns a walker for a block of so many bytes.
func newWalker(c *mixing.Coder, effort, size int) *walker {
	w := &walker{c: c, effort: effort, budget: 32*size + 1<<18, room: size + 1, letters: 2*size + 4096, decoding: c.Decoding()}
	bits, match := 22, 18
	if effort > LeastEffort {
		bits, match = 24, 20
	}
	// A small block needs little memory.
	small := mathbits.Len(uint(size)) + 4
	bits, match = min(bits, max(small, 14)), min(match, max(small-4, 10))
	w.slots = mixing.NewSlots(bits)
	w.numbers = mixing.NewModel(w.slots, defaultContexts, 2, 6)
	w.text = newText(w.slots, match)
	return w
}

// Encode appends the block to dst, taken apart into lines and coded with an
// effort, 7 or 8. ok is false where the block's lines do not fit.
func Encode(dst, block []byte, effort int) (out []byte, ok bool) {
	effort = min(max(effort, LeastEffort), MostEffort)
	t := logline.Split(block)
	if t == nil || len(t.Rows) == 0 {
		return dst, false
	}
	w := newWalker(mixing.NewEncoder(append(dst, byte(effort))), effort, len(block))
	if err := w.encode(t); err != nil {
		return dst, false
	}
	return w.c.Finish(), true
}

func (w *walker) encode(t *logline.Table) error {
	if err := w.describe(t, 0); err != nil {
		return err
	}
	b, err := w.plant(t, 1)
	if err != nil {
		return err
	}
	left := w.budget
	if err := w.record(b); err != nil {
		return err
	}
	w.choose()
	// The same again, and now in earnest.
	chosen := w.streams
	w.streams, w.recorder, w.budget = nil, nil, left
	if b, err = w.plant(t, 1); err != nil {
		return err
	}
	for i := range w.streams {
		w.streams[i].plan = chosen[i].plan
	}
	return w.walk(b)
}

// walk codes what follows the description of the table.
func (w *walker) walk(b *branch) error {
	if err := w.plans(); err != nil {
		return err
	}
	rows, err := w.count(metaRows, len(b.table.Rows), rowBytes)
	if err != nil {
		return err
	}
	last := uint64(0)
	if b.table.Unterminated {
		last = 1
	}
	b.table.Unterminated = w.meta(metaFlags, last) != 0
	for range rows {
		if err := w.row(b); err != nil {
			return err
		}
	}
	return w.c.Err()
}

// Decode appends to dst exactly size bytes, which an Encode coded into payload.
func Decode(dst, payload []byte, size int) ([]byte, error) {
	if len(payload) == 0 || payload[0] < LeastEffort || payload[0] > MostEffort || size < 0 {
		return dst, corrupt("no such effort")
	}
	w := newWalker(mixing.NewDecoder(payload[1:]), int(payload[0]), size)
	t := &logline.Table{}
	if err := w.describe(t, 0); err != nil {
		return dst, err
	}
	b, err := w.plant(t, 1)
	if err != nil {
		return dst, err
	}
	if err := w.walk(b); err != nil {
		return dst, err
	}
	start := len(dst)
	out, err := t.Join(dst)
	if err != nil {
		return dst, err
	}
	if len(out)-start != size {
		return dst, corrupt("not as many bytes as declared")
	}
	return out, nil
}
