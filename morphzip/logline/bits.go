package logline

import "encoding/binary"

// bitWriter packs bits, the lowest first.
type bitWriter struct {
	bytes []byte
	word  uint64
	n     uint // bits in word, below 8 after each put
}

// put appends the low n bits of v, 0 to 64; the others must be 0.
func (w *bitWriter) put(v uint64, n uint) {
	if n > 32 {
		w.put(v&0xffffffff, 32)
		v, n = v>>32, n-32
	}
	w.word |= v << w.n
	w.n += n
	for w.n >= 8 {
		w.bytes = append(w.bytes, byte(w.word))
		w.word >>= 8
		w.n -= 8
	}
}

// flush ends the last byte and returns all.
func (w *bitWriter) flush() []byte {
	if w.n > 0 {
		w.bytes = append(w.bytes, byte(w.word))
	}
	b := w.bytes
	*w = bitWriter{}
	return b
}

// bitReader reads what bitWriter wrote; past the end it reads zeros.
type bitReader struct {
	bytes []byte
	at    uint64 // in bits
}

// get returns the next n bits, 0 to 64.
func (r *bitReader) get(n uint) uint64 {
	if n > 56 {
		low := r.get(32)
		return low | r.get(n-32)<<32
	}
	i := r.at >> 3
	shift := r.at & 7
	r.at += uint64(n)
	if i+8 <= uint64(len(r.bytes)) {
		return binary.LittleEndian.Uint64(r.bytes[i:]) >> shift & (1<<n - 1)
	}
	var word uint64
	for k := uint64(0); k < 8 && i+k < uint64(len(r.bytes)); k++ {
		word |= uint64(r.bytes[i+k]) << (8 * k)
	}
	return word >> shift & (1<<n - 1)
}

// over tells whether more was read than there was.
func (r *bitReader) over() bool { return r.at > uint64(len(r.bytes))*8 }
