package filter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func build(block []byte, size int) []byte {
	var b Builder
	b.Begin(size, true)
	b.Write(block)
	return b.Append(nil)
}

func drawBlock(t *rapid.T) []byte {
	piece := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 12),
		rapid.Map(rapid.StringMatching(`[a-zA-Z]{1,9}|[0-9]{1,12}|[0-9a-f]{8}|\n|[ =.:-]|10\.0\.[0-9]{1,3}\.[0-9]`), func(s string) []byte { return []byte(s) }),
	)
	return bytes.Join(rapid.SliceOfN(piece, 0, 80).Draw(t, "pieces"), nil)
}

// What is in a block is never said not to be, however small the filter is, and
// however the block comes.
func TestContained(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := drawBlock(t)
		var b Builder
		b.Begin(1<<10, true) // to be forgotten
		b.Write([]byte("another block"))
		b.Append(nil)
		b.Begin(rapid.SampledFrom([]int{0, minSize, 40, 200, 10000}).Draw(t, "size"), rapid.Bool().Draw(t, "numbers"))
		for rest := block; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			b.Write(rest[:n])
			rest = rest[n:]
		}
		f, err := Parse(b.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if f.Lines != uint64(bytes.Count(block, newline)) {
			t.Fatalf("%d lines", f.Lines)
		}
		line := block[bytes.LastIndexByte(block, '\n')+1:]
		if !bytes.Equal(f.End, line[max(0, len(line)-MaxEnd):]) || f.Complete() != (len(line) == 0) {
			t.Fatalf("the end is %q", f.End)
		}
		for _, line := range bytes.Split(block, newline) {
			from := rapid.IntRange(0, len(line)).Draw(t, "from")
			to := rapid.IntRange(from, len(line)).Draw(t, "to")
			for _, s := range [][]byte{line, line[from:to], upper(line[from:to])} {
				if n := NewNeedle(s); !f.MayContain(n) {
					t.Fatalf("%q is not seen in %q", s, block)
				}
			}
		}
		for k := 1; k <= len(line); k++ {
			if n := NewNeedle(append(bytes.Clone(line[len(line)-k:]), '!')); !f.MayStraddle(n) {
				t.Fatalf("%q is not seen at the end of %q", n.folded, block)
			}
		}
	})
}

func upper(b []byte) []byte {
	b = bytes.Clone(b)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 0x20
		}
	}
	return b
}

