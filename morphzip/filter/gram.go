package filter

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The kinds of grams: of four bytes, by how many are letters, 0 to 4; of six, by
// how many are digits, 1 to 6, and how many letters.
const (
	shortSize, longSize = 4, 6
	kinds               = 5 + 21
	shareBytes          = kinds / 2
	// none is the share of a kind of which there is nothing in the set.
	none = 15
)

// longKinds is the first kind with so many digits.
var longKinds = [...]uint8{1: 5, 11, 16, 20, 23, 25}

type gram struct {
	hash uint32
	kind uint8
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	cases = 0x2020202020202020
	low4  = 1<<32 - 1
	low6  = 1<<48 - 1
)

// zeros has the high bit of each byte that is 0 set, and no other bit.
func zeros(x uint64) uint64 { return ^((x&^highs + ^uint64(highs)) | x) & highs }

// gramOf is the gram that a word of eight bytes begins with; ok is false where a
// newline is within it.
func gramOf(w uint64) (g gram, ok bool) {
	x := w | cases
	// Digits are 0x30 to 0x39 now: adding brings what is above out of the range.
	digits := zeros(x&(0xf0*ones)^0x30*ones) &^ (x&(0x0f*ones) + 0x76*ones)
	mask := uint64(low4)
	if digits&low4 != 0 {
		mask = low6
	}
	if zeros(w^'\n'*ones)&mask != 0 {
		return gram{}, false
	}
	// Letters are 0x61 to 0x7a.
	seven := x &^ highs
	letters := (seven + 0x1f*ones) &^ (seven + 0x05*ones) &^ x & highs & mask
	n := bits.OnesCount64(letters)
	g.hash = uint32((x & mask) * 0x9E3779B97F4A7C15 >> 32)
	if mask == low4 {
		g.kind = uint8(n)
	} else {
		g.kind = longKinds[bits.OnesCount64(digits&mask)] + uint8(n)
	}
	return g, true
}

// gramAt is the gram that b begins with, if it is long enough for one.
func gramAt(b []byte) (gram, bool) {
	if len(b) >= 8 {
		return gramOf(binary.LittleEndian.Uint64(b))
	}
	// Newlines stand for what is missing.
	word := [8]byte{'\n', '\n', '\n', '\n', '\n', '\n', '\n', '\n'}
	copy(word[:], b)
	return gramOf(binary.LittleEndian.Uint64(word[:]))
}

func fold(b []byte) []byte {
	folded := make([]byte, len(b))
	for i, c := range b {
		folded[i] = c | 0x20
	}
	return folded
}

func equalFolded(b, folded []byte) bool {
	for i, c := range b {
		if c|0x20 != folded[i] {
			return false
		}
	}
	return true
}

func containsFolded(folded, b []byte) bool { return bytes.Contains(folded, fold(b)) }
