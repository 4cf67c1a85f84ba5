package morphzip

import "math"

// plans are the methods that are considered at each level, the identity first.
var plans = [...][]Method{
	1: {Zstd}, {Zstd}, {Zstd}, {Zstd}, {Zstd}, {Zstd}, {Zstd}, {Zstd}, {Zstd},
}

const (
	sampleSize = 16 << 10
	samples    = 4
)

// estimateZstd codes samples of the block.
func estimateZstd(_ *Encoder, block []byte) (bits, header float64) {
	if len(block) <= samples*sampleSize {
		return 8 * float64(len(encodeZstdAt(1, nil, block))), 0
	}
	var coded, seen int
	var buffer []byte
	for i := range samples {
		at := (len(block) - sampleSize) / (samples - 1) * i
		buffer = encodeZstdAt(1, buffer[:0], block[at:at+sampleSize])
		coded += len(buffer)
		seen += sampleSize
	}
	return math.Round(8 * float64(len(block)) / float64(seen) * float64(coded)), 0
}
