package logline

import "unicode/utf8"

// The forms in which a dictionary's entries are coded.
const (
	formLines  = iota // as they are, each with a '\n'
	formBytes         // the bytes of Digest and UUID
	formUpper         // bytes written as capital hexadecimal digits
	formQuoted        // bytes written as in Go's string literals, see unquote

	forms
)

// poolEntry is the length from which on entries are looked for among those of
// earlier dictionaries.
const poolEntry = 8

// form turns the entries of a column of Text into bytes, if all of them are
// written in the same way. printed tells of the characters in quoted ones.
func form(s *Strings) (how int, raw Strings, printed []bool) {
	if s.Len() == 0 {
		return formLines, raw, nil
	}
	first := s.At(0)
	switch {
	case len(first) >= 2*poolEntry && len(first)%2 == 0 && capitals(first):
		for i := range s.Ends {
			e := s.At(i)
			if len(e)%2 != 0 || !capitals(e) {
				return formLines, raw, nil
			}
			for k := 0; k < len(e); k += 2 {
				raw.Bytes = append(raw.Bytes, nibbles[e[k]]<<4|nibbles[e[k+1]])
			}
			raw.Ends = append(raw.Ends, uint32(len(raw.Bytes)))
		}
		return formUpper, raw, nil
	case escaped(first):
		for i := range s.Ends {
			var ok bool
			if raw.Bytes, printed, ok = unquote(raw.Bytes, s.At(i), printed); !ok {
				return formLines, raw, nil
			}
			raw.Ends = append(raw.Ends, uint32(len(raw.Bytes)))
		}
		return formQuoted, raw, printed
	}
	return formLines, raw, nil
}

func capitals(b []byte) bool {
	for _, c := range b {
		if classes[c]&(digit|hexUpper) == 0 {
			return false
		}
	}
	return true
}

// escaped tells whether b has an escaped byte, as binary strings have.
func escaped(b []byte) bool {
	for i := 0; i+1 < len(b); i++ {
		if b[i] == '\\' {
			if b[i+1] == 'x' {
				return true
			}
			i++
		}
	}
	return false
}

// The bytes that Go escapes with a letter.
const (
	escapeLetters = `abtnvfr"\`
	escapeBytes   = "\a\b\t\n\v\f\r\"\\"
)

// unquote appends the bytes that text stands for, as Go's strconv.Quote writes
// them between the quotation marks. Which characters beyond ASCII are printed
// and which escaped changes with the version of Unicode: a flag tells of each.
// ok is false where quote would not write the same text.
func unquote(raw, text []byte, printed []bool) ([]byte, []bool, bool) {
	at, flags := len(raw), len(printed)
	for i := 0; i < len(text); {
		c := text[i]
		if c != '\\' {
			if c >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(text[i:])
				if r == utf8.RuneError && n == 1 {
					return raw[:at], printed[:flags], false
				}
				raw = append(raw, text[i:i+n]...)
				printed = append(printed, true)
				i += n
				continue
			}
			raw = append(raw, c)
			i++
			continue
		}
		if i+1 >= len(text) {
			return raw[:at], printed[:flags], false
		}
		digits := 0
		switch text[i+1] {
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		}
		if digits == 0 {
			k := 0
			for k < len(escapeLetters) && escapeLetters[k] != text[i+1] {
				k++
			}
			if k == len(escapeLetters) {
				return raw[:at], printed[:flags], false
			}
			raw = append(raw, escapeBytes[k])
			i += 2
			continue
		}
		if i+2+digits > len(text) {
			return raw[:at], printed[:flags], false
		}
		v := uint32(0)
		for _, c := range text[i+2 : i+2+digits] {
			n := nibbles[c]
			if n > 15 {
				return raw[:at], printed[:flags], false
			}
			v = v<<4 | uint32(n)
		}
		i += 2 + digits
		if digits == 2 {
			raw = append(raw, byte(v))
			continue
		}
		if v > utf8.MaxRune {
			return raw[:at], printed[:flags], false
		}
		raw = utf8.AppendRune(raw, rune(v))
		printed = append(printed, false)
	}
	again, used, ok := quote(nil, raw[at:], printed[flags:])
	if !ok || used != len(printed)-flags || string(again) != string(text) {
		return raw[:at], printed[:flags], false
	}
	return raw, printed, true
}

// quote appends raw as strconv.Quote writes it, and returns how many flags it
// used; ok is false where they are too few.
func quote(dst, raw []byte, printed []bool) (out []byte, used int, ok bool) {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c < utf8.RuneSelf {
			dst = appendQuoted(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, '\\', 'x', lower[c>>4], lower[c&15])
			i++
			continue
		}
		if used >= len(printed) {
			return dst, used, false
		}
		switch {
		case printed[used]:
			dst = append(dst, raw[i:i+n]...)
		case r < 1<<16:
			dst = appendHex(append(dst, '\\', 'u'), uint64(r), 4, lower)
		default:
			dst = appendHex(append(dst, '\\', 'U'), uint64(r), 8, lower)
		}
		used++
		i += n
	}
	return dst, used, true
}

func appendQuoted(dst []byte, c byte) []byte {
	for k := range len(escapeBytes) {
		if escapeBytes[k] == c {
			return append(dst, '\\', escapeLetters[k])
		}
	}
	if c < ' ' || c == 0x7f {
		return append(dst, '\\', 'x', lower[c>>4], lower[c&15])
	}
	return append(dst, c)
}

// text turns bytes into what the form writes; at most limit bytes.
func (s *Strings) text(how int, printed []bool, limit int) (Strings, error) {
	out := Strings{Ends: make([]uint32, 0, s.Len())}
	for i := range s.Ends {
		e := s.At(i)
		if how == formUpper {
			for _, c := range e {
				out.Bytes = append(out.Bytes, upper[c>>4], upper[c&15])
			}
		} else {
			used, ok := 0, false
			if out.Bytes, used, ok = quote(out.Bytes, e, printed); !ok {
				return out, corrupt("characters of quoted bytes")
			}
			printed = printed[used:]
		}
		if len(out.Bytes) > limit {
			return out, corrupt("length of entries")
		}
		out.Ends = append(out.Ends, uint32(len(out.Bytes)))
	}
	if len(printed) > 0 {
		return out, corrupt("characters of quoted bytes")
	}
	return out, nil
}
