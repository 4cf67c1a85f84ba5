package densest

// coder is a binary arithmetic coder in 32 bits without carries, as of Mahoney,
// "Adaptive weighing of context models for lossless data compression" (2005).
// One type codes and decodes, so that the models are written once.
type coder struct {
	low, high uint32
	decoding  bool
	code      uint32
	in        []byte
	next      int
	out       []byte
	tally     func(bit, p int) // tests account for costs here
}

func newEncoder(dst []byte) *coder { return &coder{high: 1<<32 - 1, out: dst} }

func newDecoder(payload []byte) *coder {
	c := &coder{high: 1<<32 - 1, decoding: true, in: payload}
	for range 4 {
		c.code = c.code<<8 | uint32(c.read())
	}
	return c
}

// read returns the next byte; the end of the payload is followed by zeros.
func (c *coder) read() byte {
	var b byte
	if c.next < len(c.in) {
		b = c.in[c.next]
	}
	c.next++
	return b
}

// bit codes the bit y (in decoding it is ignored) under the probability p of a
// one, in (0,65536), and returns it.
func (c *coder) bit(y, p int) int {
	span := c.high - c.low
	middle := c.low + uint32(uint64(span)*uint64(p)>>probBits)
	if c.decoding {
		y = 0
		if c.code <= middle {
			y = 1
		}
	}
	if c.tally != nil {
		c.tally(y, p)
	}
	if y != 0 {
		c.high = middle
	} else {
		c.low = middle + 1
	}
	for (c.low^c.high)>>24 == 0 {
		if c.decoding {
			c.code = c.code<<8 | uint32(c.read())
		} else {
			c.out = append(c.out, byte(c.high>>24))
		}
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
	return y
}

// finish ends the encoding with as few bytes as tell the last interval from
// its neighbours, when zeros follow.
func (c *coder) finish() []byte {
	for keep := 1; ; keep++ {
		mask := uint32(1)<<(32-8*keep) - 1
		if v := (c.low + mask) &^ mask; keep == 4 || v >= c.low && v <= c.high {
			for i := range keep {
				c.out = append(c.out, byte(v>>(24-8*i)))
			}
			break
		}
	}
	return c.out
}
