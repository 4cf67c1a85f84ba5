package densest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func check(t interface{ Fatalf(string, ...any) }, block []byte) int {
	z, ok := Encode([]byte("head"), block)
	if !ok {
		t.Fatalf("%d bytes not coded", len(block))
	}
	back, err := Decode([]byte("dst"), z[4:], len(block))
	if err != nil || string(back[:3]) != "dst" || !bytes.Equal(back[3:], block) {
		t.Fatalf("%d bytes came back as %d, %v", len(block), len(back)-3, err)
	}
	return len(z) - 4
}

func logLines(rows int) string {
	var b strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	users := []string{"root", "admin", "guest", "oracle"}
	for i := range rows {
		s := i * 3
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "2031-02-03 %02d:%02d:%02d,%03d INFO [main] accepted user %s from 10.0.%d.%d port %d\n", s/3600%24, s/60%60, s%60, r.IntN(1000), users[r.IntN(4)], r.IntN(3), r.IntN(200), 1024+r.IntN(60000))
		case 1:
			fmt.Fprintf(&b, "2031-02-03 %02d:%02d:%02d,%03d WARN [worker-%d] slow request id=%08x took %d ms\n", s/3600%24, s/60%60, s%60, r.IntN(1000), r.IntN(8), r.Uint32(), r.IntN(5000))
		case 2:
			fmt.Fprintf(&b, "{\"time\":%d,\"level\":\"info\",\"n\":%d,\"msg\":\"block %d committed\"}\r\n", 1900000000+s, i, i*7)
		default:
			fmt.Fprintf(&b, "Feb %2d %02d:%02d:%02d host daemon[%d]: started\n", 1+i%28, s/3600%24, s/60%60, s%60, 300+i)
		}
	}
	return b.String()
}

// TestRoundTripEdges has what is apt to break a splitter of lines.
func TestRoundTripEdges(t *testing.T) {
	lines := logLines(40)
	for name, s := range map[string]string{
		"one byte":           "x",
		"newline":            "\n",
		"newlines":           strings.Repeat("\n", 100),
		"one letter lines":   strings.Repeat("a\n", 300),
		"lines":              lines,
		"no final newline":   strings.TrimRight(lines, "\n"),
		"CRLF":               strings.ReplaceAll(lines, "\n", "\r\n"),
		"invalid UTF-8":      strings.ReplaceAll(lines, "o", "\xff\xc0"),
		"NULs":               strings.ReplaceAll(lines, "e", "\x00"),
		"late NULs":          logLines(700) + strings.ReplaceAll(lines, "e", "\x00"),
		"marks":              lines + strings.Repeat("\x00\x01\x02\x03\x04\n", 20),
		"one huge line":      strings.Repeat("word ", 4000),
		"huge line last":     lines + strings.Repeat("z", 17000),
		"times only":         strings.Repeat("12:34:56\n2031-02-03\n1900000000\nFeb 29 00:00:00\n20310203-1:2:3:4\n20310203-1:2:3:004\n", 30),
		"times side by side": strings.Repeat("12:34:56-2031-02-03/12:34:56.789:2031-02-03T01:02:03.4567891\n12:34:56-2031-02-03/12:34:57.000:2031-02-04T01:02:03.4567891\n", 30),
		"false times":        strings.Repeat("2031-02-30 25:61:61\n9999999999\n0000000000\n31/Dec/1969:00:00:00\n99999999999\n", 30),
		"old times":          strings.Repeat("1970-01-01 00:00:00\n2199-12-31 23:59:59\n1970-01-01 00:00:00,001\n", 30),
		"delimiters":         strings.Repeat("=,;()[]{}<>|\"' \t\n", 50),
		"numbers":            strings.Repeat("999999999999999999 18446744073709551616 007 -1\n1 2 3 4\n2 4 6 8\n", 50),
	} {
		t.Run(name, func(t *testing.T) { check(t, []byte(s)) })
	}
	if _, ok := Encode(nil, nil); ok {
		t.Error("nothing was coded")
	}
}

// TestLinesAreSmaller shows that lines go the lines' way, and what it is for.
func TestLinesAreSmaller(t *testing.T) {
	block := []byte(logLines(500))
	z, _ := Encode(nil, block)
	if z[0] != modeLines {
		t.Fatal("lines were coded as plain bytes")
	}
	if plain := encodePlain(nil, block); len(z)*10 > len(plain)*9 {
		t.Errorf("%d bytes by lines, %d as plain bytes", len(z), len(plain))
	}
}

func TestRoundTripRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 5000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if n := check(t, b); n > len(b)+len(b)/50 {
		t.Errorf("%d random bytes became %d", len(b), n)
	}
}

func TestRoundTripProperty(t *testing.T) {
	word := rapid.OneOf(
		rapid.SampledFrom([]string{"GET", "a=", "id", "10.0.0.1", "2031-02-03 04:05:06", "0x1f", " ", "[", "]", "\r", "\x00", "\n", "\n", "é", ":", "04:05:06.789", "1900000001"}),
		rapid.StringMatching(`[a-z0-9./:-]{1,6}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 4), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(word, 1, 25).Draw(t, "words")
		again := rapid.IntRange(1, 3).Draw(t, "again")
		if s := strings.Repeat(strings.Join(words, ""), again); s != "" {
			check(t, []byte(s))
		}
	})
}

// TestDecodeDamaged shows that damage never panics, and gives errors or bytes
// of the promised number.
func TestDecodeDamaged(t *testing.T) {
	block := []byte(logLines(15))
	for _, z := range [][]byte{encodePlain(nil, block), must(Encode(nil, block))} {
		r := rand.New(rand.NewPCG(5, 6))
		for range 40 {
			bad := bytes.Clone(z)
			if r.IntN(4) == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				for range 1 + r.IntN(3) {
					bad[r.IntN(len(bad))] ^= byte(1 << r.IntN(8))
				}
			}
			if out, err := Decode(nil, bad, len(block)); err == nil && len(out) != len(block) {
				t.Fatalf("%d bytes of %d without an error", len(out), len(block))
			}
		}
	}
	for _, size := range []int{-1, 0, MaxSize + 1} {
		if _, err := Decode(nil, []byte{modePlain, 1, 2}, size); err == nil {
			t.Errorf("size %d was believed", size)
		}
	}
}

func must(z []byte, ok bool) []byte {
	if !ok {
		panic("not coded")
	}
	return z
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(logLines(12)))
	f.Add([]byte("\x00\n\xff\r\n12:34:56"))
	f.Fuzz(func(t *testing.T, block []byte) {
		if len(block) > 0 && len(block) < 1<<16 {
			check(t, block)
		}
	})
}

func FuzzDecode(f *testing.F) {
	block := []byte(logLines(12))
	f.Add(must(Encode(nil, block)), len(block))
	f.Add(encodePlain(nil, block), len(block))
	f.Add([]byte{modeLines, 255, 255, 3}, 1000)
	f.Fuzz(func(t *testing.T, payload []byte, size int) {
		size &= 1<<14 - 1
		if out, err := Decode(nil, payload, size); err == nil && len(out) != size {
			t.Fatalf("%d bytes of %d", len(out), size)
		}
	})
}
