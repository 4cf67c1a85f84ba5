package densest

// textModel codes the bytes of lines whose template is new, by orders 1 to 6,
// words and parts of words, and what followed earlier likenesses.
type textModel struct {
	bytes *predictor
	marks *predictor
}

const textContexts = 21

func newTextModel(t *table) *textModel {
	return &textModel{
		bytes: newPredictor(t, shape{
			hashed: textContexts, direct: []int{64, 64}, selectors: []int{1, 256, 16, 256, 32 * 4},
			final: 1, apm: []int{4096, 32, 64}, rate: defaultRates, bytewise: true,
		}),
		marks: newPredictor(t, shape{hashed: 3, selectors: []int{1}, final: 1, apm: []int{1}, rate: defaultRates}),
	}
}

// expectAt is the symbol that stood at i: a mark where a slot began.
func (m *lineModel) expectAt(i int) int {
	if m.starts[i>>6]>>(i&63)&1 != 0 {
		return 0
	}
	return int(m.buf[i])
}

func (t *textModel) code(m *lineModel, b byte, slots int) byte {
	buf := m.buf[:m.pos]
	var ctx [textContexts]uint64
	h := uint64(1000)
	for i := 1; i <= 7; i++ {
		ctx[i-1] = h
		h = mixHash(h, uint64(m.back(i))+uint64(i)<<8)
	}
	// This word and the two before, and the part of it since the last capital.
	var words [3]uint64
	part, partBefore := uint64(0), uint64(0)
	partDone := 0
	i := m.pos
	for k := range words {
		for i > m.line.start && isWord(buf[i-1]) {
			i--
			c := uint64(buf[i])
			words[k] = mixHash(words[k], c)
			if k == 0 {
				if partDone == 0 {
					part = mixHash(part, c|32)
				} else if partDone == 1 {
					partBefore = mixHash(partBefore, c|32)
				}
				if c >= 'A' && c <= 'Z' {
					partDone++
				}
			}
		}
		for k < 2 && i > m.line.start && !isWord(buf[i-1]) {
			i--
		}
	}
	if partDone == 0 {
		partBefore = words[1]
	}
	at := m.pos - m.line.start
	c1 := uint64(m.back(1))
	head := hashBytes(2, buf[m.line.start:m.line.start+min(at, 24)])
	ctx[7] = mixHash(words[0], 2000)
	ctx[8] = mixHash(words[0], words[1])
	ctx[9] = mixHash(uint64(slots)+5000, c1)
	ctx[10] = mixHash(words[0], c1+uint64(slots)<<8)
	ctx[11] = mixHash(hashBytes(1, buf[m.line.start:]), 3)
	ctx[12] = mixHash(uint64(at), c1)
	ctx[13] = mixHash(words[1], c1)
	ctx[14] = mixHash(mixHash(words[0], words[1]), words[2])
	ctx[15] = mixHash(part, 77)
	ctx[16] = mixHash(mixHash(part, partBefore), 78)
	ctx[17] = mixHash(mixHash(words[0], words[2]), 79)
	ctx[18] = mixHash(mixHash(head, words[0]), 80)
	ctx[19] = mixHash(mixHash(uint64(m.line.ids[0]), words[0]), c1)
	ctx[20] = mixHash(c1, uint64(m.back(3))<<8|uint64(m.back(4))<<16)
	var expect, length [2]int
	if x, n := m.match.expected(buf); n > 0 {
		_ = x
		expect[0], length[0] = m.expectAt(m.match.at), n
	}
	if x, n := m.follow.expected(buf); n > 0 {
		expect[1], length[1] = m.expectAt(x), n
	}
	p := t.bytes
	return p.codeByte(m.c, ctx[:], b, func(out, shift int) {
		state := [2]int{}
		for i := range expect {
			p.directAt[i] = -1
			if length[i] > 0 && (expect[i]|256)>>(shift+1) == out {
				p.directAt[i] = length[i]*2 + expect[i]>>shift&1
				state[i] = p.directAt[i]
			}
		}
		p.apmAt[1], p.apmAt[2] = state[0], state[1]
		p.sel[2] = state[0] >> 1
		p.sel[1] = out
		p.sel[3] = int(c1)
		p.sel[4] = state[1]>>1<<2 | min(state[0]>>1, 1)<<1 | b2i(state[0]&1 == state[1]&1)
		p.apmAt[0] = int((c1*0x9E3779B1>>4 ^ uint64(out)) & 4095)
	})
}

func (t *textModel) small(m *lineModel, ctx uint64, v byte, bits int) byte {
	p := t.marks
	if probe != nil {
		probe.kind = 5
	}
	p.context(0, ctx)
	p.context(1, mixHash(ctx, uint64(m.back(1))))
	p.context(2, mixHash(ctx, uint64(m.back(1))|uint64(m.back(2))<<8))
	out := 0
	for i := bits - 1; i >= 0; i-- {
		out = out<<1 | p.code(m.c, int(v>>i&1))
	}
	return byte(out)
}

// mark codes what a NUL stands for.
func (t *textModel) mark(m *lineModel, v byte) byte { return t.small(m, 1<<40, v, 2) }

// end codes what ends a slot's values.
func (t *textModel) end(m *lineModel, v byte) byte {
	hi := t.small(m, 2<<40, v>>4, 4)
	return hi<<4 | t.small(m, 3<<40+uint64(hi), v&15, 4)
}

// form codes how a point of time is written.
func (t *textModel) form(m *lineModel, f form) form {
	var out form
	for i, field := range []struct {
		p *byte
		v byte
	}{{&out.layout, f.layout}, {&out.separator, f.separator}, {&out.digits, f.digits}} {
		salt := uint64(4+i)<<40 | uint64(out.layout)<<16
		hi := t.small(m, salt, field.v>>4, 4)
		*field.p = hi<<4 | t.small(m, salt+1+uint64(hi), field.v&15, 4)
	}
	return out
}
