package store

import (
	"slices"
	"sync"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/morphzip"
)

// facts are what the store tells of itself, as it goes: the last of each kind.
type facts struct {
	mu     sync.Mutex
	reads  []equations.ReadFacts
	blocks []equations.BlockFacts
	coded  []equations.CodedFacts
	deltas []equations.DeltaFacts

	chunks, chunkBytes uint64 // cut, without last ones and those with long runs
}

const (
	factsKept = 16
	// Blocks that have so many bytes are described.
	factsSize = 4 << 10
	// The chunks' mean size is told from so many chunks on.
	chunksTold = 256
	// Of a column so many numbers are told.
	factsNumbers = 64
)

// keep appends to a list of the last ones.
func keep[T any](list []T, one T) []T {
	if len(list) == factsKept {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, one)
}

// read notes a read of the store: the largest unit that it touched, and how
// many bytes it gave and decoded.
func (f *facts) read(block, returned, decoded uint64) {
	if returned == 0 || decoded == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = keep(f.reads, equations.ReadFacts{
		Block: block, Returned: returned, Decoded: decoded, Amplification: equations.ReadAmplification(decoded, returned),
	})
}

// block notes a block that was coded.
func (f *facts) block(r *morphzip.Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Plain > 0 {
		f.coded = keep(f.coded, equations.CodedFacts{Morphed: r.Coded, Plain: r.Plain})
	}
	if len(r.Bits) == 0 || len(r.Rest) < factsSize {
		return // of runs only, or little
	}
	f.blocks = keep(f.blocks, r.Facts())
}

// constantRun is how long a run of one byte is that cannot end a chunk, and so
// makes it longer than chance does.
const constantRun = 4 << 10

// chunkCount counts the chunks of one blob, but for its last.
type chunkCount struct {
	count, bytes uint64
	last         int // the size of the chunk before, if it counts
}

func (c *chunkCount) add(data []byte) {
	if c.last > 0 {
		c.count++
		c.bytes += uint64(c.last)
	}
	c.last = len(data)
	if hasRun(data) {
		c.last = 0
	}
}

// cut notes the chunks of a blob.
func (f *facts) cut(c chunkCount) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chunks += c.count
	f.chunkBytes += c.bytes
}

func hasRun(data []byte) bool {
	run := 0
	for i := 1; i < len(data); i++ {
		if data[i] != data[i-1] {
			run = 0
		} else if run++; run >= constantRun {
			return true
		}
	}
	return false
}

// delta notes a column of times.
func (f *facts) delta(numbers []int64, deltas []uint64) {
	n := min(len(numbers), factsNumbers)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deltas = keep(f.deltas, equations.DeltaFacts{Order: 1, Numbers: slices.Clone(numbers[:n]), Deltas: slices.Clone(deltas[:n])})
}

// Facts are the store's rows of the equations' telemetry.
func (s *Store) Facts() *equations.MorphFacts {
	var t equations.MorphFacts
	for _, st := range s.loaded() {
		st.mu.Lock()
		t.Original += st.blocks.original + st.tail.original
		t.Stored += st.blocks.stored + st.tail.stored
		st.mu.Unlock()
	}
	blobs := s.Blobs()
	t.Original += blobs.Original
	t.Stored += blobs.Stored
	t.Unique, t.Logical = blobs.Unique, blobs.Logical
	t.Deduplication = equations.DeduplicationRatio(t.Unique, t.Logical)
	t.Ratio = equations.CompressionRatio(t.Stored, t.Original)
	f := &s.facts
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Reads, t.Blocks = slices.Clone(f.reads), slices.Clone(f.blocks)
	t.Coded, t.Deltas = slices.Clone(f.coded), slices.Clone(f.deltas)
	if f.chunks >= chunksTold {
		t.Chunks = &equations.ChunkFacts{
			Minimum: uint64(chunkSizes.Minimum), Maximum: uint64(chunkSizes.Maximum), Bits: chunkSizes.K,
			Bytes: f.chunkBytes, Count: f.chunks, Expected: chunkSizes.Mean(),
		}
	}
	var morphed, plain uint64
	for _, c := range t.Coded {
		morphed += c.Morphed
		plain += c.Plain
	}
	t.Gain = equations.MorphGain(morphed, plain)
	return &t
}
