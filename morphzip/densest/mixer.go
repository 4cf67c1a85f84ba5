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
	var sum, other int64
	for len(w) >= 4 && len(inputs) >= 4 {
		sum += int64(inputs[0])*int64(w[0]) + int64(inputs[1])*int64(w[1])
		other += int64(inputs[2])*int64(w[2]) + int64(inputs[3])*int64(w[3])
		w, inputs = w[4:], inputs[4:]
	}
	for i, x := range inputs[:len(w)] {
		sum += int64(x) * int64(w[i])
	}
	sum += other
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
	for len(w) >= 4 && len(inputs) >= 4 {
		w[0] += int32((int64(inputs[0])*err + 1<<21) >> 22)
		w[1] += int32((int64(inputs[1])*err + 1<<21) >> 22)
		w[2] += int32((int64(inputs[2])*err + 1<<21) >> 22)
		w[3] += int32((int64(inputs[3])*err + 1<<21) >> 22)
		w, inputs = w[4:], inputs[4:]
	}
	for i, x := range inputs[:len(w)] {
		w[i] += int32((int64(x)*err + 1<<21) >> 22)
	}
}
