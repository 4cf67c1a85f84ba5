package logline

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// mayHold tells whether a number of the column, as it is written, may contain
// part, begin with it or end with it, as far as the column's bounds tell. The
// part's bytes are those of such numbers.
func (v *values) mayHold(part []byte, begins, ends bool) bool {
	switch v.Type {
	case Decimal, Fixed, Uptime:
		// Without its point a number's digits are those of what it is coded as,
		// and no part of them is more than all.
		digits := bytes.Trim(bytes.ReplaceAll(part, []byte("."), nil), " ")
		x, err := strconv.ParseUint("0"+string(digits), 10, 64)
		if err != nil || x > v.Most {
			return err != nil && bytes.ContainsRune(digits, ' ')
		}
		return v.Type != Decimal || !v.natural || !begins || decimalBetween(part, v.Least, v.Most, ends)
	case Hex, HexUpper:
		x, err := strconv.ParseUint("0"+string(part), 16, 64)
		return err != nil || x <= v.Most
	case Address:
		return addressBetween(string(part), v.Least, v.Most, begins, ends)
	case Time:
		return longestDigits(part) <= v.digits()
	}
	return true
}

// digits is how many digits follow each other at most in the column's times.
func (v *values) digits() int {
	width := min(v.width, 9) // as a reader would refuse more
	if v.several {
		width = 9 // the most there are
	}
	w := newTimeWriter(v.layout)
	return max(longestDigits(w.append(nil, 0, width)), width)
}

func longestDigits(b []byte) (longest int) {
	run := 0
	for _, c := range b {
		if run++; c < '0' || c > '9' {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// addressBetween tells whether an address from least to most may contain part,
// begin with it or end with it. Only of parts with all four numbers, and of
// those that an address begins with, is it told.
func addressBetween(part string, least, most uint64, begins, ends bool) bool {
	octets := strings.Split(part, ".")
	n := len(octets)
	if n > 4 || slices.ContainsFunc(octets, func(o string) bool { return len(o) > 3 }) {
		return false
	}
	if n < 4 && !begins {
		return true
	}
	begun := []uint64{0} // what the numbers so far may be, one after the other
	for i, octet := range octets {
		var next []uint64
		rest := uint(8 * (3 - i))
		for x := range uint64(256) {
			s := strconv.FormatUint(x, 10)
			first, last := i == 0 && !begins, i == n-1 && !ends
			switch {
			case first && last && !strings.Contains(s, octet), first && !last && !strings.HasSuffix(s, octet),
				!first && last && !strings.HasPrefix(s, octet), !first && !last && s != octet:
				continue
			}
			for _, b := range begun {
				if a := b<<8 | x; a<<rest|(1<<rest-1) >= least && a<<rest <= most {
					next = append(next, a)
				}
			}
		}
		begun = next
	}
	return len(begun) > 0
}
