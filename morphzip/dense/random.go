package dense

import "github.com/entroos/entroos/morphzip/logline"

// digits tell how the entries of a column are written that seem to be random:
// hashes, keys, identifiers. Their bits are coded as they are.
type digits uint8

const (
	noDigits    digits = iota // entries are not random
	smallDigits               // hexadecimal, in small letters
	largeDigits               // hexadecimal, in capital letters
	bareBytes                 // the bytes themselves: of digests and UUIDs
)

const largeHexDigits = "0123456789ABCDEF"

func (d digits) alphabet() string {
	if d == largeDigits {
		return largeHexDigits
	}
	return hexDigits
}

// of tells whether b is written so, whatever it is.
func (d digits) of(b []byte) bool {
	if d == bareBytes {
		return true
	}
	alphabet := d.alphabet()
	for _, c := range b {
		if n := digit(c); n > 15 || alphabet[n] != c {
			return false
		}
	}
	return true
}

// random codes an entry that is written in the stream's digits; ok is false for
// another one, which must be coded otherwise.
func (x *text) random(w *walker, s *stream, t logline.Type, b []byte) (random []byte, ok bool, err error) {
	n := uint64(0) // a length, and 0 for what is not random
	if !w.decoding && len(b) > 0 && s.digits.of(b) {
		n = uint64(len(b))
	}
	n = w.meta(metaRandom, n)
	if n == 0 {
		return nil, false, nil
	}
	if n > uint64(w.letters) || t == logline.UUID && n != 16 {
		return nil, false, corrupt("length of digits")
	}
	w.letters -= int(n)
	// The digits stand in the history, but nothing looks for them there.
	start := len(x.history)
	alphabet := s.digits.alphabet()
	for i := range int(n) {
		var c byte
		if i < len(b) {
			c = b[i]
		}
		if s.digits == bareBytes {
			c = byte(w.c.Bits(uint32(c), 8))
		} else {
			c = alphabet[w.c.Bits(uint32(digit(c)&15), 4)&15]
		}
		x.history = append(x.history, c)
	}
	end := len(x.history)
	x.history = append(x.history, '\n')
	return x.history[start:end], true, nil
}

// sampled counts the digits of the first entries of a column.
type sampled struct {
	entries, other int
	digits         digits
	counts         [16]uint32
}

// The sample of entries that tells whether they are random: of so many, no
// shorter than so many digits.
const (
	randomEntries = 256
	randomDigits  = 12
	randomLeast   = 600 // digits in all
)

// add adds an entry to the sample.
func (r *sampled) add(t logline.Type, b []byte) {
	if r.entries+r.other >= randomEntries {
		return
	}
	d := bareBytes
	if t != logline.Digest && t != logline.UUID {
		d = smallDigits
		for _, c := range b {
			if c >= 'A' && c <= 'F' {
				d = largeDigits
				break
			}
		}
	}
	if len(b) < randomDigits || !d.of(b) || r.entries > 0 && d != r.digits {
		r.other++
		return
	}
	r.entries++
	r.digits = d
	for _, c := range b {
		if d == bareBytes {
			r.counts[c>>4]++
			r.counts[c&15]++
		} else {
			r.counts[digit(c)&15]++
		}
	}
}

// random returns how the column's entries are written, where they seem random:
// nearly all digits, each as frequent as the others.
func (r *sampled) random() digits {
	total, squares := uint64(0), uint64(0)
	for _, n := range r.counts {
		total += uint64(n)
		squares += uint64(n) * uint64(n)
	}
	// Of uniform digits, χ² = 16·Σn²/N − N has the mean 15, and is hardly ever
	// above 60. Long runs and repeated parts have more.
	if r.entries < 15*r.other || total < randomLeast || 16*squares > total*total+60*total {
		return noDigits
	}
	return r.digits
}
