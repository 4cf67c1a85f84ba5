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
		if !v.mayHoldDigits(part) {
			return false
		}
		return v.Type != Decimal || !v.natural || !begins || decimalBetween(part, v.Least, v.Most, ends)
	case Hex, HexUpper:
		x, err := strconv.ParseUint("0"+string(part), 16, 64)
		return err != nil || x <= v.Most
	case Address:
		return addressBetween(string(part), v.Least, v.Most, begins, ends)
	case Time:
		return v.mayHoldTime(part)
	}
	return true
}

// mayHoldDigits is mayHold of numbers with digits and, at most, a point. Without
// its point a number's digits are those of what it is coded as, and no part of
// them is more than all.
func (v *values) mayHoldDigits(part []byte) bool {
	part = bytes.TrimLeft(part, " ")
	whole, fraction, point := bytes.Cut(part, []byte("."))
	most, places := v.Most, 0
	switch {
	case v.several:
		places = -1 // not the same for all
	case v.Type == Fixed:
		places = v.width
	case v.Type == Uptime:
		places = 6
	}
	switch {
	case bytes.ContainsAny(fraction, ". ") || bytes.IndexByte(whole, ' ') >= 0:
		return false
	case places >= 0 && len(fraction) > places:
		return false
	case point && places > 0: // as if the digits that may follow were 0
		for range places - len(fraction) {
			most /= 10
		}
	case places > 0 && len(whole) <= places:
		return true // of the fraction
	case places > 0:
		for range places {
			most /= 10
		}
	}
	x, err := strconv.ParseUint("0"+string(whole)+string(fraction), 10, 64)
	return err == nil && x <= most
}

// mayHoldTime is mayHold of times: these have so many digits behind one another
// at most, and so many points and the like.
func (v *values) mayHoldTime(part []byte) bool {
	if v.example == nil {
		width := min(v.width, 9) // as a reader would refuse more
		if v.several {
			width = 9
		}
		w := newTimeWriter(v.layout)
		v.example = w.append([]byte{}, 0, width)
	}
	for _, c := range []byte(".,:-/+") {
		if n := bytes.Count(part, []byte{c}); n > 0 && n > bytes.Count(v.example, []byte{c}) {
			return false
		}
	}
	// A day may have a digit more than the example's.
	return longestDigits(part) <= longestDigits(v.example)+1
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
