package densest

// valueModel codes the values of text slots. Each of several sources proposes
// a whole value; whether the most trusted one is right is coded first, then,
// if not, the bytes.
type valueModel struct {
	whole   *predictor
	bytes   *predictor
	memory  []memory
	mask    uint64
	trust   adaptiveMap // by source and confidence: how often it is right
	cands   [sources]candidate
	keys    [sources]uint64
	scratch []byte
}

const (
	sources       = 10
	valueContexts = 24
	wholeContexts = 10
)

// memory is the value last seen after a context.
type memory struct {
	check    uint32
	from, to int32
	hits     uint8 // in succession, then
	misses   uint8
}

type candidate struct {
	value []byte
	trust int // confidence class
	on    bool
	ok    bool
	hash  uint64
}

func newValueModel(t *table, bits int) *valueModel {
	direct := make([]int, sources+1)
	for i := range direct {
		direct[i] = 16 * 8 * 2
	}
	n := min(bits+1, 20)
	return &valueModel{
		whole:  newPredictor(t, shape{hashed: wholeContexts, direct: []int{16 * sources, 1024}, selectors: []int{1, 256, 64, 1024}, final: 1, apm: []int{2048, 1024}, rate: defaultRates}),
		bytes:  newPredictor(t, shape{hashed: valueContexts, direct: direct, selectors: []int{1, 2048, 256, 1024, 256}, final: 1, apm: []int{4096, 1024}, rate: defaultRates, bytewise: true}),
		memory: make([]memory, 1<<n), mask: 1<<n - 1,
		trust: newAdaptiveMap(sources * 16),
	}
}

func (v *valueModel) recall(buf []byte, h uint64) (*memory, []byte) {
	e := &v.memory[(h^h>>31)&v.mask]
	if e.check != uint32(h>>32)|1 {
		return e, nil
	}
	return e, buf[e.from:e.to]
}

// gather finds the sources' candidates for a slot.
func (v *valueModel) gather(m *lineModel, s *slot) {
	l := &m.line
	buf := m.buf[:m.pos]
	lastHash := uint64(0)
	if s.seen > 0 {
		lastHash = hashBytes(5, buf[s.last.from:s.last.to])
	}
	k := &v.keys
	k[0] = mixHash(s.key, 1)
	k[1] = mixHash(mixHash(s.key, l.previous[0]), 2)
	k[2] = mixHash(mixHash(s.name, l.previous[0]), 3)
	k[3] = mixHash(s.name, 4)
	k[4] = mixHash(mixHash(s.key, uint64(l.ids[0])), 5)
	k[5] = mixHash(mixHash(s.key, lastHash), 6)
	k[6] = mixHash(mixHash(mixHash(s.key, l.previous[0]), l.previous[1]), 7)
	k[7] = mixHash(mixHash(s.key, l.first), 8)
	for i := range sources {
		c := &v.cands[i]
		*c = candidate{}
		if i < sources-2 {
			e, val := v.recall(buf, k[i])
			if val != nil {
				c.value, c.ok = val, true
				c.trust = min(int(e.hits), 11)
				if e.hits == 0 {
					c.trust = 12 + min(int(e.misses), 3)
				}
			}
		} else if i == sources-1 {
			if k := s.copied - 1; k >= 0 && k < len(l.values) {
				c.value, c.ok = buf[l.values[k].from:l.values[k].to], true
				c.trust = min(int(s.copies), 15)
			}
		} else if s.seen >= 2 {
			v.scratch, c.ok = extrapolate(v.scratch[:0], buf[s.last.from:s.last.to], buf[s.last2.from:s.last2.to])
			c.value = v.scratch
			c.trust = min(int(s.hit), 15)
		}
		if c.ok {
			c.hash = hashBytes(5, c.value)
		}
		c.on = c.ok
	}
}

// extrapolate continues an arithmetic sequence.
func extrapolate(dst, last, last2 []byte) ([]byte, bool) {
	if len(last) == 0 || len(last2) == 0 || len(last) > 17 || len(last2) > 17 {
		return dst, false
	}
	head := len(last)
	for head > 0 && isDigit(last[head-1]) {
		head--
	}
	if head == len(last) || len(last2) <= head || string(last2[:head]) != string(last[:head]) {
		return dst, false
	}
	a, _ := number(last, head, 18)
	b, n := number(last2, head, 18)
	if head+n != len(last2) || a == b {
		return dst, false
	}
	next := a + a - b
	if next < 0 {
		return dst, false
	}
	dst = append(dst, last[:head]...)
	width := 1
	if len(last) == len(last2) && last[head] == '0' {
		width = len(last) - head
	}
	return appendPadded(dst, int64(next), width), true
}

