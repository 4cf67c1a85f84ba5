package logline

// Flags are coded by an adaptive binary range coder (Martin 1979; without
// carries), each in a context. The probability is the mean of two that adapt at
// different rates.

const flagContexts = 256

// flagModel holds the probabilities of a 1, of 65536.
type flagModel struct {
	fast, slow [flagContexts]uint16
}

func (m *flagModel) begin() {
	for i := range m.fast {
		m.fast[i], m.slow[i] = 1<<15, 1<<15
	}
}

// probability is of a 1, from 32 to 65504 of 65536.
func (m *flagModel) probability(context uint8) uint32 {
	p := (uint32(m.fast[context]) + uint32(m.slow[context])) >> 1
	return min(max(p, 32), 65504)
}

func (m *flagModel) update(context uint8, bit bool) {
	f, s := &m.fast[context], &m.slow[context]
	if bit {
		*f += (65535 - *f) >> 4
		*s += (65535 - *s) >> 7
	} else {
		*f -= *f >> 4
		*s -= *s >> 7
	}
}

// flagWriter codes flags.
type flagWriter struct {
	flagModel
	bytes     []byte
	low, high uint32
}

func newFlagWriter(to []byte) *flagWriter {
	w := &flagWriter{bytes: to, high: ^uint32(0)}
	w.begin()
	return w
}

func (w *flagWriter) put(context int, bit bool) {
	c := uint8(context)
	mid := w.low + uint32(uint64(w.high-w.low)*uint64(w.probability(c))>>16)
	if bit {
		w.high = mid
	} else {
		w.low = mid + 1
	}
	w.update(c, bit)
	for (w.low^w.high)>>24 == 0 {
		w.bytes = append(w.bytes, byte(w.high>>24))
		w.low, w.high = w.low<<8, w.high<<8|255
	}
}

// flush ends with as few bytes as tell a number from low to high; zeros follow.
func (w *flagWriter) flush() []byte {
	for n := uint(0); n <= 4; n++ {
		v := w.high
		if n < 4 {
			v = w.high &^ (1<<(32-8*n) - 1)
		}
		if v >= w.low {
			for i := range n {
				w.bytes = append(w.bytes, byte(v>>(24-8*i)))
			}
			break
		}
	}
	return w.bytes
}

// appendFlags codes flags, each in the context of the eight before it.
func appendFlags(dst []byte, flags []bool) []byte {
	w := newFlagWriter(dst)
	history := 0
	for _, bit := range flags {
		w.put(history, bit)
		history = history << 1 & 255
		if bit {
			history |= 1
		}
	}
	return w.flush()
}

// flagReader reads flags; past the end of its bytes it reads zeros.
type flagReader struct {
	flagModel
	bytes          []byte
	at             int
	low, high, now uint32
}

func newFlagReader(b []byte) *flagReader {
	r := &flagReader{bytes: b, high: ^uint32(0)}
	r.begin()
	for range 4 {
		r.now = r.now<<8 | uint32(r.next())
	}
	return r
}

func (r *flagReader) next() byte {
	r.at++
	if r.at > len(r.bytes) {
		return 0
	}
	return r.bytes[r.at-1]
}

// over tells whether the bytes ended well before the flags did.
func (r *flagReader) over() bool { return r.at > len(r.bytes)+4 }

func (r *flagReader) get(context int) bool {
	c := uint8(context)
	mid := r.low + uint32(uint64(r.high-r.low)*uint64(r.probability(c))>>16)
	bit := r.now <= mid
	if bit {
		r.high = mid
	} else {
		r.low = mid + 1
	}
	r.update(c, bit)
	for (r.low^r.high)>>24 == 0 {
		r.low, r.high = r.low<<8, r.high<<8|255
		r.now = r.now<<8 | uint32(r.next())
	}
	return bit
}

// flagHistory reads flags that appendFlags wrote.
type flagHistory struct {
	flagReader
	history int
}

func newFlagHistory(b []byte) *flagHistory { return &flagHistory{flagReader: *newFlagReader(b)} }

func (r *flagHistory) get() bool {
	bit := r.flagReader.get(r.history)
	r.history = r.history << 1 & 255
	if bit {
		r.history |= 1
	}
	return bit
}
