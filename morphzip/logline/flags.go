package logline

// Flags are coded by an adaptive binary range coder (Martin 1979; without
// carries as Subbotin's), each in the context of the eight before it. The
// probability is the mean of two that adapt at different rates.

const flagContexts = 256

// flagModel holds the probabilities of a 1, of 65536.
type flagModel struct {
	fast, slow [flagContexts]uint16
	history    uint8
}

func newFlagModel() *flagModel {
	m := new(flagModel)
	for i := range m.fast {
		m.fast[i], m.slow[i] = 1<<15, 1<<15
	}
	return m
}

// probability is of a 1, from 32 to 65504 of 65536.
func (m *flagModel) probability() uint32 {
	p := (uint32(m.fast[m.history]) + uint32(m.slow[m.history])) >> 1
	return min(max(p, 32), 65504)
}

func (m *flagModel) update(bit bool) {
	f, s := &m.fast[m.history], &m.slow[m.history]
	if bit {
		*f += (65535 - *f) >> 4
		*s += (65535 - *s) >> 7
		m.history = m.history<<1 | 1
	} else {
		*f -= *f >> 4
		*s -= *s >> 7
		m.history <<= 1
	}
}

// appendFlags codes flags.
func appendFlags(dst []byte, flags []bool) []byte {
	m := newFlagModel()
	low, high := uint32(0), ^uint32(0)
	for _, bit := range flags {
		mid := low + uint32(uint64(high-low)*uint64(m.probability())>>16)
		if bit {
			high = mid
		} else {
			low = mid + 1
		}
		m.update(bit)
		for (low^high)>>24 == 0 {
			dst = append(dst, byte(high>>24))
			low, high = low<<8, high<<8|255
		}
	}
	// As few bytes as tell a number from low to high; zeros follow.
	for n := uint(1); n <= 4; n++ {
		v := high &^ (1<<(32-8*n) - 1)
		if v >= low || n == 4 {
			for i := uint(0); i < n; i++ {
				dst = append(dst, byte(v>>(24-8*i)))
			}
			break
		}
	}
	return dst
}

// flagReader reads flags; past the end of its bytes it reads zeros.
type flagReader struct {
	flagModel
	bytes          []byte
	at             int
	low, high, now uint32
}

func newFlagReader(b []byte) *flagReader {
	r := &flagReader{flagModel: *newFlagModel(), bytes: b, high: ^uint32(0)}
	for range 4 {
		r.now = r.now<<8 | uint32(r.next())
	}
	return r
}

func (r *flagReader) next() byte {
	if r.at >= len(r.bytes) {
		r.at++
		return 0
	}
	r.at++
	return r.bytes[r.at-1]
}

// over tells whether the bytes ended well before the flags did.
func (r *flagReader) over() bool { return r.at > len(r.bytes)+4 }

func (r *flagReader) get() bool {
	mid := r.low + uint32(uint64(r.high-r.low)*uint64(r.probability())>>16)
	bit := r.now <= mid
	if bit {
		r.high = mid
	} else {
		r.low = mid + 1
	}
	r.update(bit)
	for (r.low^r.high)>>24 == 0 {
		r.low, r.high = r.low<<8, r.high<<8|255
		r.now = r.now<<8 | uint32(r.next())
	}
	return bit
}
