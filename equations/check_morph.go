package equations

import (
	"math"
	"slices"
)

var morphRows = []Row{
	{55, "morph", "Compression ratio", "ρ = stored bytes / original bytes", "morphzip", "> 0", "CompressionRatio", checkRatio},
	{56, "morph", "Order-0 bound", "bytes ≥ n·H/8", "morphzip", "the order-0 coder ≥ the bound", "OrderZeroBound", checkOrderZero},
	{57, "morph", "Redundancy", "R = 1 − H/8", "morphzip", "∈ [0,1]", "Redundancy", checkRedundancy},
	{58, "morph", "Choice of morph", "argmin bits(m(x)) + header(m)", "morphzip", "chosen ≤ identity", "MorphChoice", checkMorphChoice},
	{59, "morph", "Morph gain", "G = 1 − │z(m(x))│/│z(x)│", "morphzip", "≥ 0 over one block in 64", "MorphGain", checkMorphGain},
	{60, "morph", "Chunk size", "E = m + 2^k(1 − e^{−(M−m)/2^k})", "morphzip", "mean within 25 % of E", "ChunkSize", checkChunkSize},
	{61, "morph", "Deduplication", "unique bytes / logical bytes", "morphzip", "∈ (0,1]", "DeduplicationRatio", checkDeduplication},
	{62, "morph", "Output density", "Ĥ of the stored bytes", "morphzip", "≥ 0.985 for blocks ≥ 4 KiB", "OutputDensity", checkDensity},
	{63, "morph", "Zigzag delta", "zz(x) = (x≪1) ⊕ (x≫63) of differences", "morphzip", "inverts exactly", "ZigzagDelta", checkZigzag},
	{64, "morph", "Read amplification", "bytes decoded / bytes returned", "morphzip", "≤ 2·block size / request + 1", "ReadAmplification", checkAmplification},
}

const noMorph = "nothing is stored compressed"

// blocks checks the blocks sampled.
func blocks(t *Telemetry, check func(*BlockFacts) observation) Verdict {
	if t.Morph == nil {
		return Verdict{NotApplicable, noMorph}
	}
	return over(t.Morph.Blocks, noMorph, check)
}

func checkRatio(t *Telemetry) Verdict {
	return one(t.Morph, noMorph, func(f *MorphFacts) observation {
		if f.Original == 0 && f.Stored == 0 {
			return observation{skip: true}
		}
		ratio := CompressionRatio(f.Stored, f.Original)
		return seen("", ratio, f.Ratio > 0 && same(ratio, f.Ratio), notRecomputed, f.Ratio, ratio)
	})
}

func checkOrderZero(t *Telemetry) Verdict {
	return blocks(t, func(f *BlockFacts) observation {
		if f.OrderZero == 0 {
			return observation{skip: true}
		}
		bound := OrderZeroBound(f.Bytes.Total(), ShannonEntropy(f.Bytes[:]))
		return seen("", float64(f.OrderZero)/bound, float64(f.OrderZero) >= bound*(1-1e-12), "%d bytes, the bound is %v", f.OrderZero, bound)
	})
}

func checkRedundancy(t *Telemetry) Verdict {
	return blocks(t, func(f *BlockFacts) observation {
		h := ShannonEntropy(f.Bytes[:])
		r := Redundancy(h)
		return seen("", r, within(f.Redundancy, 0, 1) && same(r, f.Redundancy) && same(h, f.Entropy), notRecomputed, f.Redundancy, r)
	})
}

func checkMorphChoice(t *Telemetry) Verdict {
	return blocks(t, func(f *BlockFacts) observation {
		if len(f.Bits) == 0 || len(f.Bits) != len(f.Headers) {
			return seen("", 0, false, "%d estimates, %d headers", len(f.Bits), len(f.Headers))
		}
		want := MorphChoice(f.Bits, f.Headers)
		if want != f.Chosen || want < 0 {
			return seen("", 0, false, "morph %d is in use, %d recomputed", f.Chosen, want)
		}
		chosen, identity := f.Bits[want]+f.Headers[want], f.Bits[0]+f.Headers[0]
		return seen("", chosen/identity, chosen <= identity, "%v bits, the identity has %v", chosen, identity)
	})
}

