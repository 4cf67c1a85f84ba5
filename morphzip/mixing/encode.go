package mixing

import (
	"fmt"
	"slices"
)

// The efforts of the coder of any bytes, which are levels.
const (
	LeastEffort = 7
	MostEffort  = 8
)

// Encode appends to dst the block, coded with an effort: 7 takes some 11 MB of
// memory beside the bytes, 8 some 40 MB, and 1.5 times as long. It is always
// ok.
func Encode(dst, block []byte, effort int) (out []byte, ok bool) {
	effort = min(max(effort, LeastEffort), MostEffort)
	c := NewEncoder(append(dst, byte(effort)))
	newBytesModel(effort, len(block)).code(c, make([]byte, 0, len(block)), block, len(block))
	return c.Finish(), true
}

// Decode appends to dst exactly size bytes, which an Encode coded into payload.
func Decode(dst, payload []byte, size int) ([]byte, error) {
	if len(payload) == 0 || payload[0] < LeastEffort || payload[0] > MostEffort || size < 0 {
		return nil, fmt.Errorf("%w: no such effort", ErrCorrupt)
	}
	c := NewDecoder(payload[1:])
	dst = newBytesModel(int(payload[0]), size).code(c, slices.Grow(dst, size), nil, size)
	if err := c.Err(); err != nil {
		return nil, err
	}
	return dst, nil
}

// Estimate gives the bits that the coded block would take, from a sample, and
// those of its header.
func Estimate(block []byte) (bits, header float64) {
	const pieces, piece = 8, 16 << 10
	sample := block
	if len(block) > pieces*piece {
		sample = make([]byte, 0, pieces*piece)
		for i := range pieces {
			at := (len(block) - piece) / (pieces - 1) * i
			sample = append(sample, block[at:at+piece]...)
		}
	}
	coded, _ := Encode(nil, sample, LeastEffort)
	if len(sample) == 0 {
		return 0, 8
	}
	// Both numbers are exact below 2^53, and so is their product here.
	return float64(8*(len(coded)-1)*(len(block)>>4)) / float64(max(len(sample)>>4, 1)), 8
}
