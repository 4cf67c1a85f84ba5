package mixing

import "errors"

// ErrCorrupt says that coded bytes end before what they should hold.
var ErrCorrupt = errors.New("mixing: the coded bytes are damaged")

// Coder is a binary arithmetic coder or decoder: a carryless one, which keeps
// the interval that the bits so far have led to, 64 bits wide, and moves out
// its leading bytes as soon as they are known (Mahoney 2005; Rissanen 1976).
// It takes no more than 2 bytes above the bits' information.
type Coder struct {
	low, high uint64
	code      uint64 // the decoder's next 64 bits
	bytes     []byte // coded so far, or all that there is to decode
	next      int    // the decoder's place in bytes
	decoding  bool
}

// NewEncoder returns a coder that appends to dst.
func NewEncoder(dst []byte) *Coder { return &Coder{high: ^uint64(0), bytes: dst} }

// NewDecoder returns a decoder of what an encoder appended.
func NewDecoder(coded []byte) *Coder {
	c := &Coder{high: ^uint64(0), bytes: coded, decoding: true}
	for range 8 {
		c.code = c.code<<8 | c.take()
	}
	return c
}

// Decoding tells a decoder from an encoder.
func (c *Coder) Decoding() bool { return c.decoding }

// take returns the next coded byte: zeros follow the end.
func (c *Coder) take() uint64 {
	i := c.next
	c.next++
	if i < len(c.bytes) {
		return uint64(c.bytes[i])
	}
	return 0
}

// Code codes the bit, 0 or 1, where p is the probability of a 1 in 1/65536, in
// [1,65535]; a decoder ignores the bit and returns the coded one.
func (c *Coder) Code(bit, p int) int {
	middle := c.low + (c.high-c.low)>>16*uint64(p)
	if c.decoding {
		bit = 0
		if c.code <= middle {
			bit = 1
		}
	}
	if bit != 0 {
		c.high = middle
	} else {
		c.low = middle + 1
	}
	if (c.low^c.high)>>56 == 0 {
		c.shift()
	}
	return bit
}

// shift moves the leading bytes out that low and high have in common.
func (c *Coder) shift() {
	for (c.low^c.high)>>56 == 0 {
		if c.decoding {
			c.code = c.code<<8 | c.take()
		} else {
			c.bytes = append(c.bytes, byte(c.low>>56))
		}
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
}

// Bits codes the lowest n bits of x, n ≤ 32, at a probability of one half each.
func (c *Coder) Bits(x uint32, n int) uint32 {
	var y uint32
	for i := n - 1; i >= 0; i-- {
		y = y<<1 | uint32(c.Code(int(x>>i&1), 1<<15))
	}
	return y
}

// Finish ends coding, and returns the bytes: the shortest that name a number in
// the interval, when zeros follow them.
func (c *Coder) Finish() []byte {
	for n := 0; n <= 8; n++ {
		rest := ^uint64(0) >> (8 * n) // n is 0: the whole number
		if n == 8 {
			rest = 0
		}
		x := c.high &^ rest
		if x >= c.low {
			for i := range n {
				c.bytes = append(c.bytes, byte(x>>(56-8*i)))
			}
			break
		}
	}
	c.low, c.high = 0, ^uint64(0)
	return c.bytes
}

// Err is ErrCorrupt where a decoder has read further beyond the end than an
// encoder's output can make it, sooner or later: a decoder bounds its work and
// memory by what it was told of the output, not by this.
func (c *Coder) Err() error {
	if c.decoding && c.next > len(c.bytes)+8 {
		return ErrCorrupt
	}
	return nil
}

// Len returns how many bytes there are: coded so far, or to decode in all.
func (c *Coder) Len() int { return len(c.bytes) }
