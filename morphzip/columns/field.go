package columns

import "github.com/entroos/entroos/equations"

// field is a part of a record, as its byte in the morphed block says.
type field byte

const (
	sizeBits  field = 3
	bigEndian field = 1 << 2
	fieldBits field = 31
	codeShift       = 3
)

// code is what stands for a field's values.
type code byte

const (
	plain code = iota
	firstDifferences
	secondDifferences
	exclusiveOr

	codes
)

func (f field) size() int { return 1 << (f & sizeBits) }

func (f field) code() code { return code(f >> codeShift) }

// load is the number in the field's bytes.
func (f field) load(b []byte) uint64 {
	var x uint64
	if f&bigEndian != 0 {
		for _, c := range b[:f.size()] {
			x = x<<8 | uint64(c)
		}
		return x
	}
	for i := f.size() - 1; i >= 0; i-- {
		x = x<<8 | uint64(b[i])
	}
	return x
}

func (f field) store(b []byte, x uint64) {
	size := f.size()
	for i := range size {
		if f&bigEndian != 0 {
			b[size-1-i] = byte(x)
		} else {
			b[i] = byte(x)
		}
		x >>= 8
	}
}

// coder turns the values of a field into what stands for them, and back.
type coder struct {
	code           code
	unused         uint // bits of a uint64 that the field does not have
	last, lastStep uint64
}

func (f field) coder() coder { return coder{code: f.code(), unused: uint(64 - 8*f.size())} }

// narrow is x, of which the field's bits count, as a number with a sign.
func (c *coder) narrow(x uint64) int64 { return int64(x<<c.unused) >> c.unused }

// encode gives what stands for the next value; its bits above the field's are 0.
func (c *coder) encode(x uint64) uint64 {
	switch c.code {
	case firstDifferences:
		d := x - c.last
		c.last = x
		return equations.Zigzag(c.narrow(d))
	case secondDifferences:
		step := x - c.last
		d := step - c.lastStep
		c.last, c.lastStep = x, step
		return equations.Zigzag(c.narrow(d))
	case exclusiveOr:
		d := x ^ c.last
		c.last = x
		return d
	}
	return x
}

// decode inverts encode; the bits above the field's are to be ignored.
func (c *coder) decode(z uint64) uint64 {
	switch c.code {
	case firstDifferences:
		c.last += uint64(equations.Unzigzag(z))
	case secondDifferences:
		c.lastStep += uint64(equations.Unzigzag(z))
		c.last += c.lastStep
	case exclusiveOr:
		c.last ^= z
	default:
		return z
	}
	return c.last
}

// split puts the field's codes of all records into planes, most significant byte
// first. The field stands at the begin of records and every width bytes.
func (f field) split(planes, records []byte, width, n int) {
	size := f.size()
	if size == 1 && f.code() == plain {
		for i := range n {
			planes[i] = records[i*width]
		}
		return
	}
	c := f.coder()
	for i := range n {
		z := c.encode(f.load(records[i*width:]))
		for p := size - 1; p >= 0; p-- {
			planes[p*n+i] = byte(z)
			z >>= 8
		}
	}
}

// join inverts split.
func (f field) join(records, planes []byte, width, n int) {
	size := f.size()
	if size == 1 && f.code() == plain {
		for i := range n {
			records[i*width] = planes[i]
		}
		return
	}
	c := f.coder()
	for i := range n {
		var z uint64
		for p := range size {
			z = z<<8 | uint64(planes[p*n+i])
		}
		f.store(records[i*width:], c.decode(z))
	}
}
