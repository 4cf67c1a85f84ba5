package densest

// matcher predicts what followed the longest recent occurrence of the last
// bytes.
type matcher struct {
	heads  []int32
	at     int // what is expected next, 0 if nothing
	length int
	shift  uint
	least  int // the shortest match
}

func (m *matcher) init(bits, least int) {
	m.least = least
	m.heads = make([]int32, 1<<bits)
	m.shift = uint(64 - bits)
}

// update takes note of the block's last byte.
func (m *matcher) update(buf []byte) {
	n := len(buf)
	if m.at > 0 && m.at < n && buf[m.at] == buf[n-1] {
		m.length = min(m.length+1, 65535)
		m.at++
	} else {
		m.at, m.length = 0, 0
	}
	if n < m.least {
		return
	}
	h := uint64(0)
	for _, b := range buf[n-m.least:] {
		h = (h + uint64(b) + 1) * 0x9E3779B97F4A7C15
	}
	h >>= m.shift
	if m.at == 0 {
		m.at = int(m.heads[h])
		if m.at > 0 {
			for m.length < 400 && m.length < m.at && buf[m.at-1-m.length] == buf[n-1-m.length] {
				m.length++
			}
			if m.length == 0 {
				m.at = 0
			}
		}
	}
	m.heads[h] = int32(n)
}

// expected returns the byte that the match continues with, and a class of its
// length from 1 to 15; 0 if there is none.
func (m *matcher) expected(buf []byte) (byte, int) {
	if m.at == 0 || m.at >= len(buf) {
		return 0, 0
	}
	return buf[m.at], lengthClass(m.length)
}

func lengthClass(n int) int {
	switch {
	case n < 8:
		return max(n, 1)
	case n < 12:
		return 8
	case n < 16:
		return 9
	case n < 24:
		return 10
	case n < 32:
		return 11
	case n < 64:
		return 12
	case n < 128:
		return 13
	case n < 400:
		return 14
	}
	return 15
}
