package morphzip

import "github.com/klauspost/compress/zstd"

// sample is a block of which estimates are made: morphs are compared by what the
// same few bytes become. The numbers are integers up to the last division, so
// that each machine chooses alike.
type sample struct {
	block []byte
	bytes []byte // spread over the block; all of a small one

	byZstd, byMixing int // bytes coded; 0 is not known
}

const (
	samplePieces = 4
	samplePiece  = 16 << 10
)

func newSample(block []byte) *sample {
	if len(block) <= samplePieces*samplePiece {
		return &sample{block: block, bytes: block}
	}
	s := &sample{block: block, bytes: make([]byte, 0, samplePieces*samplePiece)}
	for i := range samplePieces {
		at := (len(block) - samplePiece) / (samplePieces - 1) * i
		s.bytes = append(s.bytes, block[at:at+samplePiece]...)
	}
	return s
}

// bits is how many the block takes where the sample takes so many bytes.
func (s *sample) bits(coded int) float64 {
	return float64(8 * uint64(coded) * uint64(len(s.block)) / uint64(len(s.bytes)))
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
