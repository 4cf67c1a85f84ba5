package mixing

// Mixer adds up logits by weights, of which each selector has its own set, and
// learns the weights by the error it made (online gradient descent on the
// coding cost: Mahoney 2005). Inputs come in groups of four; those not in use
// stay 0.
type Mixer struct {
	inputs  [][4]int32
	weights [][4]int32 // of all sets
	set     [][4]int32 // the selected one
	p       int
	rate    int
}

// NewMixer returns a mixer of n inputs with as many sets of weights, each weight
// share/16. Rate is how fast it learns, typically 2 to 14.
func NewMixer(sets, n, share, rate int) *Mixer {
	groups := (n + 3) / 4
	m := &Mixer{
		inputs:  make([][4]int32, groups),
		weights: make([][4]int32, sets*groups),
		rate:    rate,
	}
	m.Reset(share)
	m.Select(0)
	return m
}

// Reset makes each weight share/16 again.
func (m *Mixer) Reset(share int) {
	for i := range m.weights {
		for j := range m.weights[i] {
			m.weights[i][j] = int32(65536 * share / 16)
		}
	}
	clear(m.inputs)
}

// SetRate changes how fast the mixer learns.
func (m *Mixer) SetRate(rate int) { m.rate = rate }

// Inputs are the logits to mix, in groups of four.
func (m *Mixer) Inputs() [][4]int32 { return m.inputs }

// Set makes the input i, below n, a logit.
func (m *Mixer) Set(i, logit int) { m.inputs[i>>2][i&3] = int32(logit) }

// Select chooses the set of weights for the next bit.
func (m *Mixer) Select(set int) {
	groups := len(m.inputs)
	m.set = m.weights[set*groups : (set+1)*groups]
}

// Mix returns the inputs' weighted sum, a logit in ±MaxLogit, and keeps its
// probability for Update.
func (m *Mixer) Mix() int {
	var sum int64
	set := m.set
	for g := range m.inputs {
		if g >= len(set) {
			break
		}
		x, w := &m.inputs[g], &set[g]
		sum += int64(x[0])*int64(w[0]) + int64(x[1])*int64(w[1]) + int64(x[2])*int64(w[2]) + int64(x[3])*int64(w[3])
	}
	logit := min(max(int(sum>>16), -MaxLogit), MaxLogit)
	m.p = Squash(logit)
	return logit
}

// Update moves the selected weights so that the bit would have cost less.
func (m *Mixer) Update(bit int) {
	err := int64((bit<<16 - m.p) * m.rate)
	set := m.set
	for g := range m.inputs {
		if g >= len(set) {
			break
		}
		x, w := &m.inputs[g], &set[g]
		w[0] += int32((int64(x[0])*err + 1<<19) >> 20)
		w[1] += int32((int64(x[1])*err + 1<<19) >> 20)
		w[2] += int32((int64(x[2])*err + 1<<19) >> 20)
		w[3] += int32((int64(x[3])*err + 1<<19) >> 20)
	}
}
