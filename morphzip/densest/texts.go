package densest

// textModel codes the bytes of lines whose template is new.
type textModel struct {
	bytes *predictor
	marks *predictor
}

const textContexts = 14

func newTextModel(t *table) *textModel {
	return &textModel{
		bytes: newPredictor(t, shape{hashed: textContexts, direct: []int{64}, selectors: []int{1, 256, 16, 256}, final: 1, apm: []int{4096, 32}, rate: defaultRates, bytewise: true}),
		marks: newPredictor(t, shape{hashed: 3, selectors: []int{1}, final: 1, apm: []int{1}, rate: defaultRates}),
	}
}

func (t *textModel) code(m *lineModel, b byte, slots int) byte {
	buf := m.buf[:m.pos]
	var ctx [textContexts]uint64
	h := uint64(1000)
	for i := 1; i <= 7; i++ {
		ctx[i-1] = h
		h = mixHash(h, uint64(m.back(i))+uint64(i)<<8)
	}
	word, before := uint64(0), uint64(0)
	i := m.pos
	for i > m.line.start && isWord(buf[i-1]) {
		i--
		word = mixHash(word, uint64(buf[i]))
	}
	for i > m.line.start && !isWord(buf[i-1]) {
		i--
	}
	for i > m.line.start && isWord(buf[i-1]) {
		i--
		before = mixHash(before, uint64(buf[i]))
	}
	ctx[7] = mixHash(word, 2000)
	ctx[8] = mixHash(word, before)
	ctx[9] = mixHash(uint64(slots)+5000, uint64(m.back(1)))
	ctx[10] = mixHash(word, uint64(m.back(1))+uint64(slots)<<8)
	ctx[11] = mixHash(hashBytes(1, buf[m.line.start:]), 3)
	ctx[12] = mixHash(uint64(m.pos-m.line.start), uint64(m.back(1)))
	ctx[13] = mixHash(before, uint64(m.back(1)))
	expect, length := m.match.expected(buf)
	p := t.bytes
	return p.codeByte(m.c, ctx[:], b, func(out, shift int) {
		p.directAt[0] = -1
		p.sel[2] = 0
		p.apmAt[1] = 0
		if length > 0 && (int(expect)|256)>>(shift+1) == out {
			p.directAt[0] = length*2 + int(expect)>>shift&1
			p.sel[2] = length
			p.apmAt[1] = p.directAt[0]
		}
		p.sel[1] = out
		p.sel[3] = int(m.back(1))
		p.apmAt[0] = int((uint64(m.back(1))*0x9E3779B1>>4 ^ uint64(out)) & 4095)
	})
}

func (t *textModel) small(m *lineModel, ctx uint64, v byte, bits int) byte {
	p := t.marks
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
