package logline

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// edges are blocks that are lines in one way or another, or not at all.
var edges = []string{
	"", "\n", "\n\n", "a", "\r\n", "a\r\nb\r\n", "a\nb", "\x00", "\x00\n\x00",
	"\xff\xfe\n\xff\xfe1\n", "0\n00\n000\n", "0123\n1234\n",
	strings.Repeat("2026-11-23T07:49:16.123Z n=1\n2026-11-23T07:49:16.12Z n=01\n", 4),
	strings.Repeat("Nov 23 07:49:16 box a[12]: b 0x0f 0xff -1\n", 5) + "Feb 29 07:49:16 box a[1]: b 0x0f 0xff -1",
	"Feb 30 07:49:16 x\n24:00:00 x\n1.2.3.256 x\n01.2.3.4 x\n",
	strings.Repeat("[    0.000000] a 1.50 ms\n[12345.678901] a 0.05 ms\n[123456.678901] a 10.5 ms\n", 3),
	strings.Repeat(`{"t":1.5,"s":"a b","n":null,"h":"0123456789abcdef0123456789abcdef","u":"123e4567-e89b-12d3-a456-426614174000","e":"\"","":""}`+"\n", 3),
	"\"\\", "\"\\\"", "\"a\":", "0x", "0xg 00x1", strings.Repeat("a1", 3000) + "\n",
	strings.Repeat("1 ", 2000) + "\n" + strings.Repeat("1 ", 2000),
	"99999999999999999999 18446744073709551616 9999999999999999999\n",
}

func checkTable(t interface{ Fatalf(string, ...any) }, block []byte) {
	got, err := Split(block).Join(nil)
	if err != nil {
		t.Fatalf("join of %.200q: %v", block, err)
	}
	if !bytes.Equal(got, block) {
		n := 0
		for n < len(got) && n < len(block) && got[n] == block[n] {
			n++
		}
		t.Fatalf("at %d of %d: got %.80q, want %.80q", n, len(block), got[n:], block[n:])
	}
}

func TestTableEdges(t *testing.T) {
	for _, e := range edges {
		checkTable(t, []byte(e))
	}
}

// lines generates what looks like logs.
func lines() *rapid.Generator[[]byte] {
	word := rapid.SampledFrom([]string{
		"a", "level=INFO", "GET", "\"", "\"x y\"", ":", "{\"a\":", "}", "=", "\\", " ", "  ", "\t", "\r", "[", "]", ",", "/", "?", "0", "01", "00", "7", "-1", "+5",
		"12ms", "1.5s", "0.05", "00.5", "1.", ".5", "1.2.3.4", "10.0.0.255", "1.2.3", "0xff", "0x", "0x0F", "deadbeef01", "DEADBEEF01", "dead", "blk_12", "eth0",
		"2026-11-23T07:49:16.123456789Z", "2026-11-23 07:49:16", "23/Nov/2026:07:49:16", "Nov  3 07:49:16", "Nov 03 07:49:16", "07:49:16,5", "1699-01-01", "20261123 07:49:16",
		"[    1.000000]", "[12345.000001]", "123e4567-e89b-12d3-a456-426614174000", "0123456789abcdef0123456789abcdef", "/a/1/b2?c=3&d=4", "http://x/1", "é", "\xff", "\x00", "18446744073709551615",
	})
	return rapid.Custom(func(t *rapid.T) []byte {
		kinds := rapid.SliceOfN(rapid.SliceOfN(word, 0, 8), 1, 4).Draw(t, "templates")
		var b []byte
		for range rapid.IntRange(0, 60).Draw(t, "rows") {
			for i, w := range rapid.SampledFrom(kinds).Draw(t, "template") {
				if rapid.IntRange(0, 5).Draw(t, "other") == 0 {
					w = word.Draw(t, "word")
				}
				if i > 0 && rapid.IntRange(0, 9).Draw(t, "gap") > 0 {
					b = append(b, ' ')
				}
				b = append(b, w...)
			}
			b = append(b, '\n')
		}
		if rapid.Bool().Draw(t, "unterminated") && len(b) > 0 {
			b = b[:len(b)-1]
		}
		return b
	})
}

func TestTableLines(t *testing.T) {
	g := lines()
	rapid.Check(t, func(t *rapid.T) { checkTable(t, g.Draw(t, "block")) })
}

func TestTableBytes(t *testing.T) {
	g := rapid.SliceOf(rapid.Byte())
	rapid.Check(t, func(t *rapid.T) { checkTable(t, g.Draw(t, "block")) })
}

func TestLayouts(t *testing.T) {
	for year := 1700; year <= 2200; year++ {
		for mon := 1; mon <= 12; mon++ {
			for _, day := range []int{1, 28, monthDays(year, mon)} {
				if y, m, d := civilFromDays(daysFromCivil(year, mon, day)); y != year || m != mon || d != day {
					t.Fatalf("%d-%d-%d comes back as %d-%d-%d", year, mon, day, y, m, d)
				}
			}
		}
	}
	for i, l := range layouts {
		if !l.valid() {
			t.Errorf("layout %d: %s is not valid", i, l)
		}
		w := newTimeWriter(l)
		for _, width := range []int{0, 1, 6, 9} {
			if l.fraction() != (width > 0) {
				continue
			}
			b := w.append(nil, 951827696*int64(powers[width])+int64(powers[width]/3), width)
			ns, got, n := l.parse(b)
			again := newTimeWriter(l)
			if n != len(b) || got != width {
				t.Errorf("%s: %q is not read", l, b)
			} else if c := again.append(nil, ns/int64(powers[9-width]), width); !bytes.Equal(b, c) {
				t.Errorf("%s: %q comes back as %q", l, b, c)
			}
		}
	}
}

// logs are files to measure with, if LOGLINE_LOGS names a folder of them.
func logs(tb testing.TB) map[string][]byte {
	if os.Getenv("LOGLINE_LOGS") == "" {
		tb.Skip("LOGLINE_LOGS names no folder")
	}
	files := map[string][]byte{}
	names, _ := filepath.Glob(filepath.Join(os.Getenv("LOGLINE_LOGS"), "*.log"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	return files
}

func TestTableLogs(t *testing.T) {
	for name, b := range logs(t) {
		b = b[:min(len(b), 4<<20)]
		checkTable(t, b)
		s := Split(b)
		values := 0
		for i := range s.Columns {
			values += s.Columns[i].Len()
		}
		t.Logf("%s: %d rows, %d templates, %d columns, %d values", name, len(s.Rows), len(s.Templates), len(s.Columns), values)
	}
}
