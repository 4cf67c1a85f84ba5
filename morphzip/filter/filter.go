// Package filter says of a block, by a few bytes, which strings it does not
// contain, how many lines it has and how it ends, so that a search need not
// decode it.
//
// A block's strings of four bytes without a digit, and of six with one, all
// within a line, are its grams. A filter holds the set of their hashes, or, of
// those kinds of which there are too many for its size, a share. A string that
// has a gram which the set lacks is not in the block: as a string has several
// grams, and what is rare has rare ones, it need not hold each exactly. Log
// lines have few words and many numbers, so that grams of letters are all
// there while those of digits are a sample.
//
// A filter is
//
//	newlines in the block            uvarint
//	bytes of its end that follow     0 to MaxEnd; 0 where its last byte is a newline
//	the end                          what is behind the last newline, or its last MaxEnd bytes
//	each kind's share                4 bits each, 13 bytes, the lower half first
//	the set                          the remaining bytes
//
// and without a set it ends before the shares. A share of s, 0 to 14, is that
// grams are in the set whose hash has s leading zeros at least, 15 that none
// are. The set is n bytes, bit i of which is bit i mod 8 of byte i/8; it has a
// gram of hash h where bit ⌊(h·2654435761 mod 2³²)·8n / 2³²⌋ is set.
//
// A gram's hash is the upper half of x·0x9E3779B97F4A7C15 mod 2⁶⁴, where x is its
// bytes, each or 0x20, the first the least significant. That makes large
// letters small ones, and takes a few other bytes for each other. A byte is a
// digit, letter or newline by what it is before; digits are also 10 to 19 hex.
package filter

import (
	"encoding/binary"
	"errors"
)

// MaxEnd is how many bytes of a block's end a filter holds at most.
const MaxEnd = 16

// ErrCorrupt is what Parse fails with.
var ErrCorrupt = errors.New("filter: damaged")

// Filter is what is known of a block.
type Filter struct {
	// Lines is how many newlines the block has.
	Lines uint64
	// End is the end of the block's last line where the block does not end with
	// a newline: the whole of the line where it is shorter than MaxEnd.
	End []byte

	shares []byte
	set    []byte
}

// Parse reads a filter. It remains part of b, and allocates nothing.
func Parse(b []byte) (Filter, error) {
	lines, n := binary.Uvarint(b)
	if n <= 0 || len(b) == n {
		return Filter{}, ErrCorrupt
	}
	f := Filter{Lines: lines}
	end := int(b[n])
	b = b[n+1:]
	if end > MaxEnd || end > len(b) {
		return Filter{}, ErrCorrupt
	}
	f.End, b = b[:end:end], b[end:]
	if len(b) == 0 {
		return f, nil
	}
	if len(b) <= shareBytes {
		return Filter{}, ErrCorrupt
	}
	f.shares, f.set = b[:shareBytes], b[shareBytes:]
	return f, nil
}

// Complete says whether the block's last line ends in it.
func (f *Filter) Complete() bool { return len(f.End) == 0 }

// MayContain says whether the string may be within the block. Where it is false
// the string is not, neither as it is nor with other cases of its ASCII letters.
func (f *Filter) MayContain(n *Needle) bool {
	if len(f.set) == 0 {
		return true
	}
	bits := uint64(len(f.set)) * 8
	for _, g := range n.grams {
		share := f.shares[g.kind/2] >> (g.kind % 2 * 4) & 15
		if share == none || g.hash>>(32-share) != 0 {
			continue
		}
		if bit := place(g.hash, bits); f.set[bit/8]>>(bit%8)&1 == 0 {
			return false
		}
	}
	return true
}

// MayStraddle says whether the string may begin in the block and go on in the
// next one.
func (f *Filter) MayStraddle(n *Needle) bool {
	for i := range f.End {
		end := f.End[len(f.End)-1-i:]
		if len(end) >= len(n.folded) {
			return false
		}
		if equalFolded(end, n.folded[:len(end)]) {
			return true
		}
	}
	// The line's begin may be beyond what is kept.
	return len(f.End) == MaxEnd && len(n.folded) > MaxEnd+1 && containsFolded(n.folded[:len(n.folded)-1], f.End)
}

// Needle is a string that is looked for.
type Needle struct {
	folded []byte
	grams  []gram
}

// NewNeedle prepares a string without a newline.
func NewNeedle(s []byte) *Needle {
	n := &Needle{folded: fold(s)}
	for i := range s {
		if g, ok := gramAt(s[i:]); ok {
			n.grams = append(n.grams, g)
		}
	}
	return n
}

func place(hash uint32, bits uint64) uint64 { return uint64(hash*2654435761) * bits >> 32 }