func checkMorphGain(t *Telemetry) Verdict {
	return one(t.Morph, "no block was coded both ways yet", func(f *MorphFacts) observation {
		if len(f.Coded) == 0 {
			return observation{skip: true}
		}
		var morphed, plain uint64
		for _, c := range f.Coded {
			morphed += c.Morphed
			plain += c.Plain
		}
		g := MorphGain(morphed, plain)
		return seen("", g, f.Gain >= 0 && same(g, f.Gain), notRecomputed, f.Gain, g)
	})
}

func checkChunkSize(t *Telemetry) Verdict {
	if t.Morph == nil {
		return Verdict{NotApplicable, noMorph}
	}
	return one(t.Morph.Chunks, "no stream was cut into chunks", func(f *ChunkFacts) observation {
		if f.Count == 0 || float64(f.Bytes) < 64*math.Ldexp(1, f.Bits) {
			return observation{skip: true}
		}
		want := ChunkSize(f.Minimum, f.Maximum, f.Bits)
		if !same(want, f.Expected) {
			return seen("", 0, false, notRecomputed, f.Expected, want)
		}
		mean := float64(f.Bytes) / float64(f.Count)
		return seen("", mean, math.Abs(mean-want) <= 0.25*want, "%v bytes, E = %v", mean, want)
	})
}

func checkDeduplication(t *Telemetry) Verdict {
	return one(t.Morph, noMorph, func(f *MorphFacts) observation {
		if f.Logical == 0 && f.Unique == 0 {
			return observation{skip: true}
		}
		share := DeduplicationRatio(f.Unique, f.Logical)
		return seen("", share, share > 0 && share <= 1 && same(share, f.Deduplication), notRecomputed, f.Deduplication, share)
	})
}

func checkDensity(t *Telemetry) Verdict {
	return blocks(t, func(f *BlockFacts) observation {
		if f.Output.Total() < 4<<10 {
			return observation{skip: true}
		}
		d := OutputDensity(&f.Output)
		if !same(d, f.Density) {
			return seen("", d, false, notRecomputed, f.Density, d)
		}
		return seen("", d, within(d, 0.985, 1), "Ĥ = %v", d)
	})
}

func checkZigzag(t *Telemetry) Verdict {
	if t.Morph == nil {
		return Verdict{NotApplicable, noMorph}
	}
	return over(t.Morph.Deltas, "no column of numbers is stored", func(f *DeltaFacts) observation {
		if f.Order != 1 && f.Order != 2 || len(f.Numbers) != len(f.Deltas) {
			return seen("", none, false, "%d deltas of order %d for %d numbers", len(f.Deltas), f.Order, len(f.Numbers))
		}
		if deltas := ZigzagDelta(make([]uint64, len(f.Numbers)), f.Numbers, f.Order); !slices.Equal(deltas, f.Deltas) {
			return seen("", none, false, "deltas %d in use, %d recomputed", f.Deltas, deltas)
		}
		numbers := ZigzagSum(make([]int64, len(f.Deltas)), f.Deltas, f.Order)
		return seen("", none, slices.Equal(numbers, f.Numbers), "%d came back as %d", f.Numbers, numbers)
	})
}

func checkAmplification(t *Telemetry) Verdict {
	if t.Morph == nil {
		return Verdict{NotApplicable, noMorph}
	}
	return over(t.Morph.Reads, "nothing was read back yet", func(f *ReadFacts) observation {
		if f.Returned == 0 {
			return observation{skip: true}
		}
		a := ReadAmplification(f.Decoded, f.Returned)
		if !same(a, f.Amplification) {
			return seen("", a, false, notRecomputed, f.Amplification, a)
		}
		bound := 2*float64(f.Block)/float64(f.Returned) + 1
		return seen("", a, a <= bound, "%v, the bound is %v", a, bound)
	})
}
