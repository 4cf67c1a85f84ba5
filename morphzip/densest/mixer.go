package densest

// mixer weighs logits by weights that a selector chooses, and learns them by
// gradient descent on the coding cost (Mahoney 2005).
type mixer struct {
	n       int
	weights []int32 // 1/65536
	seen    []uint16
	at      int // the chosen set
	p       int
	dot     int
}

func newMixer(n, sets int, weight int32) *mixer {
	m := &mixer{n: n, weights: make([]int32, n*sets), seen: make([]uint16, sets)}
	for i := range m.weights {
		m.weights[i] = weight
	}
	return m
}

// mix returns the logit of the inputs weighed by set s.
func (m *mixer) mix(inputs []int32, s int) int {
	m.at = s
	w := m.weights[s*m.n : s*m.n+m.n]
	inputs = inputs[:len(w)]
	var sum int64
	for i, x := range inputs {
		sum += int64(x) * int64(w[i])
	}
	m.dot = int(sum >> 16)
	if m.dot > maxLogit {
		m.dot = maxLogit
	} else if m.dot < -maxLogit {
		m.dot = -maxLogit
	}
	m.p = squash(m.dot)
	return m.dot
}

// learn moves the chosen weights against the error; the rate falls from first
// to last as a set is used.
func (m *mixer) learn(inputs []int32, y int, first, last, decay int) {
	seen := int(m.seen[m.at])
	rate := last + (first-last)*decay/(decay+seen)
	if seen < 65535 {
		m.seen[m.at]++
	}
	err := int64((y<<16)-y-m.p) * int64(rate)
	if err*maxLogit < 1<<21 && err*maxLogit > -1<<21 {
		return // no weight would change
	}
	w := m.weights[m.at*m.n : m.at*m.n+m.n]
	inputs = inputs[:len(w)]
	for i, x := range inputs {
		w[i] += int32((int64(x)*err + 1<<21) >> 22)
	}
}
