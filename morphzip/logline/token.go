package logline

// The classes of bytes.
const (
	digit    = 1 << iota // 0–9
	hexLower             // a–f
	hexUpper             // A–F
	letter               // the other letters, '_' and what is not ASCII
	mark                 // punctuation inside a token
	point                // '.'
	slash                // '/', '?' and '\': this token is a path
	gap                  // between tokens
)

const (
	alpha = hexLower | hexUpper | letter
	path  = 1 << 8
)

// classes has the class of each byte; hexadecimal digits count as letters too.
var classes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = digit
		case c >= 'a' && c <= 'f':
			t[c] = hexLower
		case c >= 'A' && c <= 'F':
			t[c] = hexUpper
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
			t[c] = letter
		case c == '.':
			t[c] = point
		case c == '/', c == '?', c == '\\':
			t[c] = slash
		default:
			t[c] = gap
		}
	}
	for _, c := range "-+@%~#$&*!^`" {
		t[c] = mark
	}
	return t
}()

// inPath are the gaps that do not end a path.
var inPath = [256]bool{'=': true, ':': true, ',': true, ';': true}

// token is a part of a line that may vary.
type token struct {
	start, end uint32
	value      uint64 // number, or hash of the bytes
	kind       Type
	width      uint8
	layout     int8 // of Time
	fixed      bool // of Text: it has no digits, or is a key: it likely is the same in each line
}

// maxTokens bounds the tokens of a line; the last one takes what is left.
const maxTokens = 512

// maxLine is the length from which on a line is not looked into.
const maxLine = 1 << 15

const (
	seed  = 0x9e3779b97f4a7c15
	prime = 0xff51afd7ed558ccd
)

func mix(h, v uint64) uint64 {
	h = (h ^ v) * prime
	return h ^ h>>29
}

// scanner takes lines into tokens.
type scanner struct {
	tokens []token
	// last is the layout that was found last, plus 1, by what a time begins with.
	last [openings]int8
	// fine takes apart tokens rather than lines: at each change of class.
	fine bool
}

// skeleton hashes the types of a line's tokens and what is between them; variant
// also the fixed ones' bytes.
type skeleton struct{ types, variant uint64 }

// scan appends the tokens of block[start:end], a line without its '\n'.
func (s *scanner) scan(block []byte, start, end int) skeleton {
	if s.fine {
		return s.scanFine(block, start, end)
	}
	h := skeleton{types: seed, variant: seed}
	first := len(s.tokens)
	line := block[:end]
	for i := start; i < end; {
		c := line[i]
		switch classes[c] {
		case gap, mark:
			if c == '"' {
				if n := s.quoted(line, i, &h); n > 0 {
					i = n
					continue
				}
			}
			if c == '[' && i+1 < end && (line[i+1] == ' ' || line[i+1]-'0' <= 9) {
				if n := s.uptime(line, i+1); n > 0 {
					h.types = mix(mix(h.types, '['), uint64(Uptime)<<8)
					i = n
					continue
				}
			}
			h.types = mix(h.types, uint64(c))
			i++
			continue
		case point:
			h.types = mix(h.types, uint64(c))
			i++
			continue
		}
		if len(s.tokens)-first >= maxTokens-4 {
			s.add(token{start: uint32(i), end: uint32(end), kind: Text, value: hashBytes(line[i:end])}, &h)
			break
		}
		i = s.word(line, i, &h)
	}
	h.variant = mix(h.variant, h.types)
	return h
}

// add appends a token and hashes it.
func (s *scanner) add(t token, h *skeleton) {
	h.types = mix(h.types, uint64(t.kind)<<8|uint64(uint8(t.layout))<<16|1<<32)
	if t.fixed {
		h.variant = mix(h.variant, t.value)
	} else if t.kind == Text {
		h.variant = mix(h.variant, 1)
	}
	s.tokens = append(s.tokens, t)
}

// key hashes bytes that are the same wherever the types are.
func (h *skeleton) key(value uint64) { h.types = mix(h.types, value) }

// quoted takes a string in quotation marks, which line[i] is one of: as one
// token, or as a key when a colon follows. It returns where it ends, 0 when it
// does not.
func (s *scanner) quoted(line []byte, i int, h *skeleton) int {
	value, kinds := uint64(seed), uint8(0)
	j := i + 1
	for ; ; j++ {
		if j >= len(line) {
			return 0
		}
		c := line[j]
		if c == '"' {
			break
		}
		if c == '\\' {
			value = (value ^ uint64(c)) * prime
			if j++; j >= len(line) {
				return 0
			}
			c = line[j]
		}
		kinds |= classes[c]
		value = (value ^ uint64(c)) * prime
	}
	value ^= value >> 32
	h.types = mix(h.types, '"')
	switch {
	case j+1 < len(line) && line[j+1] == ':':
		h.key(value)
	case j == i+1: // empty: a token nonetheless, so that all strings are alike
		s.add(token{start: uint32(j), end: uint32(j), kind: Text, value: value, fixed: true}, h)
	case kinds&digit != 0 && (kinds&gap == 0 || line[i+1]-'0' <= 9) && s.only(line[:j], i+1, h):
	default:
		s.add(token{start: uint32(i + 1), end: uint32(j), kind: Text, value: value, fixed: kinds&digit == 0}, h)
	}
	h.types = mix(h.types, '"')
	return j + 1
}

// only takes line[i:] as a token, if all of it is one: a number, an address, a
// digest.
func (s *scanner) only(line []byte, i int, h *skeleton) bool {
	before, n := *h, len(s.tokens)
	if classes[line[i]]&(gap|mark|point) == 0 && s.word(line, i, h) == len(line) && len(s.tokens) == n+1 {
		if t := &s.tokens[n]; int(t.start) == i && int(t.end) == len(line) && t.kind != Text {
			return true
		}
	}
	*h, s.tokens = before, s.tokens[:n]
	return false
}
