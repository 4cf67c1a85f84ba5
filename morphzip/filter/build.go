package filter

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Builder makes filters, one after the other. The zero value is ready. It takes
// about 130 KiB, and 30 bytes for each byte that a filter may have.
type Builder struct {
	lines   uint64
	end     []byte // the last bytes of the block, 8 at most
	last    []byte // the last bytes of its last line, MaxEnd at most
	limit   int    // of a kind's list
	lists   [kinds][]uint32
	shares  [kinds]uint8
	seen    [seenSize]uint64 // six bytes that were seen, and bit 63
	wanted  int              // grams of the set
	enabled bool
	numbers bool
}

const (
	seenBits = 14
	seenSize = 1 << seenBits

	// A set is fullest of use for its size where every other bit is set: that
	// takes 1/ln 2 bits, 1477/8192 bytes, a gram.
	setUnit, setScale = 1477, 8192

	// minSize is the least size of shares and set.
	minSize = shareBytes + 8
)

// Begin begins a block, of whose filter the shares and the set are to have size
// bytes at most. Without numbers it has no grams with digits, and is made
// several times as quickly.
func (b *Builder) Begin(size int, numbers bool) {
	b.numbers = numbers
	b.lines, b.end, b.last = 0, b.end[:0], b.last[:0]
	b.enabled = size >= minSize
	b.wanted = max(size-shareBytes, 0) * setScale / setUnit
	b.limit = 2*b.wanted + 1<<10
	for k := range b.lists {
		b.lists[k] = b.lists[k][:0]
	}
	b.shares = [kinds]uint8{}
	b.seen = [seenSize]uint64{}
}

// Write takes the next bytes of the block.
func (b *Builder) Write(p []byte) {
	if len(p) == 0 {
		return
	}
	b.lines += uint64(bytes.Count(p, newline))
	b.keep(p)
	if !b.enabled {
		return
	}
	// The grams that begin in what was there end within the first bytes of p.
	var joint [14]byte
	n := copy(joint[:], b.end)
	all := joint[:n+copy(joint[n:], p[:min(7, len(p))])]
	for ; n > 0 && len(all) >= 8; n-- {
		b.add(binary.LittleEndian.Uint64(all))
		all = all[1:]
	}
	if rest := max(len(p)-7, 0); b.numbers {
		b.addAll(p[:rest], p)
		p = p[rest:]
	} else {
		b.addWords(p[:rest], p)
		p = p[rest:]
	}
	if n > 0 { // p was short
		b.end = append(b.end[:0], all...)
	} else {
		b.end = append(b.end[:0], p...)
	}
}

// addAll adds the grams that begin in p, of which a multiple of eight bytes may
// be looked at: all has seven more.
func (b *Builder) addAll(p, all []byte) {
	for i := range p {
		w := binary.LittleEndian.Uint64(all[i : i+8])
		if at := w & low6 * 0x9E3779B97F4A7C15 >> (64 - seenBits); b.seen[at] != w&low6|1<<63 {
			b.seen[at] = w&low6 | 1<<63
			b.add(w)
		}
	}
}

// addWords is addAll without the grams with digits, quicker.
func (b *Builder) addWords(p, all []byte) {
	var w uint32
	run := 0 // bytes since a digit or a newline
	if len(p) == 0 {
		return
	}
	for i, c := range all[:len(p)+shortSize-1] {
		w = w>>8 | uint32(c)<<24
		if run++; breaks[c] {
			run = 0
		} else if run >= shortSize {
			if at := w * 2654435761 >> (32 - seenBits); b.seen[at] != uint64(w)|1<<63 {
				b.seen[at] = uint64(w) | 1<<63
				b.add(binary.LittleEndian.Uint64(all[i-shortSize+1:]))
			}
		}
	}
}

// breaks are the digits, as grams have them, and the newline.
var breaks = func() (is [256]bool) {
	for c := range is {
		folded := c | 0x20
		is[c] = c == '\n' || folded >= '0' && folded <= '9'
	}
	return is
}()

var newline = []byte{'\n'}

// keep keeps the end of the last line.
func (b *Builder) keep(p []byte) {
	if at := bytes.LastIndexByte(p, '\n'); at >= 0 {
		b.last, p = b.last[:0], p[at+1:]
	}
	p = p[max(0, len(p)-MaxEnd):]
	if over := len(b.last) + len(p) - MaxEnd; over > 0 {
		b.last = append(b.last[:0], b.last[over:]...)
	}
	b.last = append(b.last, p...)
}

// WriteRun takes the next bytes of the block, which are all the same.
func (b *Builder) WriteRun(value byte, length uint64) {
	some := min(length, MaxEnd)
	b.Write(bytes.Repeat([]byte{value}, int(some)))
	if value == '\n' {
		b.lines += length - some
	}
}

func (b *Builder) add(w uint64) {
	g, ok := gramOf(w)
	if !ok || g.hash>>(32-b.shares[g.kind]) != 0 || g.kind >= longKinds[1] && !b.numbers {
		return
	}
	list := append(b.lists[g.kind], g.hash)
	b.lists[g.kind] = list
	if len(list) < b.limit {
		return
	}
	b.unique(int(g.kind))
	for len(b.lists[g.kind]) > b.limit/2 {
		b.halve(int(g.kind))
	}
}

func (b *Builder) unique(kind int) {
	slices.Sort(b.lists[kind])
	b.lists[kind] = slices.Compact(b.lists[kind])
}

// halve takes about half of a kind's grams away.
func (b *Builder) halve(kind int) {
	b.shares[kind]++
	share := b.shares[kind]
	b.lists[kind] = slices.DeleteFunc(b.lists[kind], func(h uint32) bool { return share >= none || h>>(32-share) != 0 })
}

// weight says how little a kind's grams tell for their number. What is searched
// for has words, most of them with a gram of four letters; grams with digits
// are the most, and alike in all logs.
func weight(kind int) int {
	switch {
	case kind == shortSize:
		return 1
	case kind < shortSize:
		return 8
	}
	return 16
}

// Append ends the block and appends its filter to dst.
func (b *Builder) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, b.lines)
	dst = append(dst, byte(len(b.last)))
	dst = append(dst, b.last...)
	if !b.enabled {
		return dst
	}
	// The last grams are of four bytes and more.
	for end := b.end; len(end) >= shortSize; end = end[1:] {
		var word [8]byte
		copy(word[:], "\n\n\n\n\n\n\n\n")
		copy(word[:], end)
		b.add(binary.LittleEndian.Uint64(word[:]))
	}
	total := 0
	for k := range b.lists {
		b.unique(k)
		total += len(b.lists[k])
	}
	// Of the kinds with the most grams fewer are kept.
	for total > b.wanted {
		most := 0
		for k := range b.lists {
			if len(b.lists[k])*weight(k) > len(b.lists[most])*weight(most) {
				most = k
			}
		}
		total -= len(b.lists[most])
		b.halve(most)
		total += len(b.lists[most])
	}
	if total == 0 {
		return dst
	}
	for k := int(longKinds[1]); k < kinds && !b.numbers; k++ {
		b.shares[k] = none
	}
	for k := 0; k < kinds; k += 2 {
		dst = append(dst, b.shares[k]|b.shares[k+1]<<4)
	}
	start := len(dst)
	dst = append(dst, make([]byte, (total*setUnit+setScale-1)/setScale)...)
	set := dst[start:]
	for _, list := range b.lists {
		for _, h := range list {
			bit := place(h, uint64(len(set))*8)
			set[bit/8] |= 1 << (bit % 8)
		}
	}
	return dst
}