// remember notes what the value was.
func (v *valueModel) remember(m *lineModel, s *slot, from int) {
	value := m.buf[from:m.pos]
	h := hashBytes(5, value)
	for i := range sources {
		c := &v.cands[i]
		right := c.ok && c.hash == h
		if c.ok {
			y := 0
			if right {
				y = 1
			}
			v.trust.learn(i*16+c.trust, y, 60)
		}
		if i == sources-1 {
			if right {
				s.copies++
			} else {
				s.copies = 0
				for k := len(m.line.values) - 1; k >= 0; k-- {
					w := m.line.values[k]
					if string(m.buf[w.from:w.to]) == string(value) {
						s.copied = k + 1
						break
					}
				}
			}
			continue
		}
		if i == sources-2 {
			if right {
				s.hit++
			} else {
				s.hit = 0
			}
			continue
		}
		k := v.keys[i]
		e := &v.memory[(k^k>>31)&v.mask]
		check := uint32(k>>32) | 1
		if e.check == check {
			if right {
				if e.hits < 255 {
					e.hits++
				}
				e.misses = 0
			} else {
				e.hits = 0
				if e.misses < 255 {
					e.misses++
				}
			}
		} else {
			e.check, e.hits, e.misses = check, 0, 0
		}
		e.from, e.to = int32(from), int32(m.pos)
	}
}

// best returns the most trusted candidate that is none of those tried.
func (v *valueModel) best(tried uint64, more bool) int {
	best, most := -1, 0
	for i := range v.cands {
		c := &v.cands[i]
		if !c.ok || more && c.hash == tried {
			continue
		}
		p := v.trust.at(i*16 + c.trust)
		if p > most {
			best, most = i, p
		}
	}
	return best
}

const wholeTries = 2

func (v *valueModel) code(m *lineModel, s *slot, at span) error {
	v.gather(m, s)
	from := m.pos
	buf := m.buf[:m.pos]
	var value []byte
	if !m.c.decoding {
		value = m.buf[at.from:at.to]
	}
	l := &m.line
	var tried uint64
	*m.kind = 3
	for n := range wholeTries {
		b := v.best(tried, n > 0)
		if b < 0 {
			break
		}
		c := &v.cands[b]
		agree := 0
		for i := range v.cands {
			if v.cands[i].ok && v.cands[i].hash == c.hash {
				agree |= 1 << i
			}
		}
		p := v.whole
		salt := uint64(n) << 60
		name := mixHash(s.name, salt)
		key := mixHash(s.key, salt)
		h := func(i int, a, b uint64) { p.context(i, mixHash(a, b)) }
		h(0, key, uint64(agree))
		h(1, mixHash(key, c.hash), 1)
		h(2, mixHash(key, c.hash), l.previous[0])
		h(3, key, uint64(b)<<8|uint64(c.trust))
		h(4, name, uint64(agree))
		h(5, mixHash(name, c.hash), 2)
		h(6, key, uint64(l.missed&15)<<32|uint64(l.ids[0]))
		h(7, salt, uint64(agree))
		h(8, mixHash(key, uint64(l.missed&3)), l.symbols<<8|uint64(min(m.line.row-s.lastRow, 3)))
		h(9, mixHash(key, l.first), c.hash)
		p.directAt[0] = b*16 + c.trust
		p.directAt[1] = agree
		p.sel[1] = int(s.key & 255)
		p.sel[2] = n<<5 | b<<1 | min(c.trust>>3, 1)
		p.sel[3] = agree
		p.apmAt[0] = n<<10 | agree
		p.apmAt[1] = n<<9 | int(s.key&255)<<1
		y := 0
		if string(value) == string(c.value) {
			y = 1
		}
		if p.code(m.c, y) != 0 {
			if len(c.value) > m.room() {
				return ErrCorrupt
			}
			l.missed <<= 1
			for _, x := range c.value {
				m.emit(x)
			}
			v.remember(m, s, from)
			return nil
		}
		tried = c.hash
		c.trust = 15
		for i := range v.cands {
			if v.cands[i].ok && v.cands[i].hash == tried {
				v.cands[i].on = false
			}
		}
	}
	_ = buf
	l.missed = l.missed<<1 | 1
	for i := 0; ; i++ {
		b := s.end
		if i < len(value) {
			b = value[i]
		}
		*m.kind = 4
		b = v.byte(m, s, from, b)
		if b == s.end {
			break
		}
		if m.room() < 1 {
			return ErrCorrupt
		}
		m.emit(b)
		for k := range v.cands {
			c := &v.cands[k]
			if c.ok && (len(c.value) <= i || c.value[i] != b) {
				c.ok = false
			}
		}
	}
	// What was cleared while matching is not a candidate's fault.
	v.gather(m2(m, from), s)
	v.remember(m, s, from)
	return nil
}

// m2 is the model as it was before the value.
func m2(m *lineModel, from int) *lineModel {
	c := *m
	c.pos = from
	return &c
}

func charClass(b byte) uint64 {
	switch {
	case isDigit(b):
		return 0
	case b >= 'a' && b <= 'f':
		return 1
	case b >= 'A' && b <= 'F':
		return 2
	case b >= 'a' && b <= 'z':
		return 3
	case b >= 'A' && b <= 'Z':
		return 4
	case b >= 0x80:
		return 5
	case b == '.':
		return 6
	case b == '/' || b == '\\':
		return 7
	case b == '-' || b == '_':
		return 8
	case b == ':':
		return 9
	}
	return 10
}

