package densest

// predictor mixes what hashed contexts (bit histories in a shared table) and
// direct contexts (small numbers, such as the length of a match) say of the
// next bit: several mixers, each choosing its weights by another selector, a
// second layer over them, and adaptive probability maps (secondary symbol
// estimation) at the end.
type predictor struct {
	t        *table
	base     []uint32      // the hashed contexts' buckets
	fresh    []bool        // the bucket had not been seen
	indirect []adaptiveMap // by context: history state to probability
	direct   []adaptiveMap
	directAt []int // the entry in use, < 0 if none
	inputs   []int32
	node     uint32
	runs     []adaptiveMap // by context: what the last byte and its run tell
	runBase  []uint32      // the buckets of a byte's first half
	runAt    []int
	bytewise bool

	mixers   []*mixer
	sel      []int
	logits   []int32
	final    *mixer
	finalSel int
	apm      []apm
	apmAt    []int
	apmP     []int
	p, mixed int

	rate rates
}

type rates struct {
	first, last, decay int    // of the mixers' learning
	limit              uint32 // of cells
	mapLimit           uint32 // of adaptive maps
}

// defaultRates adapt quickly at first: blocks may be small.
var defaultRates = rates{first: 300, last: 20, decay: 600, limit: countLimit, mapLimit: 255}

// shape tells a predictor's numbers.
type shape struct {
	hashed    int
	direct    []int // sizes of the direct contexts
	selectors []int // sizes of the mixers' selectors
	final     int   // size of the second layer's selector
	apm       []int // sizes of the last stage's contexts
	rate      rates
	bytewise  bool // whole bytes are coded, by codeByte
}

const perHashed = 2

func newPredictor(t *table, s shape) *predictor {
	n := s.hashed*perHashed + len(s.direct)*2 + 1
	if s.bytewise {
		n += s.hashed
	}
	p := &predictor{
		t: t, base: make([]uint32, s.hashed), inputs: make([]int32, n), directAt: make([]int, len(s.direct)),
		sel: make([]int, len(s.selectors)+1), logits: make([]int32, len(s.selectors)+2), apmAt: make([]int, len(s.apm)), apmP: make([]int, len(s.apm)),
		rate: s.rate, fresh: make([]bool, s.hashed),
	}
	for range s.hashed {
		p.indirect = append(p.indirect, newHistoryMap())
		if s.bytewise {
			p.runs = append(p.runs, newAdaptiveMap(256))
		}
	}
	if s.bytewise {
		p.bytewise, p.runBase, p.runAt = true, make([]uint32, s.hashed), make([]int, s.hashed)
	}
	for _, size := range s.direct {
		p.direct = append(p.direct, newAdaptiveMap(size))
	}
	for _, size := range s.selectors {
		p.mixers = append(p.mixers, newMixer(n, size, initialWeight/int32(s.hashed)))
	}
	p.mixers = append(p.mixers, newMixer(n, s.hashed+1, initialWeight/int32(s.hashed)))
	p.final = newMixer(len(s.selectors)+2, s.final, int32(65536/(len(s.selectors)+1)))
	for _, size := range s.apm {
		p.apm = append(p.apm, newAPM(size))
	}
	return p
}

// initialWeight, shared by the hashed contexts, is what weights begin with, in
// 1/65536.
const initialWeight = 50000

// context sets hashed context i, which holds for up to four bits.
func (p *predictor) context(i int, h uint64) {
	p.base[i] = p.t.bucket(mixHash(h, uint64(i)+1))
	p.node = 1
}

// codeByte codes a byte under the hashed contexts. Before each bit prepare is
// called with the bits so far below a leading one, and how far to shift the
// byte for the next one.
func (p *predictor) codeByte(c *coder, contexts []uint64, b byte, prepare func(out, shift int)) byte {
	out := 1
	for half := range 2 {
		for i, h := range contexts {
			p.context(i, h+uint64(half<<8|out)*0xD6E8FEB86659FD93)
			if half == 0 {
				p.runBase[i] = p.base[i]
			}
		}
		for k := range 4 {
			shift := 7 - half*4 - k
			for i, base := range p.runBase {
				info := p.t.cells[base]
				p.runAt[i] = -1
				if run := info >> 8 & 255; run > 0 && int(info&255|256)>>(shift+1) == out {
					p.runAt[i] = (int(min(run, 15))<<3|shift)<<1 | int(info>>shift&1)
				}
			}
			prepare(out, shift)
			out = out<<1 | p.code(c, int(b>>shift&1))
		}
	}
	b = byte(out)
	for _, base := range p.runBase {
		info := &p.t.cells[base]
		run := *info >> 8 & 255
		if run > 0 && byte(*info) == b {
			run = min(run+1, 255)
		} else {
			run = 1
		}
		*info = *info&0xffff0000 | run<<8 | cell(b)
	}
	return b
}

