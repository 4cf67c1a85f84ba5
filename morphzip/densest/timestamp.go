package densest

import "strings"

// A layout is a way to write a point of time. In its text Y M D h m s stand for
// numbers of fixed width (Y four digits, y two), b and a for the English month
// and day names of three letters, e for the day padded by a space, E for the
// seconds since 1970 in ten digits, and small capitals H N S K L for hour,
// minute, second, month and day without padding. Others stand for themselves.
//
// Programs write dates in few ways and times in fewer, and put about anything
// between the two: the layouts are the combinations. Of two that fit the same
// bytes the earlier is taken. Their order is a part of the format.
var layouts = makeLayouts()

func makeLayouts() []string {
	all := []string{"", "a b D h:m:s Y", "a b e h:m:s Y"} // the first is none
	combine := func(dates, separators, times []string) {
		for _, t := range times {
			for _, d := range dates {
				for _, separator := range separators {
					all = append(all, d+separator+t)
				}
			}
		}
	}
	years := []string{"Y-M-D", "Y/M/D", "Y.M.D", "YMD", "y-M-D", "y/M/D", "yMD", "D/b/Y", "D-b-Y", "D b Y", "Y/K/L"}
	days := []string{"b e", "b D", "b L", "M-D", "M/D", "M.D"}
	combine(append(years, days...), []string{" ", "T", "-", "_", ":"}, []string{"h:m:s", "H:N:S"})
	combine(years[:7], []string{" ", "T", "-", "_"}, []string{"h.m.s", "hms"})
	return append(all, "Y-M-D", "Y/M/D", "Y.M.D", "h:m:s", "E")
}

// moment is a point of time as written: seconds since 1970 (of year 2000 when
// no year is written, of day 0 when no date is), and a fraction.
type moment struct {
	seconds  int64
	fraction int64
}

// A form is a layout and its fraction: the separator and how many digits (0:
// none, 10: as many as the number has, without padding).
type form struct {
	layout    byte
	separator byte
	digits    byte
}

const (
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
	dayNames   = "ThuFriSatSunMonTueWed" // of the days since 1970 modulo 7
)

