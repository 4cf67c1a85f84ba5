package equations

import "encoding/binary"

// A Histogram counts the bytes of a stream: element b is how often the byte b
// occurred. The zero value is an empty stream. It is not safe for concurrent
// use; streams counted apart are brought together with Merge.
type Histogram [256]uint64

const (
	// Below so many bytes the tables' zeroing costs more than they gain.
	histogramSmall = 1 << 10
	// At most so many bytes are counted into the 32-bit tables at a time.
	histogramSpan = 1 << 30
)

// Add counts the bytes of p. It allocates nothing.
//
// Four tables take turns, so that a run of one byte value does not make each
// increment wait for the store of the last.
func (h *Histogram) Add(p []byte) {
	if len(p) < histogramSmall {
		for _, b := range p {
			h[b]++
		}
		return
	}
	for len(p) > histogramSpan {
		h.add(p[:histogramSpan])
		p = p[histogramSpan:]
	}
	h.add(p)
}

func (h *Histogram) add(p []byte) {
	var t [4][256]uint32
	for len(p) >= 8 {
		w := binary.LittleEndian.Uint64(p)
		p = p[8:]
		t[0][byte(w)]++
		t[1][byte(w>>8)]++
		t[2][byte(w>>16)]++
		t[3][byte(w>>24)]++
		t[0][byte(w>>32)]++
		t[1][byte(w>>40)]++
		t[2][byte(w>>48)]++
		t[3][byte(w>>56)]++
	}
	for _, b := range p {
		t[0][b]++
	}
	for i := range h {
		var n uint64
		for j := range t {
			n += uint64(t[j][i])
		}
		h[i] += n
	}
}

// Merge adds the counts of another stream.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Total is the number of bytes counted.
func (h *Histogram) Total() uint64 {
	var n uint64
	for _, c := range h {
		n += c
	}
	return n
}
