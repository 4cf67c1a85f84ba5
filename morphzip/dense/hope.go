package dense

import "unicode/utf8"

// hope is a text that is expected: that of another stream, or, where that one is
// hexadecimal, the bytes it stands for as Go quotes them.
type hope struct {
	rest   []byte // expected, as it stands
	other  []byte // instead of rest, where its first byte comes
	bytes  []byte // to be quoted after rest
	quoted bool
	live   bool
	right  int
	room   [2][12]byte
	raw    []byte
	text   []byte
}

// reset makes the hope that a text like from comes; nil is no hope.
func (h *hope) reset(from []byte, quoted bool) {
	*h = hope{rest: from, quoted: quoted, live: len(from) > 0, raw: h.raw[:0], text: h.text[:0]}
	if quoted && h.live {
		h.rest = nil
		h.bytes, h.live = h.unhex(from)
		h.quote()
	}
}

// all returns all that is hoped for; ok is false where that is nothing.
func (h *hope) all() (text []byte, ok bool) {
	if !h.live {
		return nil, false
	}
	for len(h.rest) > 0 {
		b := h.rest[0]
		h.text = append(h.text, b)
		h.saw(b)
	}
	return h.text, true
}

// next returns the byte expected and how surely; 0 is not at all.
func (h *hope) next() (b byte, strength int) {
	if !h.live {
		return 0, 0
	}
	if len(h.rest) == 0 {
		return '\n', 1 + min(h.right, 40)
	}
	return h.rest[0], 1 + min(h.right, 40)
}

// saw tells which byte came.
func (h *hope) saw(b byte) {
	if !h.live {
		return
	}
	switch {
	case len(h.rest) > 0 && h.rest[0] == b:
	case len(h.other) > 0 && h.other[0] == b:
		h.rest = h.other
	default:
		h.live = false
		return
	}
	h.right++
	h.rest, h.other = h.rest[1:], nil
	if len(h.rest) == 0 && len(h.bytes) > 0 {
		h.quote()
	}
}

// unhex returns the bytes that hexadecimal digits stand for.
func (h *hope) unhex(b []byte) ([]byte, bool) {
	if len(b) < 8 || len(b)%2 != 0 {
		return nil, false
	}
	for i := 0; i < len(b); i += 2 {
		high, low := digit(b[i]), digit(b[i+1])
		if high > 15 || low > 15 {
			return nil, false
		}
		h.raw = append(h.raw, high<<4|low)
	}
	return h.raw, true
}

// digit returns the value of a hexadecimal digit; above 15 it is none.
func digit(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case c|32 >= 'a' && c|32 <= 'f':
		return c | 32 - 'a' + 10
	}
	return 255
}

const hexDigits = "0123456789abcdef"

// quote makes rest and other the two ways in which the next character of bytes
// can be quoted: as it is, or escaped.
func (h *hope) quote() {
	if len(h.bytes) == 0 {
		return
	}
	r, n := utf8.DecodeRune(h.bytes)
	raw := append(h.room[0][:0], h.bytes[:n]...)
	b := h.bytes[0]
	h.bytes = h.bytes[n:]
	escaped := append(h.room[1][:0], '\\')
	digits := 0
	switch {
	case n == 1 && r == utf8.RuneError, r < ' ' || r == 0x7F:
		for i, c := range []byte("\a\b\f\n\r\t\v") {
			if b == c {
				h.rest = append(escaped, "abfnrtv"[i])
				return
			}
		}
		h.rest = append(escaped, 'x', hexDigits[b>>4], hexDigits[b&15])
		return
	case b == '"' || b == '\\':
		h.rest = append(escaped, b)
		return
	case n == 1:
		h.rest = raw
		return
	case r < 0x10000:
		escaped, digits = append(escaped, 'u'), 4
	default:
		escaped, digits = append(escaped, 'U'), 8
	}
	for i := digits - 1; i >= 0; i-- {
		escaped = append(escaped, hexDigits[r>>(4*i)&15])
	}
	// Which characters can be printed is a matter of the Unicode version: the
	// other way remains open.
	if r < 0xA0 || r >= 0xE000 && r < 0xF900 || r >= 0xE0000 {
		raw, escaped = escaped, raw
	}
	h.rest, h.other = raw, escaped
}
