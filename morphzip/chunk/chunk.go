// Package chunk cuts streams of bytes into chunks whose boundaries depend on the
// content around them alone, so that equal stretches of two streams make equal
// chunks wherever they lie.
package chunk

import (
	"errors"
	"fmt"
	"io"

	"github.com/entroos/entroos/equations"
)

const (
	// window is how many bytes the rolling hash depends on: each is shifted out
	// of it after as many steps as it has bits.
	window = 64
	// MaximumSize is the largest maximum size of chunks, in bytes.
	MaximumSize = 64 << 20
)

// ErrParameters tells of sizes that make no chunks.
var ErrParameters = errors.New("chunk: a minimum from 64 bytes on, a maximum above it and up to 64 MiB, and a k from 1 to 40 are wanted")

// Parameters are the sizes of chunks. Two streams share chunks only if they are
// cut with the same.
type Parameters struct {
	// Minimum and Maximum are the least and the largest size, in bytes. Only a
	// stream's last chunk may be smaller.
	Minimum, Maximum int
	// K says how often a chunk ends: after each byte from the minimum on with
	// the probability 2^−K.
	K int
}

// Mean is the mean size in bytes of the chunks of random bytes (equation 60).
func (p Parameters) Mean() float64 {
	return equations.ChunkSize(uint64(max(p.Minimum, 0)), uint64(max(p.Maximum, 0)), p.K)
}

func (p Parameters) check() error {
	if p.Minimum < window || p.Maximum <= p.Minimum || p.Maximum > MaximumSize || p.K < 1 || p.K > 40 {
		return fmt.Errorf("%w; not %d, %d and %d", ErrParameters, p.Minimum, p.Maximum, p.K)
	}
	return nil
}

// Chunker cuts one stream. It holds at most two chunks of the maximum size.
type Chunker struct {
	source     io.Reader
	parameters Parameters
	buffer     []byte
	start, end int   // what is read and not yet given
	err        error // the source's, once there is one
}

// New returns a chunker of what r gives: chunks of at least minimum and at most
// maximum bytes, each of which ends after a byte with the probability 2^−k.
func New(r io.Reader, minimum, k, maximum int) (*Chunker, error) {
	p := Parameters{Minimum: minimum, Maximum: maximum, K: k}
	if err := p.check(); err != nil {
		return nil, err
	}
	// A chunk is moved to the front only when it would not fit: with room for
	// more than one, most are not.
	room := min(2*maximum, maximum+max(4<<10, 4*int(p.Mean())))
	return &Chunker{source: r, parameters: p, buffer: make([]byte, room)}, nil
}

// Next returns the next chunk, which is valid until the next call, or io.EOF
// after the last. Any other error is the source's; what was read before it is
// given first.
func (c *Chunker) Next() ([]byte, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	chunk := c.buffer[c.start:c.end]
	size := c.parameters.cut(chunk)
	c.start += size
	return chunk[:size:size], nil
}

// fill reads until a chunk of the maximum size is there, or the source's end.
func (c *Chunker) fill() error {
	wanted := c.parameters.Maximum
	if c.err == nil && c.end-c.start < wanted && c.start+wanted > len(c.buffer) {
		c.end = copy(c.buffer, c.buffer[c.start:c.end])
		c.start = 0
	}
	idle := 0
	for c.err == nil && c.end-c.start < wanted {
		n, err := c.source.Read(c.buffer[c.end:])
		c.end += n
		c.err = err
		if idle++; n > 0 {
			idle = 0
		}
		if err == nil && idle == 100 {
			c.err = io.ErrNoProgress
		}
	}
	if c.start == c.end {
		return c.err
	}
	return nil
}

// cut is the size of the chunk that data begins with; data is as long as the
// largest chunk, unless the stream ends with it.
func (p Parameters) cut(data []byte) int {
	if len(data) <= p.Minimum {
		return len(data)
	}
	data = data[:min(len(data), p.Maximum)]
	shift := 64 - p.K
	var hash uint64
	// A byte has left the hash after 64 more: those before need no look.
	for _, b := range data[p.Minimum-window : p.Minimum-1] {
		hash = hash<<1 + gear[b]
	}
	for i, b := range data[p.Minimum-1:] {
		hash = hash<<1 + gear[b]
		if hash>>shift == 0 {
			return p.Minimum + i
		}
	}
	return len(data)
}

// gear is the hash's table (Xia and others, FastCDC, 2016): a random number for
// each byte. It is part of what makes chunks equal, and never changes.
var gear = func() (table [256]uint64) {
	// SplitMix64 from the state 0 (Steele, Lea and Flood 2014).
	var state uint64
	for i := range table {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		table[i] = z ^ z>>31
	}
	return table
}()
