package logline

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAddressBetween(t *testing.T) {
	address := func(a, b, c, d int) uint64 { return uint64(a)<<24 | uint64(b)<<16 | uint64(c)<<8 | uint64(d) }
	for _, c := range []struct {
		part         string
		least, most  uint64
		begins, ends bool
		want         bool
	}{
		{"203.0.113.77", address(127, 0, 0, 1), address(127, 255, 0, 0), false, false, false},
		{"203.0.113.77", address(127, 0, 0, 1), address(224, 0, 0, 0), false, false, true},
		{"3.0.113.7", address(203, 0, 113, 70), address(203, 0, 113, 79), false, false, true},
		{"3.0.113.7", address(203, 0, 113, 70), address(203, 0, 113, 79), true, false, false},
		{"3.0.113.7", address(203, 0, 113, 70), address(203, 0, 113, 79), false, true, false},
		{"10.0.", address(10, 1, 0, 0), address(11, 0, 0, 0), true, false, false},
		{"10.0.", address(10, 0, 9, 0), address(11, 0, 0, 0), true, false, true},
		{"1.2.3.4.5", 0, 1 << 32, false, false, false},
	} {
		if got := addressBetween(c.part, c.least, c.most, c.begins, c.ends); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// What is written in lines of numbers is never said not to be there.
func TestMayContainNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		span := rapid.SampledFrom([]int{9, 300, 100000, 1 << 40}).Draw(t, "span")
		number := func(name string) int { return rapid.IntRange(0, span).Draw(t, name) }
		lines := rapid.IntRange(2, 30).Draw(t, "lines")
		for range lines {
			a := number("a")
			b = fmt.Appendf(b, "[%5d.%06d] n=%d w=%07d x=%x f=%d.%02d from 10.%d.%d.%d:%d 0x%016X\n", a%100000, a%1000000, a, number("b"), number("c"), a%1000, a%100,
				a%256, a/7%256, a/3%256, number("d")%65536, number("e"))
		}
		out, ok := Encode(nil, b, Default)
		if !ok {
			return
		}
		from := rapid.IntRange(0, len(b)-2).Draw(t, "from")
		to := from
		for n := rapid.IntRange(1, 40).Draw(t, "length"); to < len(b) && b[to] != '\n' && to-from < n; to++ {
		}
		if may, err := MayContain(out, len(b), b[from:to]); err != nil || !may {
			t.Fatalf("%q is in\n%s: %v", b[from:to], b, err)
		}
	})
}

// Nor are times, or what is about them.
func TestMayContainTimes(t *testing.T) {
	layouts := []string{"2006-01-02T15:04:05.000Z", "2006/01/02 15:04:05", "Jan _2 15:04:05", "02/Jan/2006:15:04:05 +0000", "20060102 150405.000000", "15:04:05,000", "2006-01-02 15:04:05.999999999"}
	rapid.Check(t, func(t *rapid.T) {
		layout := rapid.SampledFrom(layouts).Draw(t, "layout")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC()
		var b []byte
		for range rapid.IntRange(2, 30).Draw(t, "lines") {
			at = at.Add(time.Duration(rapid.Int64Range(0, 1e14).Draw(t, "later")))
			b = fmt.Appendf(at.AppendFormat(b, layout), " [%s] begins 17.5.4\n", at.Format(layout))
		}
		out, ok := Encode(nil, b, Default)
		if !ok {
			return
		}
		from := rapid.IntRange(0, len(b)-2).Draw(t, "from")
		to := from
		for n := rapid.IntRange(1, 40).Draw(t, "length"); to < len(b) && b[to] != '\n' && to-from < n; to++ {
		}
		if may, err := MayContain(out, len(b), b[from:to]); err != nil || !may {
			t.Fatalf("%q is in\n%s: %v", b[from:to], b, err)
		}
	})
}
