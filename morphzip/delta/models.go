package delta

import (
	"math/bits"

	"github.com/entroos/entroos/morphzip/mixing"
)

const (
	half = 1 << 15
	// steady and quick limit how long probabilities remember.
	steady, quick = 255, 30
)

// flags codes bits, each in one of some contexts.
type flags []mixing.Probability

func newFlags(contexts int) flags {
	f := make(flags, contexts)
	for i := range f {
		f[i] = mixing.NewProbability(half, 0)
	}
	return f
}

func (f flags) code(c *mixing.Coder, bit, context int) int {
	p := &f[context]
	bit = c.Code(bit, p.P())
	p.Update(bit, steady)
	return bit
}

// numbers codes numbers, each in one of some contexts: how many bits it has, the
// three below the highest, and the rest as they are.
type numbers struct {
	lengths flags // by context, a tree of seven levels
	leading flags // by context and length, a tree of three levels
}

func newNumbers(contexts int) numbers {
	return numbers{lengths: newFlags(contexts << 7), leading: newFlags(contexts << 10)}
}

func (n *numbers) code(c *mixing.Coder, x uint64, context int) uint64 {
	length, node := bits.Len64(x), 1
	for i := 6; i >= 0; i-- {
		node = node<<1 | n.lengths.code(c, length>>i&1, context<<7|node)
	}
	length = min(node&127, 64)
	if length <= 1 {
		return uint64(length)
	}
	left := length - 1
	y := uint64(1)
	node = 1
	for i := 0; i < 3 && left > 0; i++ {
		left--
		bit := n.leading.code(c, int(x>>left&1), context<<10|length<<3|node)
		node = node<<1 | bit
		y = y<<1 | uint64(bit)
	}
	for left > 0 {
		k := min(left, 16)
		left -= k
		y = y<<k | uint64(c.Bits(uint32(x>>left)&(1<<k-1), k))
	}
	return y
}

// symbols codes bytes by mixing the predictions of some contexts.
type symbols struct {
	contexts int
	table    []mixing.Probability // made when it is needed, as all that follows
	mixer    *mixing.Mixer
	refine   *mixing.APM
	index    []uint32
	hashes   []uint32
}

// symbolBits is how many probabilities the contexts of one symbols share.
const symbolBits = 16

func newSymbols(contexts int) *symbols { return &symbols{contexts: contexts} }

func (s *symbols) init() {
	s.table = newFlags(1 << symbolBits)
	s.mixer = mixing.NewMixer(256, 2*s.contexts+1, 16/s.contexts, 10)
	s.refine = mixing.NewAPM(256, 6)
	s.index = make([]uint32, s.contexts)
	s.hashes = make([]uint32, s.contexts)
}

// code codes a byte in contexts, each a number; there are as many as newSymbols
// was told.
func (s *symbols) code(c *mixing.Coder, b byte, contexts ...uint32) byte {
	if s.table == nil {
		s.init()
	}
	for i, context := range contexts {
		s.hashes[i] = mixing.Hash(context, uint32(i))
	}
	node := uint32(1)
	for i := 7; i >= 0; i-- {
		for j := range s.hashes {
			k := (s.hashes[j] ^ node*0x9E3779B1) >> (32 - symbolBits) & (1<<symbolBits - 1)
			s.index[j] = k
			p := s.table[k]
			logit := mixing.Stretch(p.P())
			s.mixer.Set(2*j, logit)
			// What was seen often is surer than what was seen once.
			seen := int(p & 1023)
			s.mixer.Set(2*j+1, logit*min(seen, 8)/8)
		}
		s.mixer.Set(2*len(s.hashes), 256)
		s.mixer.Select(int(node))
		logit := s.mixer.Mix()
		p := (3*mixing.Squash(logit) + s.refine.Refine(logit, int(node))) / 4
		bit := c.Code(int(b>>i&1), min(max(p, 1), 65535))
		s.mixer.Update(bit)
		s.refine.Update(bit)
		for _, k := range s.index {
			s.table[k].Update(bit, quick)
		}
		node = node<<1 | uint32(bit)
	}
	return byte(node)
}
