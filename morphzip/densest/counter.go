package densest

// A cell is what one context knows about one binary decision, in 32 bits: the
// probability of a one in 1/2^17 (the upper 17 bits), how often the decision
// was seen (7 bits, saturating), and the last up to 7 outcomes below a leading
// one (8 bits).
type cell = uint32

const (
	freshCell  cell = 1<<31 | 1
	countLimit      = 127
)

var reciprocal [1024]int32 // 65536/(n+1.5)

func init() {
	for n := range reciprocal {
		reciprocal[n] = int32(65536 * 2 / (2*n + 3))
	}
}

// learn returns the cell after the bit y, adapting by 1/n up to the limit.
func learn(c cell, y int, limit uint32) cell {
	p, n, h := int32(c>>15), c>>8&127, c&255
	p += int32(int64(int32(y<<17-y)-p) * int64(reciprocal[n]) >> 16)
	if n < limit {
		n++
	}
	h = h<<1 | uint32(y)
	if h > 255 {
		h = h&127 | 128
	}
	return uint32(p)<<15 | n<<8 | h
}

const historyStates = 1024

// history maps a cell to its state for an adaptive map: all outcomes as long
// as there are at most seven, then the last seven and the class of the count.
func history(c cell) int {
	n, h := c>>8&127, c&255
	if n <= 7 {
		return int(h)
	}
	class := uint32(0)
	switch {
	case n == 127:
		class = 4
	case n >= 64:
		class = 3
	case n >= 32:
		class = 2
	case n >= 16:
		class = 1
	}
	return int(256 + class<<7 + h&127)
}

// An adaptive is a probability in 1/2^22 and a count (10 bits) that is learned
// quickly at first.
type adaptive = uint32

func (p *adaptiveMap) at(i int) int { return int((*p)[i] >> 16) }

type adaptiveMap []adaptive

// newAdaptiveMap returns n entries of probability one half.
func newAdaptiveMap(n int) adaptiveMap {
	m := make(adaptiveMap, n)
	for i := range m {
		m[i] = 1 << 31
	}
	return m
}

// newHistoryMap returns the map from history states to probabilities, from
// which an indirect context starts: each outcome counts, the later ones more.
func newHistoryMap() adaptiveMap {
	m := newAdaptiveMap(historyStates)
	for i := range m {
		h, base, run := i, 0, 0
		if i >= 256 {
			h, run = i&127|128, 4<<((i-256)>>7)
		}
		if h == 0 {
			continue
		}
		var ones, all int
		weight := 64
		for k := 0; h > 1; k++ {
			if h&1 != 0 {
				ones += weight
			}
			all += weight
			h >>= 1
			weight = max(weight*7/8, 20)
		}
		_ = base
		if run > 0 && (ones == 0 || ones == all) {
			all += run * 64
			if ones > 0 {
				ones = all
			}
		}
		p := uint64(ones+26) << 22 / uint64(all+52)
		m[i] = uint32(p)<<10 | 3
	}
	return m
}

// learn moves entry i towards the bit y.
func (p adaptiveMap) learn(i, y int, limit uint32) {
	e := p[i]
	q, n := int64(e>>10), e&1023
	q += (int64(y<<22-y) - q) * int64(reciprocal[n]) >> 16
	if n < limit {
		n++
	}
	p[i] = uint32(q)<<10 | n
}
