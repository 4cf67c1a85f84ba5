package logline

// hashBytes hashes as the scanner's loops do.
func hashBytes(b []byte) uint64 {
	h := uint64(seed)
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	return h ^ h>>32
}

// word takes the token that begins at line[i], which is no gap, and returns
// where it ends.
func (s *scanner) word(line []byte, i int, h *skeleton) int {
	c := line[i]
	if nibbles[c] <= 15 {
		if n := colons(line, i); n > 0 {
			s.add(token{start: uint32(i), end: uint32(n), kind: Text, value: hashBytes(line[i:n])}, h)
			return n
		}
	}
	if c-'0' <= 9 || (c >= 'A' && c <= 'S' && i+3 < len(line) && line[i+3] == ' ') {
		if n := s.time(line, i, h); n > 0 {
			return n
		}
	}
	kinds, value, j := uint8(0), uint64(seed), i
	for ; j < len(line); j++ {
		c := line[j]
		k := classes[c]
		if k == gap && (kinds&slash == 0 || !inPath[c]) {
			break
		}
		kinds |= k
		value = (value ^ uint64(c)) * prime
	}
	value ^= value >> 32
	if end := j; kinds&(point|mark|slash) != 0 {
		for j > i+1 && (classes[line[j-1]]&(point|mark) != 0 || inPath[line[j-1]]) {
			j--
		}
		if j < end {
			value, kinds = hashBytes(line[i:j]), 0
			for _, c := range line[i:j] {
				kinds |= classes[c]
			}
		}
	}
	if kinds&digit == 0 {
		if j < len(line) && line[j] == '=' && kinds&slash == 0 {
			h.key(value)
			return j
		}
		s.add(token{start: uint32(i), end: uint32(j), kind: Text, value: value, fixed: true}, h)
		return j
	}
	if kinds&slash != 0 {
		s.add(token{start: uint32(i), end: uint32(j), kind: Text, value: value}, h)
		return j
	}
	if line[i]-'0' > 9 && j < len(line) && line[j] == '=' {
		h.key(value)
		return j
	}
	if !s.number(line, i, j, kinds, h) {
		s.add(token{start: uint32(i), end: uint32(j), kind: Text, value: value}, h)
	}
	return j
}

// colons returns where groups of up to four hexadecimal digits with colons
// between them end, as addresses of Ethernet and IPv6 are; 0 if there are less
// than five colons.
func colons(line []byte, i int) int {
	n, digits, j := 0, 0, i
	for ; j < len(line); j++ {
		if line[j] == ':' {
			if n++; digits == 0 && line[j-1] == ':' && j > i+1 && line[j-2] == ':' {
				return 0
			}
			digits = 0
		} else if nibbles[line[j]] > 15 {
			break
		} else if digits++; digits > 4 {
			return 0
		}
	}
	if line[j-1] == ':' {
		j--
		n--
	}
	if n < 5 {
		return 0
	}
	return j
}

// number takes line[i:j], which has digits, as something numeric, alone or with
// letters before or after it.
func (s *scanner) number(line []byte, i, j int, kinds uint8, h *skeleton) bool {
	b := line[i:j]
	if kinds == digit {
		if len(b) > 19 {
			return false
		}
		s.decimal(line, i, j, h)
		return true
	}
	if b[0] == '0' && b[1] == 'x' && len(b) > 2 && len(b) <= 18 {
		kinds = 0
		for _, c := range b[2:] {
			kinds |= classes[c]
		}
		if kind, ok := hexKind(kinds); ok {
			h.types = mix(mix(h.types, '0'), 'x')
			s.hex(line, i+2, j, kind, h)
			return true
		}
		return false
	}
	if kind, ok := hexKind(kinds); ok && len(b) >= 4 {
		switch {
		case len(b) <= 16:
			s.hex(line, i, j, kind, h)
			return true
		case kind == Hex && len(b)%2 == 0 && len(b) <= 256:
			s.add(token{start: uint32(i), end: uint32(j), kind: Digest, value: hashBytes(b)}, h)
			return true
		}
		return false
	}
	if kinds == digit|point {
		return s.points(line, i, j, h)
	}
	if len(b) == 36 && kinds&^(digit|hexLower|mark) == 0 && isUUID(b) {
		s.add(token{start: uint32(i), end: uint32(j), kind: UUID, value: hashBytes(b)}, h)
		return true
	}
	return s.affixed(line, i, j, h)
}

func hexKind(kinds uint8) (Type, bool) {
	switch {
	case kinds&^(digit|hexLower) == 0:
		return Hex, true
	case kinds&^(digit|hexUpper) == 0:
		return HexUpper, true
	}
	return Text, false
}

