package logline

import (
	"bytes"
	"math"
)

// estimateBytes is how much of a block Estimate codes.
const estimateBytes = 1 << 16

// Estimate returns how many bits Encode would make of the block, and its head,
// for equations.MorphChoice: lines of its middle are coded. It is infinite for
// what has no lines; for the most part that takes no more than a look at 4 KiB.
func Estimate(block []byte) (bits, header float64) {
	if len(block) == 0 || len(block) > maxBlock || !plausible(block) {
		return math.Inf(1), 0
	}
	part := block
	if len(block) > 2*estimateBytes {
		at := len(block)/2 - estimateBytes/2
		part = block[at : at+estimateBytes]
		if n := bytes.IndexByte(part, '\n'); n >= 0 && n < len(part)/2 {
			part = part[n+1:]
		}
		if n := bytes.LastIndexByte(part, '\n'); n > len(part)/2 {
			part = part[:n+1]
		}
	}
	out, ok := Encode(nil, part, Fast)
	if !ok {
		return math.Inf(1), 0
	}
	return math.Round(float64(len(out)) * 8 / float64(len(part)) * float64(len(block))), 0
}
