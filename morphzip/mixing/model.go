package mixing

const (
	// MaxContexts is the most hashed contexts that a model has.
	MaxContexts = 13
	// Expectations is how many values a model may be told to expect.
	Expectations = 2
	// Strengths is how many strengths of an expectation are told apart.
	Strengths = 64

	maxInputs = MaxContexts + 1 + Expectations
	// agreements is how many ways the expectations can stand to the bits so far.
	agreements = 9
	// firstWeights is what the inputs' weights start with, in 1/65536, in all.
	firstWeights = 96000
)

// Model predicts and codes small symbols, up to four bits at a time, from hashed
// contexts that its user chooses. Begin starts a symbol's part, Part codes it.
type Model struct {
	// Hash are the contexts of the next part, as many as the model has. Begin
	// tells a symbol's parts apart by what was coded of it.
	Hash [MaxContexts]uint32
	// Set chooses the set of weights.
	Set int
	// Refine chooses what refines the prediction.
	Refine uint32

	n        int  // hashed contexts
	bytes    bool // each bit of a byte has its own set of weights
	node     uint
	part     uint32 // tells the parts of a symbol apart
	slot     [MaxContexts]*Slot
	seen     [MaxContexts]History
	x        [maxInputs]int32
	want     [Expectations]int
	strength [Expectations]uint8 // 0: nothing is expected, any more

	slots    *Slots
	maps     [MaxContexts]HistoryMap
	order0   [256]Probability
	expected [Expectations][Strengths]Probability
	weights  []int32
	refined  *APM
	shift    uint // of a hash that chooses among 2^refine contexts
	limit    int
	rate     int
	coded    int // parts so far
}

// NewModel returns a model of n hashed contexts, at most MaxContexts, kept in
// slots, of so many sets of weights, and of 2^refine contexts that refine.
func NewModel(slots *Slots, n, sets, refine int) *Model {
	m := &Model{slots: slots, n: n, shift: uint(32 - refine), limit: 255, rate: 10}
	m.weights = make([]int32, sets*agreements*m.inputs())
	m.refined = NewAPM(1<<refine, 6)
	m.Reset()
	return m
}

func (m *Model) inputs() int { return m.n + 1 + Expectations }

// byteSets is how many sets of weights the bits of a byte have.
const byteSets = 17 * 16

// NewByteModel returns a model of bytes: each bit of them has a set of weights,
// chosen by the bits before.
func NewByteModel(slots *Slots, n, refine int) *Model {
	m := NewModel(slots, n, byteSets, refine)
	m.bytes = true
	return m
}

// Reset forgets everything but what is in the slots, which others may share.
func (m *Model) Reset() {
	for i := range m.n {
		m.maps[i].Reset()
	}
	for i := range m.expected {
		for s := range m.expected[i] {
			m.expected[i][s] = NewProbability(65535-32768/(s+2), 0)
		}
	}
	for i := range m.order0 {
		m.order0[i] = NewProbability(1<<15, 0)
	}
	for i := range m.weights {
		m.weights[i] = int32(firstWeights / m.inputs())
	}
	m.refined.Reset()
	m.coded = 0
}

// Expect tells the model that the symbol will probably be a value, for Part,
// with a strength below Strengths; 0 is no expectation. It holds until a part
// differs from it.
func (m *Model) Expect(e, value, strength int) {
	m.want[e], m.strength[e] = value, uint8(strength)
}

// Wants brings an expectation's value up to date for the next part of a symbol.
func (m *Model) Wants(e, value int) { m.want[e] = value }

// Expected tells whether an expectation still holds.
func (m *Model) Expected(e int) bool { return m.strength[e] > 0 }

// Begin looks up the contexts for a part of a symbol, of which part tells what
// was coded already: 0 for the first.
func (m *Model) Begin(part uint32) {
	salt := part * 0x9E3779B1
	lines, shift := m.slots.lines, m.slots.shift
	var hashes [MaxContexts]uint32
	// The cache lines are asked for first, all at once, and looked at later.
	touched := History(0)
	for i, h := range m.Hash[:m.n] {
		h = (h + salt) * 0x2C1B3C6D
		h ^= h >> 15
		hashes[i] = h
		touched |= lines[uint64(h)>>shift][0][0]
	}
	m.seen[0] = touched
	for i, h := range hashes[:m.n] {
		m.slot[i] = m.slots.Find(h)
	}
	m.node, m.part = 1, part
	m.coded++
}

