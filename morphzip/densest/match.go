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

// A follower predicts by a match that it keeps over differences: where the
// bytes go apart it waits for the end of the word and goes on after the
// earlier word's end.
type follower struct {
	at       int // what is expected next, 0 if nothing
	since    int // bytes right since the last difference
	misses   int // recent differences
	skipping bool
}

const followerReach = 48

// update takes note of the block's last byte; m is the matcher it follows,
// updated before.
func (f *follower) update(buf []byte, m *matcher) {
	n := len(buf)
	b := buf[n-1]
	switch {
	case f.at == 0:
	case f.skipping:
		if !isWord(b) {
			f.at = f.resume(buf, b)
			f.skipping = false
		}
	case buf[f.at] == b:
		f.at++
		f.since++
		if f.since == 16 {
			f.misses = 0
		}
	default:
		f.misses++
		f.since = 0
		switch {
		case f.misses > 8:
			f.at = 0
		case isWord(b):
			f.skipping = true
		default:
			f.at = f.resume(buf, b)
		}
	}
	if f.at >= n {
		f.at = 0
	}
	if b == '\n' {
		f.at = 0
	}
	if m.at > 0 && m.length >= 8 && (f.at == 0 || f.since < 8 && m.length > 20) {
		if f.at != m.at {
			*f = follower{at: m.at, since: m.length}
		}
	}
}

// resume returns where the earlier text goes on after the byte b.
func (f *follower) resume(buf []byte, b byte) int {
	for i := f.at; i < min(f.at+followerReach, len(buf)-1) && buf[i] != '\n'; i++ {
		if buf[i] == b {
			return i + 1
		}
	}
	return 0
}

// expected returns the byte that should follow and a class from 1 to 31 of how
// sure that is; 0 if there is none.
func (f *follower) expected(buf []byte) (int, int) {
	if f.at == 0 || f.skipping || f.at >= len(buf) {
		return 0, 0
	}
	return f.at, 1 + min(f.misses, 3)*7 + min(lengthClass(f.since)/2, 6)
}
