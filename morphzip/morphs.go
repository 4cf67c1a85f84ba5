package morphzip

import (
	"encoding/binary"
	"math"

	"github.com/entroos/entroos/morphzip/columns"
	"github.com/entroos/entroos/morphzip/x86"
)

// morph makes bytes of a block that any coder of bytes may follow. The payload
// is the morphed bytes' length, as uvarint, and they, coded.
type morph struct {
	apply  func(dst, block []byte) (out []byte, ok bool)
	invert func(dst, morphed []byte, size int) ([]byte, error)
	// share is how much of the bits is left by the morph, in thousandths; ok is
	// false where it does not fit.
	share func(s *sample, code func([]byte) int) (thousandths uint64, ok bool)
}

var (
	columnsMorph = morph{columns.Apply, columns.Invert, columnsShare}
	x86Morph     = morph{x86.Apply, x86.Invert, x86Share}
)

// columnsShare codes the middle of the block both ways.
func columnsShare(s *sample, code func([]byte) int) (uint64, bool) {
	if bits, _ := columns.Estimate(s.block); math.IsInf(bits, 0) {
		return 0, false
	}
	middle := s.block
	if len(middle) > samplePieces*samplePiece {
		middle = middle[(len(middle)-samplePieces*samplePiece)/2:][:samplePieces*samplePiece]
	}
	morphed, ok := columns.Apply(nil, middle)
	if !ok {
		return 0, false
	}
	return uint64(code(morphed)) * 1000 / uint64(code(middle)), true
}

// x86Share: to show what it saves, a sample is too short. It is about this much
// wherever there is code.
func x86Share(s *sample, _ func([]byte) int) (uint64, bool) {
	bits, _ := x86.Estimate(s.block)
	return 930, !math.IsInf(bits, 0)
}

// maxMorphHeader bounds how much longer than the block its morphed bytes are.
const maxMorphHeader = 1 << 10

// method is the morph with a coder behind it.
func (m *morph) method(name string, encode, sampled encoder, plain estimator, decode decoder) *method {
	return &method{
		name: name,
		encode: func(level Level, dst, block []byte) ([]byte, bool) {
			morphed, ok := m.apply(nil, block)
			if !ok || len(morphed) > len(block)+maxMorphHeader || len(morphed) > MaxBlock {
				return dst, false
			}
			return encode(level, binary.AppendUvarint(dst, uint64(len(morphed))), morphed)
		},
		decode: func(dst, payload []byte, size int) ([]byte, error) {
			length, payload, ok := uvarint(payload, min(uint64(size)+maxMorphHeader, MaxBlock))
			if !ok {
				return dst, corrupt("a morphed block's length")
			}
			morphed, err := decode(nil, payload, int(length))
			if err != nil {
				return dst, err
			}
			if uint64(len(morphed)) != length {
				return dst, corrupt("a morphed block's length")
			}
			return m.invert(dst, morphed, size)
		},
		estimate: func(level Level, s *sample) (bits, header float64) {
			code := func(b []byte) int {
				coded, _ := sampled(level, nil, b)
				return max(len(coded), 1)
			}
			share, ok := m.share(s, code)
			if !ok {
				return s.unfit(), 0
			}
			bits, _ = plain(level, s)
			return float64(uint64(bits) * share / 1000), 8 * 2
		},
	}
}

// estimator gives a coder's estimate, of a sample.
type estimator func(level Level, s *sample) (bits, header float64)

// encoder is a coder's.
type encoder func(level Level, dst, block []byte) (out []byte, ok bool)

// decoder is a coder's.
type decoder func(dst, payload []byte, size int) ([]byte, error)