// Part codes a value of up to bits bits, at most four from one Begin to the
// next, or decodes one, and returns it.
func (m *Model) Part(c *Coder, value, bits int) int {
	coded := 0
	for k := bits - 1; k >= 0; k-- {
		coded = coded<<1 | m.bit(c, value>>k&1, k)
	}
	for e := range m.want {
		if coded != m.want[e] {
			m.strength[e] = 0
		}
	}
	return coded
}

// bit codes one bit, which has k more after it in its part.
func (m *Model) bit(c *Coder, bit, k int) int {
	n := m.n
	node := m.node & 15
	x := m.x[:n+1+Expectations]
	slot, seen := m.slot[:n], m.seen[:n]

	// The predictions of the expectations choose the weights, too.
	order0 := &m.order0[(uint(m.part)<<4|node)&255]
	x[n] = int32(stretched[*order0>>20])
	agreement := 0
	var expected [Expectations]*Probability
	for e := range Expectations {
		logit := 0
		agreement *= 3
		if s := m.strength[e] & (Strengths - 1); s > 0 {
			p := &m.expected[e][s]
			expected[e] = p
			logit = int(stretched[*p>>20])
			agreement++
			if s >= 16 {
				agreement++
			}
			if m.want[e]>>uint(k)&1 == 0 {
				logit = -logit
			}
		}
		x[n+1+e] = int32(logit)
	}
	set := m.Set
	if m.bytes {
		set = int(m.part<<4|uint32(node)) % byteSets
	}
	at := (set*agreements + agreement) * len(x)
	w := m.weights[at : at+len(x)]

	sum := int64(x[n])*int64(w[n]) + int64(x[n+1])*int64(w[n+1]) + int64(x[n+2])*int64(w[n+2])
	w = w[:len(x)]
	for i, s := range slot {
		h := s[node]
		seen[i] = h
		logit := stretched[m.maps[i][h]>>20]
		x[i] = int32(logit)
		sum += int64(logit) * int64(w[i])
	}
	logit := min(max(int(sum>>16), -MaxLogit), MaxLogit)
	mixed := Squash(logit)
	refined := m.refined.Refine(logit, int((m.Refine<<8^m.part<<4^uint32(node))*0x9E3779B1>>m.shift))
	p := min(max((mixed+refined)>>1, 1), 65535)

	bit = c.Code(bit, p)

	rate := m.rate
	if m.coded < 4000 {
		rate *= 2
		if m.coded < 400 {
			rate *= 2
		}
	}
	err := int64((bit<<16 - mixed) * rate)
	for i, logit := range x {
		w[i] += int32((int64(logit)*err + 1<<19) >> 20)
	}
	for i, h := range seen {
		m.maps[i][h].Update(bit, m.limit)
		slot[i][node] = h.Next(bit)
	}
	m.refined.Update(bit)
	order0.Update(bit, m.limit)
	for e, p := range expected {
		if p != nil {
			p.Update(bit^m.want[e]>>uint(k)&1^1, m.limit)
			// What a part contradicts, the rest of it does too.
			if bit != m.want[e]>>uint(k)&1 {
				m.strength[e] = 0
			}
		}
	}
	m.node = node<<1 | uint(bit)
	return bit
}

// Byte codes a byte, or decodes one, and returns it.
func (m *Model) Byte(c *Coder, symbol byte) byte {
	want := m.want
	for e := range want {
		m.want[e] = want[e] >> 4
	}
	m.Begin(0)
	high := m.Part(c, int(symbol>>4), 4)
	for e := range want {
		m.want[e] = want[e] & 15
	}
	m.Begin(uint32(high + 1))
	return byte(high<<4 | m.Part(c, int(symbol&15), 4))
}
