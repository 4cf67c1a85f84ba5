package logline

import (
	"bytes"
	"strings"
)

// Layout is how a time is written, byte for byte:
//
//	Y year, four digits      h hour, two digits
//	y year 2000–2099, two    m minute, two digits
//	M month, two digits      s second, two digits
//	b month, Jan … Dec       f digits after the second, as many as Width says
//	D day, two digits        e day, two characters, a space for a zero
//
// Any other byte stands for itself; letters other than T are not allowed. Only
// f may be missing its digits: never, where the layout has it.
type Layout []byte

// layouts are those that are looked for, the ones that begin alike the longest
// first: ISO 8601 / RFC 3339, syslog (RFC 3164), asctime, the common log
// format, DB2, Go's log package, Redis and others.
var layouts = []Layout{
	Layout("Y-M-DTh:m:s.f"), Layout("Y-M-DTh:m:s,f"), Layout("Y-M-DTh:m:s"),
	Layout("Y-M-D h:m:s.f"), Layout("Y-M-D h:m:s,f"), Layout("Y-M-D h:m:s"),
	Layout("Y-M-D-h.m.s.f"), Layout("Y-M-D"),
	Layout("Y/M/D h:m:s.f"), Layout("Y/M/D h:m:s"), Layout("Y/M/D"),
	Layout("Y.M.D h:m:s.f"), Layout("Y.M.D h:m:s"), Layout("Y.M.D"),
	Layout("YMD-h:m:s:f"), Layout("YMD-h:m:s"), Layout("YMD h:m:s"), Layout("YMDThms"),
	Layout("D/b/Y:h:m:s"), Layout("D/b/Y h:m:s"), Layout("M/D/Y h:m:s"),
	Layout("D b Y h:m:s.f"), Layout("D b Y h:m:s"),
	Layout("y/M/D h:m:s"), Layout("yMD hms"),
	Layout("M-D h:m:s.f"), Layout("M-D h:m:s"), Layout("M/D h:m:s"), Layout("M.D h:m:s"),
	Layout("b e h:m:s.f"), Layout("b e h:m:s Y"), Layout("b D h:m:s Y"), Layout("b e h:m:s"), Layout("b D h:m:s"),
	Layout("h:m:s.f"), Layout("h:m:s,f"), Layout("h:m:s"),
}

// maxLayout bounds the length of a layout.
const maxLayout = 32

// valid tells whether the layout may be used to write: each field at most once.
func (l Layout) valid() bool {
	if len(l) == 0 || len(l) > maxLayout {
		return false
	}
	var seen [256]bool
	for _, c := range l {
		switch c {
		case 'Y', 'y', 'M', 'b', 'D', 'e', 'h', 'm', 's', 'f':
			if seen[c] {
				return false
			}
			seen[c] = true
		case 'T':
		default:
			if c < ' ' || classes[c]&(letter|digit) != 0 {
				return false
			}
		}
	}
	return true
}

// fraction tells whether the layout has digits after the second.
func (l Layout) fraction() bool { return l.has('f') }

// may tells whether each byte of b may be in a time.
func (l Layout) may(b []byte) bool {
	for _, c := range b {
		switch {
		case c-'0' <= 9:
		case l.has(c) && (classes[c]&alpha == 0 || c == 'T'):
		case c == ' ' && l.has('e'):
		case l.has('b') && strings.IndexByte(months, c) >= 0:
		default:
			return false
		}
	}
	return true
}

func (l Layout) has(c byte) bool { return bytes.IndexByte(l, c) >= 0 }

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// month returns the month, 1 to 12, that b begins with; 0 is none.
func month(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	for i := 0; i < len(months); i += 3 {
		if b[0] == months[i] && b[1] == months[i+1] && b[2] == months[i+2] {
			return i/3 + 1
		}
	}
	return 0
}