func isUUID(b []byte) bool {
	for i, c := range b {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || (!dash && classes[c]&(digit|hexLower) == 0) {
			return false
		}
	}
	return true
}

// decimal takes line[i:j], up to 19 digits.
func (s *scanner) decimal(line []byte, i, j int, h *skeleton) {
	v := uint64(0)
	for _, c := range line[i:j] {
		v = v*10 + uint64(c-'0')
	}
	s.add(token{start: uint32(i), end: uint32(j), value: v, kind: Decimal, width: uint8(j - i)}, h)
}

func (s *scanner) hex(line []byte, i, j int, kind Type, h *skeleton) {
	v := uint64(0)
	for _, c := range line[i:j] {
		v = v<<4 | uint64(nibbles[c])
	}
	s.add(token{start: uint32(i), end: uint32(j), value: v, kind: kind, width: uint8(j - i)}, h)
}

// points takes digits with points between them.
func (s *scanner) points(line []byte, i, j int, h *skeleton) bool {
	v, digits, dots, from := uint64(0), 0, 0, i
	address, part, address32 := true, 0, uint64(0)
	for k := i; k <= j; k++ {
		if k == j || line[k] == '.' {
			n := k - from
			if n == 0 {
				return false
			}
			address = address && n <= 3 && part <= 255 && (n == 1 || line[from] != '0')
			address32 = address32<<8 | uint64(part&255)
			if k < j {
				dots++
				from, part = k+1, 0
			}
			continue
		}
		if digits++; digits > 19 {
			return false
		}
		v = v*10 + uint64(line[k]-'0')
		part = (part*10 + int(line[k]-'0')) & 0xffff
	}
	t := token{start: uint32(i), end: uint32(j)}
	switch {
	case dots == 3 && address:
		t.kind, t.value = Address, address32
	case dots == 1 && j-from <= 18 && (line[i] != '0' || line[i+1] == '.'):
		t.kind, t.value, t.width = Fixed, v, uint8(j-from)
	default:
		return false
	}
	s.add(t, h)
	return true
}

// affixed takes a number before a unit (12ms, 3.5kB, 40%), or after a name
// (eth0, blk_1234).
func (s *scanner) affixed(line []byte, i, j int, h *skeleton) bool {
	if line[i]-'0' <= 9 {
		k, kinds := i, uint8(0)
		for ; k < j && classes[line[k]]&(digit|point) != 0; k++ {
			kinds |= classes[line[k]]
		}
		if k == j || j-k > 3 || line[k-1] == '.' {
			return false
		}
		for _, c := range line[k:j] {
			if classes[c]&alpha == 0 && c != '%' {
				return false
			}
		}
		if kinds == digit {
			if k-i > 19 {
				return false
			}
			s.decimal(line, i, k, h)
		} else if !s.points(line, i, k, h) {
			return false
		}
		s.add(token{start: uint32(k), end: uint32(j), kind: Text, value: hashBytes(line[k:j]), fixed: true}, h)
		return true
	}
	k := j
	for k > i && line[k-1]-'0' <= 9 {
		k--
	}
	if k == j || j-k > 19 {
		return false
	}
	for _, c := range line[i:k] {
		if classes[c]&digit != 0 {
			return false
		}
	}
	s.add(token{start: uint32(i), end: uint32(k), kind: Text, value: hashBytes(line[i:k]), fixed: true}, h)
	s.decimal(line, k, j, h)
	return true
}

// uptime takes spaces, seconds, a point and microseconds before a bracket, and
// returns where the bracket is.
func (s *scanner) uptime(line []byte, i int) int {
	k := i
	for k < len(line) && line[k] == ' ' {
		k++
	}
	from, v := k, uint64(0)
	for k < len(line) && line[k]-'0' <= 9 && k-from < 12 {
		v = v*10 + uint64(line[k]-'0')
		k++
	}
	digits := k - from
	if digits == 0 || (digits > 1 && line[from] == '0') || from-i != max(0, 5-digits) || k+7 >= len(line) || line[k] != '.' || line[k+7] != ']' {
		return 0
	}
	for _, c := range line[k+1 : k+7] {
		if c-'0' > 9 {
			return 0
		}
		v = v*10 + uint64(c-'0')
	}
	s.tokens = append(s.tokens, token{start: uint32(i), end: uint32(k + 7), kind: Uptime, value: v})
	return k + 7
}

// openings is how many ways there are for a time to begin: with a month's
// name, or with 2, 4, 6 or 8 digits and one of the bytes up to '?' or a 'T'.
const openings = 1 + 4*65

