package morphzip

import "github.com/entroos/entroos/equations"

// Report is what an Encoder did with a block.
type Report struct {
	Level  Level
	Method Method
	// Size is the block's, Offset the bytes before it; Rest is its bytes without
	// long runs and Payload what they were coded as. Both are valid during the
	// call only.
	Size, Offset  uint64
	Rest, Payload []byte
	// Stored is the length of the whole frame.
	Stored uint64
	// Methods are those that were considered, the identity first; Bits and
	// Headers are their estimates, and Chosen the place of the least.
	Methods       []Method
	Bits, Headers []float64
	Chosen        int
	// Coded is the payload's length. Plain is what it would be without a morph,
	// where that was tried, else 0.
	Coded, Plain uint64
}

// Facts are the block's for the live checks of rows 56 to 58 and 62.
func (r *Report) Facts() equations.BlockFacts {
	f := equations.BlockFacts{Bits: r.Bits, Headers: r.Headers, Chosen: r.Chosen}
	f.Bytes.Add(r.Rest)
	f.Output.Add(r.Payload)
	f.Entropy = equations.ShannonEntropy(f.Bytes[:])
	f.Redundancy = equations.Redundancy(f.Entropy)
	f.Density = equations.OutputDensity(&f.Output)
	if r.Method == OrderZero {
		f.OrderZero = r.Coded
	}
	return f
}
