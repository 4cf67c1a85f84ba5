package delta

import (
	"errors"
	"io"

	"github.com/entroos/entroos/morphzip/chunk"
)

// sketchSize is how many hashes a sketch has.
const sketchSize = 64

// Sketch is a small picture of a file, by which similar files are found: by each
// of 64 hash functions, the least hash of its chunks (Broder, "On the resemblance
// and containment of documents", 1997). The zero Sketch is that of an empty file.
type Sketch [sketchSize]uint32

// sketchChunks cut what is pictured: small enough that a file of some KiB has
// several, and that a program has some that no change has touched.
var sketchChunks = chunk.Parameters{Minimum: 64, K: 5, Maximum: 512}

// NewSketch pictures a file.
func NewSketch(r io.Reader) (Sketch, error) {
	chunks, err := chunk.New(r, sketchChunks.Minimum, sketchChunks.K, sketchChunks.Maximum)
	if err != nil {
		return Sketch{}, err
	}
	var s Sketch
	for {
		data, err := chunks.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return Sketch{}, err
		}
		s.add(hashOf(data))
	}
}

// add takes up a chunk.
func (s *Sketch) add(hash uint64) {
	// One hash chooses which of the 64 the chunk counts for, so that a chunk
	// costs one step and not 64 (one permutation hashing: Li, Owen and Zhang 2012).
	hash ^= hash >> 31
	hash *= prime
	hash ^= hash >> 29
	h := uint32(hash) | 1
	if place := &s[hash>>58]; *place == 0 || h < *place {
		*place = h
	}
}

// Similarity estimates which share of the chunks of two files are in both, in
// [0,64]: at 0 a delta gains nothing, at 64 the files are probably equal or nearly.
func (s *Sketch) Similarity(t *Sketch) int {
	same, filled := 0, 0
	for i := range s {
		if s[i] == 0 && t[i] == 0 {
			continue
		}
		filled++
		if s[i] == t[i] {
			same++
		}
	}
	if filled == 0 {
		return 0
	}
	return same * sketchSize / filled
}
