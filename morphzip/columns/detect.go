package columns

import (
	"bytes"
	"cmp"
	"slices"
)

const (
	// alike is how many bytes are compared with those a width behind them.
	alike = 8 << 10
	// examined is how many bytes the fields are told from.
	examined = 16 << 10
	// candidates is how many widths are examined, besides the powers of two.
	candidates = 3
)

// detect finds the layout under which a sample's bytes take the fewest bits,
// and whether these are fewer than without one. It works in integers only.
func detect(block []byte) (*layout, bool) {
	if len(block) < 4*minRecords {
		return nil, false
	}
	sample := block
	if len(block) > examined {
		sample = block[(len(block)-examined)/2:][:examined]
	}
	if constant(sample) {
		return nil, false
	}
	var best *layout
	// What transposition gains is at least a fiftieth, and more than its header.
	least := cost(sample) * 49 / 50
	for _, w := range widths(block, sample) {
		l, bits := fields(sample, w)
		if bits += 8 * fraction * uint64(w); bits < least {
			best, least = l, bits
		}
	}
	if best == nil {
		return nil, false
	}
	// The sample begins anywhere in a record.
	best.skip = (best.skip + (len(block)-len(sample))/2) % best.width
	return best, true
}

func constant(b []byte) bool { return bytes.Count(b, b[:1]) == len(b) }

// widths are those of records that the sample may be made of, narrow ones first:
// bytes a record apart are alike more often than others.
func widths(block, sample []byte) []int {
	if w, text := lines(block, sample); text {
		if w == 0 {
			return nil
		}
		return []int{w}
	}
	part := sample[:min(len(sample), alike)]
	widest := min(MaxWidth, len(part)/minRecords)
	// By chance as many are alike as two bytes of the sample are.
	var counts [256]int
	for _, c := range part {
		counts[c]++
	}
	chance := 0
	for _, n := range counts {
		chance += n * n
	}
	chance = chance/len(part) + len(part)/64
	type width struct{ w, alike int }
	all := make([]width, 0, widest)
	for w := 1; w <= widest; w++ {
		a, b, n := part[w:], part, 0
		for i, c := range a {
			if c == b[i] {
				n++
			}
		}
		// As if as many had been compared as for a width of 0.
		if n = n * len(part) / len(a); n > chance {
			all = append(all, width{w, n})
		}
	}
	some := make([]int, 0, candidates+4)
	for _, w := range all {
		if w.w == 1 || w.w == 2 || w.w == 4 || w.w == 8 {
			some = append(some, w.w)
		}
	}
	slices.SortStableFunc(all, func(a, b width) int { return cmp.Compare(b.alike, a.alike) })
	for _, w := range all[:min(candidates, len(all))] {
		some = append(some, w.w)
	}
	slices.Sort(some)
	return slices.Compact(some)
}

// lines says whether the sample is text, and how long the block's lines are if
// all are as long; they are records then.
func lines(block, sample []byte) (width int, text bool) {
	printable := 0
	for _, c := range sample {
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\r' || c == '\t' {
			printable++
		}
	}
	if printable*20 < len(sample)*19 {
		return 0, false
	}
	first := bytes.IndexByte(block, '\n')
	if first < 0 {
		return 0, true
	}
	width = bytes.IndexByte(block[first+1:], '\n') + 1
	if width < 2 || width > min(MaxWidth, len(sample)/minRecords) {
		return 0, true
	}
	for i := first; i < len(block); i += width {
		if block[i] != '\n' {
			return 0, true
		}
	}
	return width, true
}

// fields divides records of a width into the fields that take the fewest bits,
// and gives those of the whole sample.
func fields(sample []byte, width int) (*layout, uint64) {
	// A record is examined from each of a few places on; the fields at a place
	// cost the same from whichever.
	table := make([][4]choice, width)
	for at := range table {
		for logarithm := range table[at] {
			if size := 1 << logarithm; size <= width {
				table[at][logarithm] = cheapest(sample[at:], width, logarithm)
			}
		}
	}
	var best *layout
	var least uint64
	costs, chosen := make([]uint64, width+1), make([]int, width+1)
	for skip := range min(width, 8) {
		for end := 1; end <= width; end++ {
			costs[end] = 1 << 62
			for logarithm := range 4 {
				from := end - 1<<logarithm
				if from < 0 {
					break
				}
				if c := costs[from] + table[(skip+from)%width][logarithm].bits; c < costs[end] {
					costs[end], chosen[end] = c, logarithm
				}
			}
		}
		if best != nil && costs[width] >= least {
			continue
		}
		least = costs[width]
		best = &layout{width: width, skip: skip}
		for end := width; end > 0; end -= 1 << chosen[end] {
			from := end - 1<<chosen[end]
			best.fields = append(best.fields, table[(skip+from)%width][chosen[end]].field)
		}
		slices.Reverse(best.fields)
	}
	return best, least
}

// choice is how a field is best coded, and the bits it takes then.
type choice struct {
	field field
	bits  uint64
}

// cheapest is how a field of this size that stands at the sample's begin and
// every width bytes is best coded.
func cheapest(sample []byte, width, logarithm int) choice {
	size := 1 << logarithm
	n := (len(sample) - size + width) / width
	planes := make([]byte, n*size)
	best := choice{bits: 1 << 62}
	for c := plain; c < codes; c++ {
		if size > 1 && (c == plain || c == exclusiveOr) {
			continue // as the bytes apart
		}
		for _, order := range [...]field{0, bigEndian} {
			if size == 1 && order != 0 {
				continue
			}
			f := field(logarithm) | order | field(c)<<codeShift
			f.split(planes, sample, width, n)
			var bits uint64
			for p := range size {
				bits += cost(planes[p*n:][:n])
			}
			if bits < best.bits {
				best = choice{f, bits}
			}
		}
	}
	return best
}
