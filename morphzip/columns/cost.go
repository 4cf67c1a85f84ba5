package columns

import "math/bits"

// fraction is the unit of costs: 1/fraction bit.
const fraction = 256

// newSymbol is what each distinct byte costs besides, in bits: about what a coder
// takes to say which bytes there are. It keeps short columns of noise from
// looking cheap.
const newSymbol = 4

// cost is the bytes' entropy of order 0, times their number, with what the
// distinct ones cost.
func cost(b []byte) uint64 {
	var counts [256]uint32
	for _, c := range b {
		counts[c]++
	}
	total, distinct := timesLog(len(b)), uint64(0)
	for _, c := range b {
		if n := counts[c]; n > 0 {
			total -= timesLog(int(n))
			distinct++
			counts[c] = 0
		}
	}
	return total + newSymbol*fraction*(distinct-min(distinct, 1))
}

var logarithms = func() (table [examined + 1]uint64) {
	for n := 2; n < len(table); n++ {
		table[n] = uint64(n) * log2(uint64(n))
	}
	return table
}()

// timesLog is n·log₂ n.
func timesLog(n int) uint64 {
	if n < len(logarithms) {
		return logarithms[n]
	}
	return uint64(n) * log2(uint64(n))
}

// log2 is the binary logarithm of n ≥ 1, rounded down to 1/fraction: the square
// of a number has twice its logarithm, so that squaring gives a digit at a time.
func log2(n uint64) uint64 {
	const one = 1 << 31
	whole := bits.Len64(n) - 1
	result := uint64(whole)
	x := n << (63 - whole) >> 32 // in [1,2)
	for digit := 1; digit < fraction; digit <<= 1 {
		x = x * x / one
		result <<= 1
		if x >= 2*one {
			x /= 2
			result |= 1
		}
	}
	return result
}
