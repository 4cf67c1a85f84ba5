package mixing

// Slot holds the histories of one context over the next four bits: at 0 a check
// byte of the context's hash, at 1…15 the history at each node of the binary
// tree of the four bits, where node 1 is its root and 2n+bit follows n.
type Slot [16]History

// Slots is a hash table of slots in lines of four (64 bytes, one of the
// processor's cache lines). It forgets contexts that were seen seldom when it
// is full.
type Slots struct {
	lines [][4]Slot
	shift uint
}

// NewSlots returns a table of 2^bits bytes, with bits in [6,30].
func NewSlots(bits int) *Slots {
	return &Slots{lines: make([][4]Slot, 1<<(bits-6)), shift: uint(32 - (bits - 6))}
}

// Reset forgets everything.
func (s *Slots) Reset() { clear(s.lines) }

// Find returns the slot of a context by its hash, whose bits must all be well
// mixed ([Hash]): the one it has, or an empty one in place of the one
// of its line that has seen least.
func (s *Slots) Find(hash uint32) *Slot {
	line := &s.lines[uint64(hash)>>s.shift]
	check := History(hash)
	// A few bits of the hash choose where in the line to look first.
	i := uint(hash>>8) & 3
	if line[i][0] == check {
		return &line[i]
	}
	least := i
	for k := uint(1); k < 4; k++ {
		j := i ^ k
		if line[j][0] == check {
			return &line[j]
		}
		if line[j][1] < line[least][1] {
			least = j
		}
	}
	slot := &line[least]
	*slot = Slot{check}
	return slot
}

// Hash returns a hash of two numbers, of which all bits are well mixed
// (multiplicative hashing: Knuth, The Art of Computer Programming, 6.4).
func Hash(a, b uint32) uint32 {
	x := uint64(a)*0x9E3779B97F4A7C15 ^ uint64(b)*0xC2B2AE3D27D4EB4F
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	return uint32(x >> 32)
}
