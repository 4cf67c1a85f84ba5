package mixing

// Probability is an adaptive probability of a 1: its upper 22 bits are the
// probability, its lower 10 how often it was updated, which makes its first
// steps large (1/n) and its later ones small.
type Probability uint32

// NewProbability returns one that starts at p in 1/65536, as after n updates.
func NewProbability(p, n int) Probability { return Probability(p<<16 | n) }

// P returns the probability in 1/65536, in [1,65535].
func (a Probability) P() int { return max(int(a>>16), 1) }

// reciprocal holds 65536/(n+1.5), the step after n updates.
var reciprocal [1024]int32

func init() {
	for n := range reciprocal {
		reciprocal[n] = int32(65536 * 2 / (2*n + 3))
	}
}

// Update moves the probability towards the bit by 1/(n+1.5) of the way, where
// n, the number of updates so far, grows to the limit, in [1,1023]: a low
// limit follows a changing source, a high one measures a steady one.
func (a *Probability) Update(bit, limit int) {
	v := uint32(*a)
	n := v & 1023
	p := int64(v >> 10)
	p += ((int64(-bit)&(1<<22-1) - p) * int64(reciprocal[n])) >> 16
	v = uint32(p)<<10 | n
	if int(n) < limit {
		v++
	}
	*a = Probability(v)
}

// HistoryMap holds the probability of a 1 after each history.
type HistoryMap [256]Probability

// Reset starts each from the history's own counts.
func (m *HistoryMap) Reset() {
	for h := range m {
		zeros, ones := History(h).Counts()
		m[h] = NewProbability((2*ones+1)*65535/(2*(zeros+ones)+2), 0)
	}
}
