package columns

import (
	"math"

	"github.com/klauspost/compress/zstd"
)

// estimated is how many bytes are morphed and coded for an estimate.
const estimated = 64 << 10

var fast = newEncoder()

func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}

// Estimate returns the bits that zstd would make of the morphed block, by a
// sample, and those of the layout. The first is infinite where Apply would not
// morph the block.
func Estimate(block []byte) (bits, header float64) {
	l, ok := detect(block)
	if !ok {
		return math.Inf(1), 0
	}
	head := len(l.append(nil))
	part := block
	if len(block) > estimated {
		part = block[:estimated]
		if middle := (len(block) - estimated) / 2; middle > 0 {
			middle -= middle % l.width
			part = block[middle:][:estimated]
		}
	}
	coded := len(fast.EncodeAll(l.apply(nil, part)[head:], nil))
	bytes := uint64(coded) * uint64(len(block)) / uint64(len(part))
	return float64(8 * bytes), float64(8 * head)
}
