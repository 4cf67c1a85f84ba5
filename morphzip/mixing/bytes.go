package mixing

import "math/bits"

// bytesModel is the coder of any bytes: contexts of the last one to six bytes,
// of the word so far, and a match.
type bytesModel struct {
	model  *Model
	match  *Match
	word   uint32 // hash of the letters since the last other byte
	before uint32 // the hash of the word before
	effort int
}

// newBytesModel returns the coder for a block of so many bytes.
func newBytesModel(effort, size int) *bytesModel {
	b := &bytesModel{effort: effort}
	// A small block needs little memory.
	small := bits.Len(uint(size))
	if effort <= LeastEffort {
		b.model = NewByteModel(NewSlots(min(23, max(small+5, 12))), 8, min(14, max(small-6, 6)))
		b.match = NewMatch(min(18, max(small, 8)), 6)
	} else {
		b.model = NewByteModel(NewSlots(min(25, max(small+6, 12))), 13, min(15, max(small-5, 6)))
		b.match = NewMatch(min(20, max(small, 8)), 7)
	}
	return b
}

// code codes or decodes size bytes, which it appends to done.
func (b *bytesModel) code(c *Coder, done, block []byte, size int) []byte {
	start := len(done)
	var last uint64
	m := b.model
	for i := range size {
		h := uint32(last)
		m.Hash[0] = Hash(1, h&0xff)
		m.Hash[1] = Hash(2, h&0xffff)
		m.Hash[2] = Hash(3, h&0xffffff)
		m.Hash[3] = Hash(4, h)
		m.Hash[4] = Hash(h+6, uint32(last>>32)&0xffff)
		m.Hash[5] = Hash(b.word+5, h&0xff)
		m.Hash[6] = Hash(7, h&0xffff00)
		m.Hash[7] = Hash(8, h&0xf8f8f8f8)
		if b.effort > LeastEffort {
			m.Hash[8] = Hash(9, h&0xffff00ff)
			m.Hash[9] = Hash(10, uint32(i&3)<<8|h>>24)
			m.Hash[10] = Hash(h+7, uint32(last>>32)&0xff)
			m.Hash[11] = Hash(h+8, uint32(last>>32)&0xffffff)
			m.Hash[12] = Hash(b.word+9, b.before)
		}
		want, length := b.match.Find(done[start:])
		m.Expect(0, int(want), min(length, 15)+min(length>>4, 48))
		m.Refine = h & 0xff
		var symbol byte
		if i < len(block) {
			symbol = block[i]
		}
		symbol = m.Byte(c, symbol)
		done = append(done, symbol)
		last = last<<8 | uint64(symbol)
		if symbol|32 >= 'a' && symbol|32 <= 'z' || symbol >= 128 {
			b.word = Hash(b.word, uint32(symbol|32))
		} else if b.word != 0 {
			b.before, b.word = b.word, 0
		}
	}
	return done
}