// NULs are no empty place in a table.
func TestBytesAlike(t *testing.T) {
	for c := range 256 {
		for _, numbers := range []bool{false, true} {
			alike := bytes.Repeat([]byte{byte(c)}, 9)
			block := slices.Concat([]byte("before\n"), alike, []byte("\nafter, a while\n"))
			var b Builder
			b.Begin(10000, numbers)
			b.Write(block)
			f, err := Parse(b.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; c != '\n' && n <= len(alike); n++ {
				if !f.MayContain(NewNeedle(alike[:n])) {
					t.Errorf("%d times %#x is not seen, numbers %v", n, c, numbers)
				}
			}
		}
	}
}

func TestGramKinds(t *testing.T) {
	for s, want := range map[string]uint8{"....": 0, "a...": 1, "abcd": 4, "ABCD": 4, "1.....": 5, "...1..": 5, "1abcde": 10, "12....": 11, "123456": 25, "a2c4e6": 19, "12345z": 24} {
		g, ok := gramAt([]byte(s))
		if !ok || g.kind != want {
			t.Errorf("%q is of kind %d, %v; want %d", s, g.kind, ok, want)
		}
	}
	for _, s := range []string{"", "abc", "12345", "abc\nd", "1234\n6"} {
		if _, ok := gramAt([]byte(s)); ok {
			t.Errorf("%q is a gram", s)
		}
	}
	for c := range 256 {
		b := byte(c)
		digit := b|0x20 >= '0' && b|0x20 <= '9'
		g, ok := gramAt([]byte{b, '.', '.', '.'})
		if want := !digit && b != '\n'; ok != want {
			t.Errorf("%q", b)
		}
		if letter := b|0x20 >= 'a' && b|0x20 <= 'z'; ok && (g.kind == 1) != letter {
			t.Errorf("%q is of kind %d", b, g.kind)
		}
	}
}

func TestMayStraddle(t *testing.T) {
	f, err := Parse(build([]byte("first\nopen line: alpha beta gamma"), 0))
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{
		"a": false, "gamma": false, "gamma!": true, "mad": true, "a delta": true, "GAMMA!": true, "x": false, "gammb": false, "xa": false,
		"line: alpha beta gamma delta": true, "line: alpha beta gamma": false, "other: alpha beta zeta delta": false, "": false,
	} {
		if f.MayStraddle(NewNeedle([]byte(s))) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
	f, _ = Parse(build([]byte("first\n"), 0))
	if f.MayStraddle(NewNeedle([]byte("t\n"))) {
		t.Error("a line goes on behind its newline")
	}
}

func TestRuns(t *testing.T) {
	var b Builder
	b.Begin(100, true)
	b.Write([]byte("ab"))
	b.WriteRun('c', 1<<40)
	b.WriteRun('\n', 1<<39)
	b.WriteRun('9', 100000)
	f, err := Parse(b.Append(nil))
	if err != nil || f.Lines != 1<<39 || len(f.End) != MaxEnd {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, s := range []string{"abcc", "bccccccccccccccccccccccccccccccc", "999999999999999999999999999999999999"} {
		if !f.MayContain(NewNeedle([]byte(s))) {
			t.Errorf("%q is not seen", s)
		}
	}
	if f.MayContain(NewNeedle([]byte("cccccc99999"))) && f.MayContain(NewNeedle([]byte("another"))) {
		t.Error("the filter tells nothing")
	}
}

func TestParseRefusesDamage(t *testing.T) {
	for _, b := range []string{"", "\x80", "\x01", "\x01\x11", "\x01\x02a", "\x01\x00a", "\x01\x00aaaaaaaaaaaaa"} {
		if _, err := Parse([]byte(b)); err == nil {
			t.Errorf("%q was taken", b)
		}
	}
}

// logLines are lines with random numbers and identities.
func logLines(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := []string{"accepted", "connection", "closed", "timeout", "retrying", "request", "served", "cache"}
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, "2026-11-23T08:%02d:%02d.%06d %s %s id=%d addr=127.0.%d.%d:%d took=%dus\n", i/60000%60, i/1000%60, r.IntN(1e6), words[r.IntN(8)], words[r.IntN(8)],
			i, r.IntN(9), r.IntN(250), 1024+r.IntN(60000), r.IntN(5000))
	}
	return b
}

// Strings with words that logs do not have are seen to be missing even where the
// filter is too small for the numbers.
func TestSkips(t *testing.T) {
	block := logLines(1, 1<<20)
	f, err := Parse(build(block, 600))
	if err != nil {
		t.Fatal(err)
	}
	missing, needles := 0, []string{"panic: runtime error", "needle", "out of memory", "segfault at 0", "203.0.113.77 rejected", "deadbeefcafe", "xyzzy-4711", "Broken pipe"}
	for _, s := range needles {
		if !f.MayContain(NewNeedle([]byte(s))) {
			missing++
		}
	}
	if missing < len(needles)-1 {
		t.Errorf("of %d strings that are not there %d were seen to be missing", len(needles), missing)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a line\nanother 12345678 line"), 3, 9, 100)
	f.Fuzz(func(t *testing.T, block []byte, from, to, size int) {
		filter, err := Parse(build(block, size%maxTestSize))
		if err != nil {
			t.Fatal(err)
		}
		if from < 0 || to < from || to > len(block) || bytes.Contains(block[from:to], newline) {
			return
		}
		if !filter.MayContain(NewNeedle(block[from:to])) {
			t.Fatalf("%q is not seen in %q", block[from:to], block)
		}
	})
}

// maxTestSize keeps a fuzzed size small.
const maxTestSize = 1 << 16

func FuzzDecode(f *testing.F) {
	f.Add(build([]byte("a line\nanother 12345678 line"), 100), []byte("line"))
	f.Fuzz(func(t *testing.T, b, s []byte) {
		if filter, err := Parse(b); err == nil {
			n := NewNeedle(s)
			filter.MayContain(n)
			filter.MayStraddle(n)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, numbers := range []bool{false, true} {
		b.Run(fmt.Sprintf("numbers=%v", numbers), func(b *testing.B) {
			block := logLines(1, 1<<20)
			b.SetBytes(int64(len(block)))
			var builder Builder
			var out []byte
			for b.Loop() {
				builder.Begin(600, numbers)
				builder.Write(block)
				out = builder.Append(out[:0])
			}
		})
	}
}