// opening returns how a time that line[i:] begins with would begin, or −1.
func opening(line []byte, i int) int {
	if line[i] > '9' {
		if month(line[i:]) == 0 {
			return -1
		}
		return 0
	}
	n := i
	for n < len(line) && n < i+9 && line[n]-'0' <= 9 {
		n++
	}
	digits := n - i
	if n == len(line) || digits&1 != 0 || digits == 0 || digits > 8 {
		return -1
	}
	switch c := line[n]; {
	case c == 'T':
		return 1 + (digits/2-1)*65 + 64
	case c < 64:
		return 1 + (digits/2-1)*65 + int(c)
	}
	return -1
}

// candidates are the layouts of each opening.
var candidates = func() (t [openings][]int8) {
	for i, l := range layouts {
		digits, o := 0, -1
	fields:
		for _, c := range l {
			switch c {
			case 'Y':
				digits += 4
				continue
			case 'y', 'M', 'D', 'h', 'm', 's':
				digits += 2
				continue
			case 'b':
				o = 0
			case 'T':
				o = 1 + (digits/2-1)*65 + 64
			default:
				o = 1 + (digits/2-1)*65 + int(c)
			}
			break fields
		}
		t[o] = append(t[o], int8(i))
	}
	return t
}()

// time takes a time, and returns where it ends, or 0.
func (s *scanner) time(line []byte, i int, h *skeleton) int {
	o := opening(line, i)
	if o < 0 || len(candidates[o]) == 0 {
		return 0
	}
	if last := s.last[o]; last > 0 && s.timeAs(line, i, last-1, h) {
		return int(s.tokens[len(s.tokens)-1].end)
	}
	for _, l := range candidates[o] {
		if s.timeAs(line, i, l, h) {
			s.last[o] = l + 1
			return int(s.tokens[len(s.tokens)-1].end)
		}
	}
	return 0
}

func (s *scanner) timeAs(line []byte, i int, layout int8, h *skeleton) bool {
	ns, width, n := layouts[layout].parse(line[i:])
	if n == 0 {
		return false
	}
	s.add(token{start: uint32(i), end: uint32(i + n), value: uint64(ns), kind: Time, width: uint8(width), layout: layout}, h)
	return true
}

// scanFine takes tokens apart: runs of letters, runs of digits, digests.
func (s *scanner) scanFine(block []byte, start, end int) skeleton {
	h := skeleton{types: seed, variant: seed}
	first := len(s.tokens)
	line := block[:end]
	for i := start; i < end; {
		c := line[i]
		if classes[c]&(digit|alpha) == 0 {
			h.types = mix(h.types, uint64(c))
			i++
			continue
		}
		if len(s.tokens)-first >= maxTokens-4 {
			s.add(token{start: uint32(i), end: uint32(end), kind: Text, value: hashBytes(line[i:end])}, &h)
			break
		}
		kinds, changes, j := uint8(0), 0, i
		for last := uint8(0); j < end && classes[line[j]]&(digit|alpha) != 0; j++ {
			k := classes[line[j]]
			kinds |= k
			if k&digit != last {
				changes++
				last = k & digit
			}
		}
		i = s.run(line, i, j, kinds, changes, &h)
	}
	h.variant = mix(h.variant, h.types)
	return h
}

// run takes a run of letters and digits.
func (s *scanner) run(line []byte, i, j int, kinds uint8, changes int, h *skeleton) int {
	if kinds&digit != 0 && kinds&alpha != 0 {
		if kind, ok := hexKind(kinds); ok && j-i >= 6 && j-i <= 16 {
			s.hex(line, i, j, kind, h)
			return j
		} else if ok && kind == Hex && j-i > 16 && (j-i)%2 == 0 && j-i <= 256 {
			s.add(token{start: uint32(i), end: uint32(j), kind: Digest, value: hashBytes(line[i:j])}, h)
			return j
		}
	}
	if changes > 5 {
		s.add(token{start: uint32(i), end: uint32(j), kind: Text, value: hashBytes(line[i:j])}, h)
		return j
	}
	for i < j {
		k, of := i+1, classes[line[i]]&digit
		for k < j && classes[line[k]]&digit == of {
			k++
		}
		switch {
		case of == 0:
			s.add(token{start: uint32(i), end: uint32(k), kind: Text, value: hashBytes(line[i:k]), fixed: true}, h)
		case k-i <= 19:
			s.decimal(line, i, k, h)
		default:
			s.add(token{start: uint32(i), end: uint32(k), kind: Text, value: hashBytes(line[i:k])}, h)
		}
		i = k
	}
	return j
}