func digitsAt(b []byte, i, n int) (int, bool) {
	if i+n > len(b) {
		return 0, false
	}
	v := 0
	for _, c := range b[i : i+n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func number(b []byte, i, most int) (v, n int) {
	for n < most && i+n < len(b) && b[i+n] >= '0' && b[i+n] <= '9' {
		v = v*10 + int(b[i+n]-'0')
		n++
	}
	return v, n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func nameAt(b []byte, i int, names string) (int, bool) {
	if i+3 > len(b) {
		return 0, false
	}
	for k := 0; k < len(names); k += 3 {
		if string(b[i:i+3]) == names[k:k+3] {
			return k / 3, true
		}
	}
	return 0, false
}

// unpadded tells of the layouts with numbers that are not padded.
var unpadded [256]bool

func init() {
	for i, l := range layouts {
		unpadded[i] = strings.ContainsAny(l, "HNSKL")
	}
}

// parseTime recognises a point of time at b's start, and returns its length.
// Where layouts with and without padding fit, short prefers the latter.
func parseTime(b []byte, short bool) (form, moment, int) {
	f, m, n := parseAs(b, short)
	if n == 0 && short {
		return parseAs(b, false)
	}
	return f, m, n
}

func parseAs(b []byte, short bool) (form, moment, int) {
	if len(b) < 8 || !(isDigit(b[0]) || b[0] >= 'A' && b[0] <= 'W') {
		return form{}, moment{}, 0
	}
	for l := 1; l < len(layouts); l++ {
		if short && !unpadded[l] {
			continue
		}
		m, n, ok := parseLayout(b, layouts[l])
		if !ok || n < len(b) && isDigit(b[n]) {
			continue
		}
		f := form{layout: byte(l)}
		if layouts[l][0] != 'E' && n+1 < len(b) && (b[n] == '.' || b[n] == ',' || b[n] == ':') {
			v, k := number(b, n+1, 10)
			if k > 0 && k < 10 && strings.ContainsAny(layouts[l], "hH") {
				f.separator, f.digits = b[n], byte(k)
				if k < 3 || b[n] == ':' {
					if k > 1 && b[n+1] == '0' {
						k = 0
					}
					f.digits = 10
				}
				if f.digits == 10 && v > 999 {
					k = 0
				}
				if k > 0 {
					m.fraction = int64(v)
					n += 1 + k
				} else {
					f.separator, f.digits = 0, 0
				}
			}
		}
		return f, m, n
	}
	return form{}, moment{}, 0
}

func parseLayout(b []byte, layout string) (moment, int, bool) {
	year, month, day, hour, minute, second := 2000, 1, 1, 0, 0, 0
	dated, weekday := false, -1
	i := 0
	for k := range len(layout) {
		var v, n int
		var ok bool
		switch layout[k] {
		case 'Y':
			year, ok = digitsAt(b, i, 4)
			n, dated = 4, true
			ok = ok && year >= 1970 && year < 2200
		case 'y':
			v, ok = digitsAt(b, i, 2)
			year, n, dated = 2000+v, 2, true
		case 'M':
			month, ok = digitsAt(b, i, 2)
			n, dated = 2, true
		case 'D':
			day, ok = digitsAt(b, i, 2)
			n, dated = 2, true
		case 'e':
			n, dated = 2, true
			if i+1 < len(b) && b[i] == ' ' {
				day, ok = digitsAt(b, i+1, 1)
			} else {
				day, ok = digitsAt(b, i, 2)
				ok = ok && day >= 10
			}
		case 'b':
			month, ok = nameAt(b, i, monthNames)
			month++
			n, dated = 3, true
		case 'a':
			weekday, ok = nameAt(b, i, dayNames)
			n = 3
		case 'h':
			hour, ok = digitsAt(b, i, 2)
			n = 2
		case 'm':
			minute, ok = digitsAt(b, i, 2)
			n = 2
		case 's':
			second, ok = digitsAt(b, i, 2)
			n = 2
		case 'E':
			v, ok = digitsAt(b, i, 10)
			return moment{seconds: int64(v)}, 10, ok && v >= 9e8 && v < 3e9
		case 'H', 'N', 'S', 'K', 'L':
			v, n = number(b, i, 2)
			ok = n > 0 && (n == 1 || v >= 10)
			switch layout[k] {
			case 'H':
				hour = v
			case 'N':
				minute = v
			case 'S':
				second = v
			case 'K':
				month, dated = v, true
			default:
				day, dated = v, true
			}
		default:
			ok = i < len(b) && b[i] == layout[k]
			n = 1
		}
		if !ok {
			return moment{}, 0, false
		}
		i += n
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return moment{}, 0, false
	}
	var m moment
	if dated {
		d := daysSince1970(year, month, day)
		if weekday >= 0 && int(d%7) != weekday {
			return moment{}, 0, false
		}
		m.seconds = d * 86400
	}
	m.seconds += int64(hour*3600 + minute*60 + second)
	return m, i, true
}

func daysIn(year, month int) int {
	switch month {
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

// daysSince1970 and civil convert between dates and day numbers (Howard
// Hinnant, "chrono-Compatible Low-Level Date Algorithms").
func daysSince1970(y, m, d int) int64 {
	if m <= 2 {
		y--
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*((m+9)%12)+2)/5 + d - 1
	return int64(era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468)
}

func civil(days int64) (y, m, d int) {
	z := int(days) + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = doy - (153*mp+2)/5 + 1
	m = mp + 3
	if m > 12 {
		m -= 12
	}
	y = yoe + era*400
	if m <= 2 {
		y++
	}
	return y, m, d
}

// valid tells whether f is a form of this package.
func (f form) valid() bool {
	if f.layout == 0 || int(f.layout) >= len(layouts) || f.digits > 10 {
		return false
	}
	return f.digits == 0 && f.separator == 0 || f.digits > 0 && (f.separator == '.' || f.separator == ',' || f.separator == ':')
}

// appendTime writes m, or fails where it cannot be written in this form.
func (f form) appendTime(b []byte, m moment) ([]byte, bool) {
	if m.seconds < 0 || m.seconds >= 230*366*86400 || m.fraction < 0 || m.fraction >= 1e10 {
		return b, false
	}
	days := m.seconds / 86400
	rest := int(m.seconds % 86400)
	year, month, day := civil(days)
	two := func(v int) { b = append(b, byte('0'+v/10%10), byte('0'+v%10)) }
	one := func(v int) {
		if v >= 10 {
			two(v)
		} else {
			b = append(b, byte('0'+v))
		}
	}
	layout := layouts[f.layout]
	for k := range len(layout) {
		switch layout[k] {
		case 'Y':
			two(year / 100)
			two(year % 100)
		case 'y':
			two(year % 100)
		case 'M':
			two(month)
		case 'D':
			two(day)
		case 'e':
			if day < 10 {
				b = append(b, ' ')
			}
			one(day)
		case 'b':
			b = append(b, monthNames[month*3-3:month*3]...)
		case 'a':
			b = append(b, dayNames[days%7*3:days%7*3+3]...)
		case 'h':
			two(rest / 3600)
		case 'm':
			two(rest / 60 % 60)
		case 's':
			two(rest % 60)
		case 'E':
			b = appendPadded(b, m.seconds, 10)
		case 'K':
			one(month)
		case 'L':
			one(day)
		case 'H':
			one(rest / 3600)
		case 'N':
			one(rest / 60 % 60)
		case 'S':
			one(rest % 60)
		default:
			b = append(b, layout[k])
		}
	}
	if f.digits > 0 {
		b = append(b, f.separator)
		width := int(f.digits)
		if f.digits == 10 {
			width = 1
		}
		b = appendPadded(b, m.fraction, width)
	}
	return b, true
}

// appendPadded writes v in at least width digits.
func appendPadded(b []byte, v int64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for v > 0 || width > 0 {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
		width--
	}
	return append(b, digits[i:]...)
}

// read parses what was recognised as of this form before.
func (f form) read(b []byte) moment {
	m, n, _ := parseLayout(b, layouts[f.layout])
	if f.digits > 0 {
		v, _ := number(b, n+1, 10)
		m.fraction = int64(v)
	}
	return m
}
