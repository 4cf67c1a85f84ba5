package densest

import "math/bits"

// numberModel codes integers of any magnitude: first the sign and the number
// of bits as one symbol, then the bits below the highest.
type numberModel struct {
	size, mantissa *predictor
}

const numberContexts = 9

func newNumberModel(t *table) *numberModel {
	return &numberModel{
		size:     newPredictor(t, shape{hashed: numberContexts, selectors: []int{1, 256, 8}, final: 1, apm: []int{256}, rate: defaultRates, bytewise: true}),
		mantissa: newPredictor(t, shape{hashed: 6, selectors: []int{1, 256, 64}, final: 1, apm: []int{1}, rate: defaultRates}),
	}
}

// code codes v under the contexts; the first of them is the column.
func (n *numberModel) code(c *coder, kind int, contexts *[numberContexts]uint64, v int64) (int64, int) {
	symbol := 0
	u := uint64(v)
	if v < 0 {
		u = -u
	}
	if v != 0 {
		symbol = bits.Len64(u)*2 - 1
		if v < 0 {
			symbol++
		}
	}
	p := n.size
	symbol = int(p.codeByte(c, contexts[:], byte(symbol), func(out, _ int) {
		p.sel[1], p.sel[2] = out&255, kind
		p.apmAt[0] = out & 255
	}))
	if symbol == 0 {
		return 0, 0
	}
	negative := symbol&1 == 0
	length := (symbol + 1) / 2
	if length > 63 {
		length = 63
	}
	value := uint64(1)
	m := n.mantissa
	for i := length - 2; i >= 0; i-- {
		done := length - 1 - i
		known := value
		if done > 12 {
			known = uint64(i)
		}
		m.context(0, mixHash(uint64(symbol), known)+1)
		m.context(1, mixHash(contexts[0], mixHash(uint64(symbol), known)))
		m.context(2, mixHash(contexts[1], mixHash(uint64(symbol), known)))
		m.context(3, mixHash(contexts[2], mixHash(uint64(symbol), known)))
		m.context(4, mixHash(uint64(symbol), uint64(i))+2)
		m.context(5, mixHash(contexts[3], mixHash(uint64(symbol), value)))
		m.sel[1], m.sel[2] = symbol, min(done, 63)
		value = value<<1 | uint64(m.code(c, int(u>>i&1)))
	}
	v = int64(value)
	if negative {
		v = -v
	}
	return v, symbol
}

// time codes a point of time: the first of a line against the line before's,
// others against the first.
func (m *lineModel) time(s *slot, f form, v span) error {
	l := &m.line
	var now moment
	if !m.c.decoding {
		now = f.read(m.buf[v.from:v.to])
	}
	*m.kind = 2
	k := len(l.times)
	st := m.timeState(k, f)
	scale := int64(1)
	digits := int(f.digits)
	if digits == 10 {
		digits = 3
	}
	for range digits {
		scale *= 10
	}
	var c [numberContexts]uint64
	base := mixHash(uint64(k)+1, uint64(f.layout)<<8|uint64(f.digits))
	c[0] = base
	c[1] = mixHash(base, uint64(l.id)+1)
	c[2] = mixHash(mixHash(base, uint64(l.id)+1), uint64(l.ids[0])+3)
	c[3] = mixHash(base, uint64(st.symbols&0xff)+1<<32)
	c[4] = mixHash(base, uint64(st.symbols&0xffff)+2<<32)
	c[5] = mixHash(mixHash(base, uint64(l.id)+1), uint64(st.symbols&0xff)+3<<32)
	c[6] = mixHash(mixHash(base, uint64(l.ids[0])+1), uint64(st.symbols&0xff)+4<<32)
	c[7] = mixHash(base, uint64(l.ids[0])+5<<32)
	// Others than the first may follow themselves better than the first.
	own := k == 0 || st.ownCost < st.rowCost
	if own {
		c[8] = mixHash(mixHash(base, uint64(l.id)), mixHash(uint64(l.ids[0]), uint64(l.ids[1])+6<<32))
		d := (now.seconds-st.last.seconds)*scale + now.fraction - st.last.fraction
		d, symbol := m.numbers.code(m.c, min(k, 1)*3, &c, d)
		st.symbols = st.symbols<<8 | uint64(symbol)
		if d > 1<<62 || d < -1<<62 {
			return ErrCorrupt
		}
		total := st.last.seconds*scale + st.last.fraction + d
		if total < 0 {
			return ErrCorrupt
		}
		if m.c.decoding {
			now = moment{total / scale, total % scale}
		}
	} else {
		first := l.times[0]
		whole := daysOnly(f)
		unit := int64(1)
		if whole {
			unit = 86400
		}
		reference := first.seconds / unit
		c[8] = mixHash(base, uint64(first.seconds/3600%24)+7<<32)
		d := now.seconds/unit - reference - st.offset
		d, symbol := m.numbers.code(m.c, 1, &c, d)
		st.symbols = st.symbols<<8 | uint64(symbol)
		if d > 1<<50 || d < -1<<50 {
			return ErrCorrupt
		}
		seconds := (reference + st.offset + d) * unit
		st.offset += d
		var fraction int64
		if digits > 0 {
			for i := range c {
				c[i] = mixHash(c[i], 99+uint64(min(symbol, 2)))
			}
			fraction, _ = m.numbers.code(m.c, 2, &c, now.fraction-first.fraction)
			fraction += first.fraction
		}
		if m.c.decoding {
			now = moment{seconds, fraction}
		}
	}
	if k > 0 && !daysOnly(f) {
		offset := now.seconds - l.times[0].seconds
		st.rowCost += cost(offset-st.rowOffset) - st.rowCost>>3
		st.ownCost += cost(now.seconds-st.last.seconds) - st.ownCost>>3
		st.rowOffset = offset
		st.offset = offset
	}
	st.last = now
	l.times = append(l.times, now)
	if k == 0 {
		l.symbols = st.symbols & 0xff
	}
	b, ok := f.appendTime(nil, now)
	if !ok || len(b) > m.room() {
		return ErrCorrupt
	}
	for _, x := range b {
		m.emit(x)
	}
	return nil
}

// cost is about how many bits a difference takes.
func cost(d int64) int {
	if d < 0 {
		d = -d
	}
	return bits.Len64(uint64(d)) * 16
}

func daysOnly(f form) bool {
	l := layouts[f.layout]
	return l == "Y-M-D" || l == "Y.M.D" || l == "Y/M/D"
}

// timeState is what is known of the k-th points of time in lines.
type timeState struct {
	last    moment
	offset  int64
	symbols uint64
	// What it would cost to follow the first of the line, or its own last.
	rowCost, ownCost int
	rowOffset        int64
}

func (m *lineModel) timeState(k int, f form) *timeState {
	key := k<<16 | int(f.layout)<<8 | int(f.digits)
	if m.times == nil {
		m.times = map[int]*timeState{}
	}
	st := m.times[key]
	if st == nil {
		st = &timeState{}
		m.times[key] = st
	}
	return st
}