// code codes one bit.
func (p *predictor) code(c *coder, y int) int {
	y = c.bit(y, p.predict())
	p.update(y)
	p.node = p.node<<1 | uint32(y)
	return y
}

var confidence = [128]int32{}

func init() {
	for n := range confidence {
		confidence[n] = int32(256 * (2*n + 0) / (2*n + 3))
	}
}

func (p *predictor) predict() int {
	in := p.inputs[:0]
	cells := p.t.cells
	known := 0
	for i, b := range p.base {
		c := cells[b+p.node]
		n := c >> 8 & 127
		if n == 0 {
			in = append(in, 0, 0)
			continue
		}
		known++
		direct := int32(stretchTable[c>>16])
		s := history(c)
		q := p.indirect[i][s] >> 16
		in = append(in, int32(stretchTable[q]), direct*confidence[n]>>8)
	}
	for i, at := range p.directAt {
		if at < 0 {
			in = append(in, 0, 0)
			continue
		}
		q := p.direct[i][at] >> 16
		in = append(in, int32(stretchTable[q]), (int32(q)-oneHalf)>>5)
	}
	for i, at := range p.runAt {
		if at < 0 {
			in = append(in, 0)
			continue
		}
		in = append(in, int32(stretchTable[p.runs[i][at]>>16]))
	}
	in = append(in, 256)
	p.sel[len(p.sel)-1] = known
	for i, m := range p.mixers {
		p.logits[i] = int32(m.mix(in, p.sel[i]))
	}
	p.logits[len(p.mixers)] = 256
	p.mixed = p.final.mix(p.logits, p.finalSel)
	q := p.final.p
	sum, parts := q*2, 2
	for i := range p.apm {
		p.apmP[i] = p.apm[i].refine(p.mixed, p.apmAt[i])
		sum += p.apmP[i]
		parts++
	}
	p.p = min(max(sum/parts, 1), 65535)
	return p.p
}

func (p *predictor) update(y int) {
	in := p.inputs
	for _, m := range p.mixers {
		m.learn(in, y, p.rate.first, p.rate.last, p.rate.decay)
	}
	p.final.learn(p.logits, y, 80, 8, 300)
	for i := range p.apm {
		p.apm[i].learn(y)
	}
	cells := p.t.cells
	for i, b := range p.base {
		c := cells[b+p.node]
		if c>>8&127 != 0 {
			p.indirect[i].learn(history(c), y, p.rate.mapLimit)
		}
		cells[b+p.node] = learn(c, y, p.rate.limit)
	}
	for i, at := range p.runAt {
		if at >= 0 {
			p.runs[i].learn(at, y, p.rate.mapLimit)
		}
	}
	for i, at := range p.directAt {
		if at >= 0 {
			p.direct[i].learn(at, y, p.rate.mapLimit)
		}
	}
}

// apm refines a probability by a small context: it maps the logit, in 33
// steps with interpolation, to what came true.
type apm struct {
	cells []uint16
	at    int
	high  int
}

const apmSteps = 33

func newAPM(contexts int) apm {
	a := apm{cells: make([]uint16, contexts*apmSteps)}
	for i := range a.cells {
		a.cells[i] = uint16(squash((i%apmSteps - 16) * maxLogit / 16))
	}
	return a
}

func (a *apm) refine(logit, context int) int {
	x := (logit + maxLogit) * 32
	step := x / (2 * maxLogit)
	part := x % (2 * maxLogit) * 4096 / (2 * maxLogit)
	if step >= 32 {
		step, part = 31, 4096
	}
	i := context*apmSteps + step
	a.at = i
	a.high = part
	return (int(a.cells[i])*(4096-part) + int(a.cells[i+1])*part) >> 12
}

func (a *apm) learn(y int) {
	i := a.at
	if a.high >= 2048 {
		i++
	}
	v := int(a.cells[i])
	if y != 0 {
		v += (65535 - v) >> 6
	} else {
		v -= v >> 6
	}
	a.cells[i] = uint16(v)
}