var powers = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// parse reads a time in nanoseconds that b begins with; n is its length, width
// its digits after the second. n is 0 where b does not begin with one, or where
// writing it would not give the same bytes.
func (l Layout) parse(b []byte) (nanoseconds int64, width, n int) {
	year, mon, day := 0, 1, 1
	var hour, minute, second, fraction int
	dated, yearless := false, true
	for _, c := range l {
		two := -1
		switch c {
		case 'Y', 'y', 'M', 'D', 'h', 'm', 's':
			if n+2 > len(b) || b[n]-'0' > 9 || b[n+1]-'0' > 9 {
				return 0, 0, 0
			}
			two = int(b[n]-'0')*10 + int(b[n+1]-'0')
			n += 2
		}
		switch c {
		case 'Y':
			if n+2 > len(b) || b[n]-'0' > 9 || b[n+1]-'0' > 9 {
				return 0, 0, 0
			}
			year = two*100 + int(b[n]-'0')*10 + int(b[n+1]-'0')
			n += 2
			if year < 1700 || year > 2200 { // nanoseconds in 64 bits
				return 0, 0, 0
			}
			dated, yearless = true, false
		case 'y':
			year, dated, yearless = 2000+two, true, false
		case 'M':
			if mon, dated = two, true; mon-1 > 11 || mon < 1 {
				return 0, 0, 0
			}
		case 'b':
			if mon, dated = month(b[n:]), true; mon == 0 {
				return 0, 0, 0
			}
			n += 3
		case 'D':
			if day, dated = two, true; day < 1 || day > 31 {
				return 0, 0, 0
			}
		case 'e':
			if n+2 > len(b) || b[n+1]-'0' > 9 || (b[n] != ' ' && (b[n] < '1' || b[n] > '3')) {
				return 0, 0, 0
			}
			day, dated = int(b[n+1]-'0'), true
			if b[n] != ' ' {
				day += int(b[n]-'0') * 10
			}
			if day < 1 {
				return 0, 0, 0
			}
			n += 2
		case 'h':
			if hour = two; hour > 23 {
				return 0, 0, 0
			}
		case 'm':
			if minute = two; minute > 59 {
				return 0, 0, 0
			}
		case 's':
			if second = two; second > 59 {
				return 0, 0, 0
			}
		case 'f':
			for width < 9 && n < len(b) && b[n]-'0' <= 9 {
				fraction = fraction*10 + int(b[n]-'0')
				n, width = n+1, width+1
			}
			if width == 0 {
				return 0, 0, 0
			}
			fraction *= int(powers[9-width])
		default:
			if n >= len(b) || b[n] != c {
				return 0, 0, 0
			}
			n++
		}
	}
	if n < len(b) {
		switch c := b[n]; {
		case c-'0' <= 9, c == ':' && l[0] == 'h':
			return 0, 0, 0
		case (c == '.' || c == ',') && l[len(l)-1] == 's' && n+1 < len(b) && b[n+1]-'0' <= 9:
			return 0, 0, 0 // another layout's
		}
	}
	days := 0
	if dated {
		if yearless {
			year = 2000
		}
		if day > monthDays(year, mon) {
			return 0, 0, 0
		}
		days = daysFromCivil(year, mon, day)
	}
	return (int64(days)*86400+int64(hour*3600+minute*60+second))*1e9 + int64(fraction), width, n
}

func monthDays(year, mon int) int {
	switch mon {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysFromCivil returns the days from 1970-01-01 to a date of the proleptic
// Gregorian calendar, by counting in eras of 400 years that begin in March.
func daysFromCivil(year, mon, day int) int {
	if mon <= 2 {
		year--
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	yearOfEra := year - era*400
	dayOfYear := (153*((mon+9)%12)+2)/5 + day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// civilFromDays is the inverse of daysFromCivil.
func civilFromDays(days int) (year, mon, day int) {
	days += 719468
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	m := (5*dayOfYear + 2) / 153
	year, mon, day = yearOfEra+era*400, m+3, dayOfYear-(153*m+2)/5+1
	if mon > 12 {
		year, mon = year+1, mon-12
	}
	return year, mon, day
}

// timeWriter writes times of one layout; it remembers the date of the last.
type timeWriter struct {
	layout         Layout
	days           int
	year, mon, day int
}

func newTimeWriter(l Layout) timeWriter { return timeWriter{layout: l, year: 1970, mon: 1, day: 1} }

// append writes a time, value in units of 10^−width seconds.
func (w *timeWriter) append(dst []byte, value int64, width int) []byte {
	unit := int64(powers[width])
	seconds := value / unit
	fraction := value - seconds*unit
	if fraction < 0 {
		fraction += unit
		seconds--
	}
	days := seconds / 86400
	rest := int(seconds - days*86400)
	if rest < 0 {
		rest += 86400
		days--
	}
	if int(days) != w.days {
		w.days = int(days)
		w.year, w.mon, w.day = civilFromDays(w.days)
	}
	hour := rest / 3600
	rest -= hour * 3600
	for _, c := range w.layout {
		two := 0
		switch c {
		case 'Y':
			y := uint(w.year) % 10000
			dst = appendTwo(dst, int(y/100))
			two = int(y % 100)
		case 'y':
			two = int(uint(w.year) % 100)
		case 'M':
			two = w.mon
		case 'D':
			two = w.day
		case 'h':
			two = hour
		case 'm':
			two = rest / 60
		case 's':
			two = rest % 60
		case 'b':
			m := (w.mon - 1) * 3
			dst = append(dst, months[m:m+3]...)
			continue
		case 'e':
			if w.day < 10 {
				dst = append(dst, ' ', byte('0'+w.day))
				continue
			}
			two = w.day
		case 'f':
			dst = appendPadded(dst, uint64(fraction), width)
			continue
		default:
			dst = append(dst, c)
			continue
		}
		dst = appendTwo(dst, two)
	}
	return dst
}
