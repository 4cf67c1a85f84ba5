// Package x86 is the morph of x86-64 machine code: a branch's target becomes
// the same bytes wherever it is branched to from.
//
// Code names what it calls, jumps to and reads by the distance from the
// instruction's end, so that two calls of one function share no bytes. The
// morph makes the distance an address within the block, most significant byte
// first, which repeats. It is the idea of the E8/E9 filters of CAB, LZMA and
// ZPAQ, with conditional jumps and RIP-relative operands besides.
//
// It is exact for any bytes. Both directions walk the block from its start, and
// what is before a byte is the block's own when they come to it. That alone
// decides whether a field of four bytes follows; a field is passed over whole,
// and it is an address or a distance only where its last byte extends a sign,
// which both do alike.
package x86

import "errors"

// ErrSize is what Invert wraps where the morphed bytes are not as many as the
// block's.
var ErrSize = errors.New("x86: the morphed block is not as long as the block")

const (
	// fieldSize is the bytes of a distance.
	fieldSize = 4
	// addressBits is the width of addresses, signed: a distance within ±16 MiB
	// is one whose last byte is a sign extension.
	addressBits = 25
)

// Apply appends block, morphed, to dst: as many bytes as block has. ok is false,
// and dst as it was, where the block has too few branches for it to pay.
func Apply(dst, block []byte) (out []byte, ok bool) {
	if !isCode(block) {
		return dst, false
	}
	return apply(dst, block), true
}

func apply(dst, block []byte) []byte {
	start := len(dst)
	dst = append(dst, block...)
	code := dst[start:]
	// The opcodes are looked for in the block: what is before a byte of code is
	// morphed already.
	for i := 1; i+fieldSize <= len(block); i++ {
		trailing, ok := opensField(block, i)
		if !ok {
			continue
		}
		f := code[i : i+fieldSize : i+fieldSize]
		if f[3] == 0 || f[3] == 0xff {
			distance := uint32(f[0]) | uint32(f[1])<<8 | uint32(f[2])<<16 | uint32(f[3])<<24
			a := signExtend(distance + uint32(i+fieldSize+trailing))
			f[0], f[1], f[2], f[3] = byte(a>>16), byte(a>>8), byte(a), byte(a>>24)
		}
		i += fieldSize - 1
	}
	return dst
}

// Invert appends the block whose morphed bytes these are to dst. It fails only
// where they are not size many.
func Invert(dst, morphed []byte, size int) ([]byte, error) {
	if len(morphed) != size {
		return dst, ErrSize
	}
	start := len(dst)
	dst = append(dst, morphed...)
	code := dst[start:]
	for i := 1; i+fieldSize <= len(code); i++ {
		trailing, ok := opensField(code, i)
		if !ok {
			continue
		}
		f := code[i : i+fieldSize : i+fieldSize]
		if f[3] == 0 || f[3] == 0xff {
			a := uint32(f[0])<<16 | uint32(f[1])<<8 | uint32(f[2]) | uint32(f[3])<<24
			d := signExtend(a - uint32(i+fieldSize+trailing))
			f[0], f[1], f[2], f[3] = byte(d), byte(d>>8), byte(d>>16), byte(d>>24)
		}
		i += fieldSize - 1
	}
	return dst, nil
}

func signExtend(a uint32) uint32 {
	return uint32(int32(a<<(32-addressBits)) >> (32 - addressBits))
}