// byte codes one byte of a value that begins at from.
func (v *valueModel) byte(m *lineModel, s *slot, from int, b byte) byte {
	l := &m.line
	at := m.pos - from
	prefix := hashBytes(uint64(at)+1, m.buf[from:m.pos])
	shape := uint64(1)
	digits := uint64(0) // digits since the last other byte
	for _, x := range m.buf[from:m.pos] {
		k := charClass(x)
		if k <= 2 {
			k = min(k, 1)
		}
		if k != shape&15 || k > 5 {
			shape = shape<<4 | k
		}
		if isDigit(x) {
			digits++
		} else {
			digits = 0
		}
	}
	last := byte(0)
	same := uint64(0)
	var lastHash uint64
	if s.seen > 0 {
		w := m.buf[s.last.from:s.last.to]
		lastHash = hashBytes(5, w)
		if at < len(w) {
			last = w[at]
		} else if at == len(w) {
			last = s.end
		}
		if at <= len(w) && string(w[:at]) == string(m.buf[from:m.pos]) {
			same = 1
		}
	}
	c1, c2, c3 := uint64(m.back(1)), uint64(m.back(2)), uint64(m.back(3))
	key, name := s.key, s.name
	// What the sources expect.
	var expect [sources + 1]int
	votes := 0
	strongest, trust := -1, 0
	for i := range v.cands {
		c := &v.cands[i]
		expect[i] = -1
		if !c.ok {
			continue
		}
		x := s.end
		if at < len(c.value) {
			x = c.value[at]
		} else if !c.on {
			continue
		}
		expect[i] = int(x)
		votes++
		if q := v.trust.at(i*16 + c.trust); q > trust {
			strongest, trust = int(x), q
		}
	}
	mb, mlen := m.match.expected(m.buf[:m.pos])
	expect[sources] = -1
	if mlen > 0 {
		expect[sources] = int(mb)
	}
	word := uint64(0)
	for i := m.pos; i > from && isWord(m.buf[i-1]); i-- {
		word = mixHash(word, uint64(m.buf[i-1]))
	}
	ctx := [valueContexts]uint64{
		mixHash(key, prefix),
		mixHash(name, prefix),
		prefix,
		mixHash(mixHash(key, prefix), l.previous[0]),
		mixHash(mixHash(key, prefix), lastHash),
		mixHash(mixHash(name, prefix), l.previous[0]),
		mixHash(mixHash(key, prefix), l.first+3),
		mixHash(key, c1|uint64(at)<<8),
		mixHash(key, c1|c2<<8),
		mixHash(0, c1|c2<<8|c3<<16),
		mixHash(1, c1|c2<<8|c3<<16|uint64(m.back(4))<<24),
		mixHash(2, c1|c2<<8|c3<<16|uint64(m.back(4))<<24|uint64(m.back(5))<<32),
		mixHash(key, uint64(last)|same<<8|uint64(at)<<9),
		mixHash(key, uint64(last)|same<<8|c1<<16|1<<40),
		mixHash(key, shape),
		mixHash(name, shape),
		mixHash(key, uint64(strongest+1)|uint64(votes)<<10),
		mixHash(3, uint64(strongest+1)|uint64(votes)<<10|c1<<16),
		mixHash(key, uint64(at)),
		mixHash(word, 1),
		mixHash(word, name),
		mixHash(digits, shape),
		mixHash(mixHash(key, prefix), uint64(l.ids[0])+1),
		mixHash(4, uint64(expect[0]+1)|uint64(expect[1]+1)<<9|uint64(expect[3]+1)<<18|uint64(mlen)<<40|uint64(expect[sources]+1)<<27),
	}
	p := v.bytes
	return p.codeByte(m.c, ctx[:], b, func(out, shift int) {
		agree := 0
		for i := range expect {
			p.directAt[i] = -1
			if x := expect[i]; x >= 0 && (x|256)>>(shift+1) == out {
				bit := x >> shift & 1
				if i < sources {
					c := &v.cands[i]
					p.directAt[i] = (c.trust*8+min(at, 3)*2+b2i(c.on))*2 + bit
					agree++
				} else {
					p.directAt[i] = mlen*2 + bit
					agree |= 16
				}
			}
		}
		st := 0
		if strongest >= 0 && (strongest|256)>>(shift+1) == out {
			st = 1 + strongest>>shift&1
		}
		p.sel[1] = int(s.key&255)<<3 | min(at, 7)
		p.sel[2] = out
		p.sel[3] = agree<<5 | min(at, 7)<<2 | st
		p.sel[4] = mlen<<4 | min(votes, 15)
		p.apmAt[0] = int((c1*0x9E3779B1>>4 ^ uint64(out)) & 4095)
		p.apmAt[1] = int(s.key&255)<<2 | st
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
