package store

import (
	"sync"

	"github.com/entroos/entroos/equations"
)

// facts are what the store tells of itself, as it goes.
type facts struct {
	mu    sync.Mutex
	reads []equations.ReadFacts
}

const factsKept = 16

// read notes a read of the store: the largest block that it touched, and how
// many bytes it gave and decoded.
func (f *facts) read(block, returned, decoded uint64) {
	if returned == 0 || decoded == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reads) == factsKept {
		f.reads = append(f.reads[:0], f.reads[1:]...)
	}
	f.reads = append(f.reads, equations.ReadFacts{
		Block: block, Returned: returned, Decoded: decoded, Amplification: equations.ReadAmplification(decoded, returned),
	})
}

func (f *facts) snapshot() *equations.MorphFacts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &equations.MorphFacts{Reads: append([]equations.ReadFacts(nil), f.reads...)}
}
