package logline

import "math/bits"

const twoDigits = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// appendTwo writes v modulo 100 with two digits.
func appendTwo(dst []byte, v int) []byte {
	i := uint(v) % 100 * 2
	return append(dst, twoDigits[i], twoDigits[i+1])
}

// decimalDigits returns how many digits v has.
func decimalDigits(v uint64) int {
	// log₁₀ 2 ≈ 1233/4096: at most one too few.
	n := (bits.Len64(v|1) * 1233) >> 12
	if n < 20 && v >= powers[n] {
		n++
	}
	return max(n, 1)
}

// appendDecimal writes v with as few digits as it takes.
func appendDecimal(dst []byte, v uint64) []byte {
	if v < 10 {
		return append(dst, byte('0'+v))
	}
	return appendPadded(dst, v, decimalDigits(v))
}

// extend makes dst n bytes longer, at most 32; what they are is not told.
func extend(dst []byte, n int) []byte {
	if end := len(dst) + n; end <= cap(dst) {
		return dst[:end]
	}
	var zeros [32]byte
	return append(dst, zeros[:n]...)
}

// appendPadded writes the last width digits of v, at most 20.
func appendPadded(dst []byte, v uint64, width int) []byte {
	dst = extend(dst, width)
	to := dst[len(dst)-width:]
	i := len(to)
	for i > 1 {
		q := v / 100
		d := (v - q*100) * 2
		i -= 2
		to[i], to[i+1] = twoDigits[d], twoDigits[d+1]
		v = q
	}
	if i == 1 {
		to[0] = byte('0' + v%10)
	}
	return dst
}

const (
	lower = "0123456789abcdef"
	upper = "0123456789ABCDEF"
)

// hexDigits returns how many hexadecimal digits v has.
func hexDigits(v uint64) int { return max((bits.Len64(v)+3)/4, 1) }

// appendHex writes the last width hexadecimal digits of v, at most 16.
func appendHex(dst []byte, v uint64, width int, alphabet string) []byte {
	dst = extend(dst, width)
	to := dst[len(dst)-width:]
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = alphabet[v&15]
		v >>= 4
	}
	return dst
}

// octets are the numbers up to 255, and the length of each.
var octets = func() (t [256][4]byte) {
	for i := range t {
		d := appendDecimal(nil, uint64(i))
		copy(t[i][:], d)
		t[i][3] = byte(len(d))
	}
	return t
}()

// appendAddress writes an IPv4 address.
func appendAddress(dst []byte, v uint64) []byte {
	for shift := 24; shift > 0; shift -= 8 {
		o := &octets[v>>shift&255]
		dst = append(append(dst, o[:o[3]]...), '.')
	}
	o := &octets[v&255]
	return append(dst, o[:o[3]]...)
}

// appendUptime writes microseconds as %5d.%06d seconds.
func appendUptime(dst []byte, v uint64) []byte {
	seconds := v / 1e6
	for limit := uint64(1e4); limit > 1 && seconds < limit; limit /= 10 {
		dst = append(dst, ' ')
	}
	dst = appendDecimal(dst, seconds)
	dst = append(dst, '.')
	return appendPadded(dst, v%1e6, 6)
}

// appendFixed writes v with the point before its last width digits, 0 to 18.
func appendFixed(dst []byte, v uint64, width int) []byte {
	unit := powers[width]
	dst = appendDecimal(dst, v/unit)
	dst = append(dst, '.')
	return appendPadded(dst, v%unit, width)
}

// appendDigest writes bytes as hexadecimal digits.
func appendDigest(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower[c>>4], lower[c&15])
	}
	return dst
}

// appendUUID writes 16 bytes as 8-4-4-4-12 hexadecimal digits.
func appendUUID(dst, b []byte) []byte {
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, lower[c>>4], lower[c&15])
	}
	return dst
}

// nibbles are the values of hexadecimal digits, 255 for other bytes.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()
