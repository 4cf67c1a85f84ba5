package densest

// plainModel codes any bytes by contexts of the bytes before: orders 1 to 8,
// words, sparse contexts, records of a length it finds, columns of lines,
// machine code, and matches.
type plainModel struct {
	bytes   *predictor
	apmMask uint64
	match   [2]matcher
	buf     []byte
	pos     int

	words  [3]uint64 // hashes of this word and the ones before
	text   uint64    // of the letters alone
	line   int       // where this line began
	above  int       // and the one before
	record recordFinder
	opcode uint64
}

const plainContexts = 29

func newPlainModel(buf []byte, size int) *plainModel {
	bitsOf := 10
	for bitsOf < 22 && 1<<bitsOf < size*3 {
		bitsOf++
	}
	apmBits := min(bitsOf, 16)
	r := defaultRates
	r.first, r.last = 120, 10
	m := &plainModel{buf: buf, apmMask: 1<<apmBits - 1}
	m.record.length = 4
	m.bytes = newPredictor(newTable(bitsOf), shape{
		hashed: plainContexts, direct: []int{64, 64},
		selectors: []int{1, 256, 2048, 256 * 3, 256, 1024}, final: 256, apm: []int{1 << apmBits, 1 << apmBits, 64}, rate: r, bytewise: true,
	})
	m.match[0].init(min(bitsOf, 22), 5)
	m.match[1].init(min(bitsOf, 22), 12)
	return m
}

// at returns the i-th byte before.
func (m *plainModel) at(i int) uint64 {
	if i > m.pos {
		return 0
	}
	return uint64(m.buf[m.pos-i])
}

func (m *plainModel) contexts() (ctx [plainContexts]uint64) {
	n := 0
	add := func(h uint64) {
		ctx[n] = mixHash(h, uint64(n)<<32+1)
		n++
	}
	var c [9]uint64
	for i := 1; i <= 8; i++ {
		c[i] = m.at(i)
	}
	add(0)
	h := uint64(0)
	for i := 1; i <= 8; i++ {
		h = mixHash(h, c[i]+1)
		if i != 7 {
			add(h)
		}
	}
	add(mixHash(m.words[0], c[1]))
	add(mixHash(m.words[0], m.words[1]))
	add(mixHash(mixHash(m.words[0], m.words[1]), m.words[2]))
	add(mixHash(m.words[0], m.words[2]))
	add(mixHash(m.text, c[1]))
	add(c[2] | 1<<40)
	add(c[3] | c[2]<<8)
	add(c[1] | c[3]<<8)
	add(c[4] | c[3]<<8 | c[2]<<16)
	add(c[1] | c[4]<<8)
	add(c[4] | c[8]<<8 | uint64(m.pos&3)<<16)
	// Columns and records.
	column := uint64(min(m.pos-m.line, 255))
	above := uint64(0)
	if a := m.above + m.pos - m.line; a < m.line {
		above = uint64(m.buf[a])
	}
	add(above | column<<8)
	add(above | c[1]<<8 | c[2]<<16)
	r := m.record.length
	up := m.at(r)
	add(up | uint64(r)<<8)
	add(up | uint64(r)<<8 | c[1]<<32)
	add(up | m.at(r*2)<<8 | uint64(r)<<16)
	add(uint64(r) | uint64(m.pos%r)<<24 | c[1]<<50)
	// Machine code.
	add(m.opcode)
	add(mixHash(m.opcode, c[1]|c[2]<<8))
	add(c[1]&0xf8 | c[2]<<8 | c[3]&0xf8<<16 | c[4]&0xf0<<24)
	return ctx
}

func (m *plainModel) code(c *coder, b byte) byte {
	ctx := m.contexts()
	buf := m.buf[:m.pos]
	var expect, length [2]int
	for i := range m.match {
		x, n := m.match[i].expected(buf)
		expect[i], length[i] = int(x), n
	}
	p := m.bytes
	c1, c2 := int(m.at(1)), int(m.at(2))
	b = p.codeByte(c, ctx[:], b, func(out, shift int) {
		state := 0
		for i := range m.match {
			p.directAt[i] = -1
			if length[i] > 0 && (expect[i]|256)>>(shift+1) == out {
				p.directAt[i] = length[i]*2 + expect[i]>>shift&1
				state = p.directAt[i] + 32*i
			}
		}
		p.sel[1] = out
		p.sel[2] = (7-shift)<<8 | c1
		p.sel[3] = int(charClass(byte(c1)))*16 + int(charClass(byte(c2)))
		p.sel[4] = state<<2 | (7-shift)>>2
		p.sel[5] = min(m.record.length, 127)<<3 | m.pos&7
		p.finalSel = out
		p.apmAt[0] = int((uint64(c1)*0x9E3779B1>>8 ^ uint64(out)) & m.apmMask)
		p.apmAt[1] = int((mixHash(uint64(c1), uint64(c2))>>16 ^ uint64(out)) & m.apmMask)
		p.apmAt[2] = state
	})
	if c.decoding {
		m.buf = append(m.buf, b)
	}
	m.pos++
	m.update(b)
	return b
}

// update takes note of the block's last byte.
func (m *plainModel) update(b byte) {
	for i := range m.match {
		m.match[i].update(m.buf[:m.pos])
	}
	switch {
	case isWord(b) || b == '_':
		m.words[0] = mixHash(m.words[0], uint64(b))
		if !isDigit(b) {
			m.text = mixHash(m.text, uint64(b|32))
		}
	case m.words[0] != 0:
		m.words[2], m.words[1], m.words[0] = m.words[1], m.words[0], 0
	}
	if b == '\n' {
		m.above, m.line, m.text = m.line, m.pos, 0
	} else if b == '.' {
		m.text = 0
	}
	m.record.update(b, m.pos)
	// An instruction's first bytes: prefixes, opcode, and ModR/M's fields.
	m.opcode = uint64(b)&0xc7 | m.opcode<<8&0xffff00
}

// recordFinder finds the length of records from bytes that come back at the
// same distance.
type recordFinder struct {
	last   [256]int
	gap    [256]int
	votes  [1024]int
	length int
	ticks  int
}

func (r *recordFinder) update(b byte, pos int) {
	d := pos - r.last[b]
	r.last[b] = pos
	if d == r.gap[b] && d > 1 && d < 1024 {
		r.votes[d]++
	}
	r.gap[b] = d
	r.ticks++
	if r.ticks < 2048 {
		return
	}
	r.ticks = 0
	best, most := r.length, 40
	for d := 2; d < 1024; d++ {
		if v := r.votes[d]; v > most {
			best, most = d, v
		}
		r.votes[d] /= 4
	}
	r.length = best
}
