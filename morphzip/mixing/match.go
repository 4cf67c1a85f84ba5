package mixing

// Match finds the last place where the bytes before the next one stood, and
// predicts that what followed them there follows again.
type Match struct {
	last   []uint32 // place after the last occurrence, by the hash of the bytes before
	shift  uint
	least  int // bytes that must match
	place  int
	length int
}

// NewMatch returns one of 2^bits places that looks for matches of at least
// that many bytes, in [3,16].
func NewMatch(bits, least int) *Match {
	return &Match{last: make([]uint32, 1<<bits), shift: uint(32 - bits), least: least}
}

// Reset forgets everything.
func (m *Match) Reset() {
	clear(m.last)
	m.place, m.length = 0, 0
}

// Find tells the match of all bytes so far, of which the last one is new. It
// returns the byte predicted and the length of the match, or a length of 0.
func (m *Match) Find(history []byte) (predicted byte, length int) {
	n := len(history)
	if m.length > 0 && m.place < n-1 && history[m.place] == history[n-1] {
		m.place++
		m.length = min(m.length+1, 65535)
	} else {
		m.length = 0
	}
	if n < m.least {
		return 0, 0
	}
	var h uint32
	for _, b := range history[n-m.least:] {
		h = (h + uint32(b) + 1) * 0x2F0B4C47
	}
	slot := &m.last[h>>m.shift]
	if m.length == 0 {
		if place := int(*slot); place > 0 && place < n {
			length := 0
			for length < 32 && length < place && history[place-1-length] == history[n-1-length] {
				length++
			}
			if length >= m.least {
				m.place, m.length = place, length
			}
		}
	}
	*slot = uint32(n)
	if m.length == 0 {
		return 0, 0
	}
	return history[m.place], m.length
}
