package logline

import (
	"bytes"
	"encoding/binary"
	"math"
)

// estimateBytes is how much of a block Estimate codes.
const estimateBytes = 1 << 16

// Estimate returns how many bits Encode would make of the block, and, apart, of
// its head, for equations.MorphChoice: lines of its middle are coded, and taken
// to have all the templates. It is infinite for
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
	head := headBytes(out)
	return math.Round(float64(len(out)-head) * 8 / float64(len(part)) * float64(len(block))), float64(8 * head)
}

// headBytes returns how many bytes the head of what Encode made takes.
func headBytes(payload []byte) int {
	at, coded := 0, uint64(0)
	for range 3 { // the lengths: meta data, text, coded head
		v, n := binary.Uvarint(payload[at:])
		at += n
		coded = v >> 3
	}
	return at + int(coded)
}
