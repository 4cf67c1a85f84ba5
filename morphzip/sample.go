package morphzip

import "github.com/klauspost/compress/zstd"

// sample is a block of which estimates are made: morphs are compared by what the
// same few bytes become. The numbers are integers up to the last division, so
// that each machine chooses alike.
type sample struct {
	block []byte
	bytes []byte // spread over the block; all of a small one

	byZstd   int     // bytes coded; 0 is not known
	byMixing float64 // bits
}

const (
	samplePieces = 4
	samplePiece  = 16 << 10
)

// newSample takes a sample of a block. The dense levels' coders learn longer,
// and have more time.
func newSample(block []byte, level Level) *sample {
	piece := samplePiece
	if level.serial() {
		piece *= 2
	}
	if len(block) <= samplePieces*piece {
		return &sample{block: block, bytes: block}
	}
	s := &sample{block: block, bytes: make([]byte, 0, samplePieces*piece)}
	for i := range samplePieces {
		at := (len(block) - piece) / (samplePieces - 1) * i
		s.bytes = append(s.bytes, block[at:at+piece]...)
	}
	return s
}

// bits is how many the block takes where the sample takes so many bytes.
func (s *sample) bits(coded int) float64 {
	return float64(8 * uint64(coded) * uint64(len(s.block)) / uint64(len(s.bytes)))
}

// learned is how many bits the block takes by a coder that learns as it goes:
// what the sample's second half takes after the first tells of the rest, not
// what the first does, which is learned from.
func (s *sample) learned(code func([]byte) int) float64 {
	whole := code(s.bytes)
	if len(s.bytes) == len(s.block) {
		return float64(8 * uint64(whole))
	}
	half := len(s.bytes) / 2
	after := max(whole-code(s.bytes[:half]), 1)
	rest := uint64(after) * uint64(len(s.block)-len(s.bytes)) / uint64(len(s.bytes)-half)
	return float64(8 * (uint64(whole) + rest))
}

// zstd is how many bits the block takes by zstd.
func (s *sample) zstd() float64 {
	if s.byZstd == 0 {
		s.byZstd = len(encodeZstdAt(zstd.SpeedFastest, nil, s.bytes))
	}
	return s.bits(s.byZstd)
}

// unfit is the estimate of what does not fit the block: more than it has, so
// that it is not chosen.
func (s *sample) unfit() float64 { return float64(16 * (uint64(len(s.block)) + 1)) }
