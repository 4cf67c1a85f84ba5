package equations

import "math"

// This file is section M of the model, rows 55 to 64: the compressed store.

// part is part/whole; where there is no whole it is 1 for no part, and infinite
// for any.
func part(part, whole uint64) float64 {
	if part == whole {
		return 1
	}
	return float64(part) / float64(whole)
}

// CompressionRatio returns equation 55,
//
//	ρ = stored bytes / original bytes
//
// Smaller is better; above 1 the store is larger than what is in it. It is 1
// when both are 0, and infinite for what is stored of nothing.
func CompressionRatio(stored, original uint64) float64 { return part(stored, original) }

// OrderZeroBound returns equation 56,
//
//	n·H/8 bytes
//
// the fewest that a memoryless coder makes, on average, of n bytes with the
// entropy h in bits per byte (Shannon 1948, theorem 9). h is brought into
// [0,8]; NaN counts as 0.
func OrderZeroBound(n uint64, h float64) float64 { return float64(n) * clamp01(h/8) }

// Redundancy returns equation 57,
//
//	R = 1 − H/8, in [0,1]
//
// the share of each byte that its entropy h, in bits per byte, leaves unused.
// h is brought into [0,8]; NaN counts as 8: no redundancy is assumed.
func Redundancy(h float64) float64 {
	if math.IsNaN(h) {
		return 0
	}
	return 1 - clamp01(h/8)
}

// MorphChoice returns equation 58, the m of
//
//	argmin bits(m(x)) + header(m)
//
// over the estimated sizes, in bits, of a block under each morph and of the
// morph's header. The earlier wins a tie: the identity, when it is the first.
// NaN is never chosen. It returns −1 without a morph, and panics unless there
// are as many headers as estimates.
func MorphChoice(bits, headers []float64) int {
	if len(bits) != len(headers) {
		panic("equations: as many headers as estimates")
	}
	choice, least := -1, 0.0
	for i := range bits {
		size := bits[i] + headers[i]
		if !math.IsNaN(size) && (choice < 0 || size < least) {
			choice, least = i, size
		}
	}
	return choice
}

// MorphGain returns equation 59,
//
//	G = 1 − │z(m(x))│/│z(x)│
//
// the share of a block's compressed bytes that its morph saves, from the bytes
// with it and without; negative where the morph costs. It is 0 when both are 0.
func MorphGain(morphed, plain uint64) float64 { return 1 - part(morphed, plain) }

// ChunkSize returns equation 60,
//
//	E = m + 2^k(1 − e^{−(M−m)/2^k}) bytes
//
// the mean size of the chunks that content-defined chunking makes of random
// bytes, when each byte from the minimum m on ends the chunk with probability
// 2^−k, and the maximum M ends it in any case (Muthitacharoen, Chen and
// Mazières 2001). A maximum below the minimum counts as the minimum, k < 0 as 0.
func ChunkSize(minimum, maximum uint64, k int) float64 {
	if maximum <= minimum {
		return float64(minimum)
	}
	mean, span := math.Ldexp(1, max(k, 0)), float64(maximum-minimum)
	if math.IsInf(mean, 1) {
		return float64(maximum)
	}
	return float64(minimum) - mean*math.Expm1(-span/mean)
}

// DeduplicationRatio returns equation 61,
//
//	unique bytes / logical bytes, in (0,1]
//
// It is 1 when there are none; above 1 it tells of a mistake in counting.
func DeduplicationRatio(unique, logical uint64) float64 { return part(unique, logical) }

// OutputDensity returns equation 62, the normalised entropy Ĥ of stored bytes,
// in [0,1]: 1 is that nothing is left to compress. Without bytes it is 0.
func OutputDensity(stored *Histogram) float64 {
	return NormalisedEntropy(ShannonEntropy(stored[:]), len(stored))
}

// Zigzag returns the code of equation 63,
//
//	zz(x) = (x≪1) ⊕ (x≫63)
//
// which maps numbers of small magnitude to small ones: 0, −1, 1, −2, … become
// 0, 1, 2, 3, … It is one to one.
func Zigzag(x int64) uint64 { return uint64(x)<<1 ^ uint64(x>>63) }

// Unzigzag is the inverse of Zigzag.
func Unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }

// ZigzagDelta puts equation 63 into deltas, which must be as long as numbers
// (it panics otherwise), and returns it: the zigzag codes of the first
// differences (order 1) or of the second (order 2), where 0 stands before the
// first number and the first difference. Any other order panics. Differences
// wrap around, so that ZigzagSum inverts it exactly.
func ZigzagDelta(deltas []uint64, numbers []int64, order int) []uint64 {
	checkDeltas(len(deltas), len(numbers), order)
	var last, lastDelta int64
	for i, x := range numbers {
		d := x - last
		last = x
		if order == 2 {
			d, lastDelta = d-lastDelta, d
		}
		deltas[i] = Zigzag(d)
	}
	return deltas
}

// ZigzagSum is the inverse of ZigzagDelta: it puts the numbers that have these
// deltas into numbers, and returns it.
func ZigzagSum(numbers []int64, deltas []uint64, order int) []int64 {
	checkDeltas(len(deltas), len(numbers), order)
	var last, lastDelta int64
	for i, z := range deltas {
		d := Unzigzag(z)
		if order == 2 {
			d += lastDelta
			lastDelta = d
		}
		last += d
		numbers[i] = last
	}
	return numbers
}

func checkDeltas(deltas, numbers, order int) {
	if deltas != numbers {
		panic("equations: as many deltas as numbers")
	}
	if order != 1 && order != 2 {
		panic("equations: differences are first or second ones")
	}
}

// ReadAmplification returns equation 64,
//
//	bytes decoded / bytes returned
//
// of a read from the compressed store: at least 1 where nothing is cached. It
// is 1 when nothing was decoded and nothing returned.
func ReadAmplification(decoded, returned uint64) float64 { return part(decoded, returned) }
