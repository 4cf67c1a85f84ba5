package logline

import "bytes"

// intern finds the index of strings in the dictionaries of columns.
type intern struct {
	cells []cell // a power of 2
	used  int
}

// cell is a string of a column; index is one more than its own, 0 is free.
type cell struct {
	hash          uint64
	column, index uint32
}

func (t *intern) reset() {
	if t.cells == nil {
		t.cells = make([]cell, 1<<10)
	}
	clear(t.cells)
	t.used = 0
}

// index returns the index of b in a column's dictionary, where it is put if it
// is not there yet.
func (t *intern) index(d *Strings, column uint32, b []byte, hash uint64) uint32 {
	if hash == 0 {
		hash = hashLong(b)
	}
	h := mix(hash, uint64(column)+seed)
	mask := uint64(len(t.cells) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		c := &t.cells[i]
		if c.index == 0 {
			d.Append(b)
			*c = cell{hash: h, column: column, index: uint32(len(d.Ends))}
			if t.used++; t.used*2 > len(t.cells) {
				t.grow()
			}
			return uint32(len(d.Ends) - 1)
		}
		if c.hash == h && c.column == column && bytes.Equal(d.At(int(c.index-1)), b) {
			return c.index - 1
		}
	}
}

func (t *intern) grow() {
	old := t.cells
	t.cells = make([]cell, 2*len(old))
	mask := uint64(len(t.cells) - 1)
	for _, c := range old {
		if c.index == 0 {
			continue
		}
		i := c.hash & mask
		for t.cells[i].index != 0 {
			i = (i + 1) & mask
		}
		t.cells[i] = c
	}
}

// hashLong hashes eight bytes at a time.
func hashLong(b []byte) uint64 {
	h := uint64(seed) ^ uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		v := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = mix(h, v)
	}
	for _, c := range b {
		h = mix(h, uint64(c))
	}
	return h | 1
}
