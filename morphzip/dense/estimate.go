package dense

import "bytes"

// Estimate gives the bits that the coded block would take, from a sample of its
// lines, and those of its header; the bits are those of the block itself where
// it has no lines that fit.
func Estimate(block []byte) (bits, header float64) {
	const most = 128 << 10
	sample := block
	if len(block) > most {
		sample = block[len(block)/2:]
		if i := bytes.IndexByte(sample, '\n'); i >= 0 && i < most/2 {
			sample = sample[i+1:]
		}
		sample = sample[:min(len(sample), most)]
	}
	coded, ok := Encode(nil, sample, LeastEffort)
	if !ok || len(sample) == 0 {
		return 8 * float64(len(block)), 8
	}
	// Whole numbers below 2^53, in sixteenths of the lengths: nothing is rounded
	// but the quotient.
	return float64(8*(len(coded)-1)*(len(block)>>4)) / float64(max(len(sample)>>4, 1)), 8
}
