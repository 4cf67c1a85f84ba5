package dense

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// logOf returns n lines such as a server writes.
func logOf(n int) []byte {
	var b bytes.Buffer
	seed := uint32(5)
	for i := range n {
		seed = seed*1664525 + 1013904223
		user := seed >> 29
		fmt.Fprintf(&b, "2026-11-23T08:%02d:%02d.%03dZ level=info msg=\"accepted\" user=u%d id=%d addr=10.0.0.%d:%d\n",
			i/600%60, i/10%60, i*97%1000, user, 1000+i, user+7, 30000+seed>>20)
		if seed>>28 > 11 {
			fmt.Fprintf(&b, "2026-11-23T08:%02d:%02d.%03dZ level=warn msg=\"closed\" digest=%08x%08x%08x%08x free text %x\n",
				i/600%60, i/10%60, i*97%1000, seed, seed*3, seed*5, seed*7, i%37)
		}
		if i%50 == 7 {
			fmt.Fprintf(&b, "{\"at\":%d,\"hash\":\"%064X\",\"raw\":%q}\n", i, seed, fmt.Sprintf("%032d", seed))
		}
	}
	return b.Bytes()
}

// edges are blocks that coders get wrong.
func edges() [][]byte {
	random := make([]byte, 3000)
	seed := uint32(7)
	for i := range random {
		seed = seed*1664525 + 1013904223
		random[i] = byte(seed >> 24)
	}
	log := logOf(300)
	return [][]byte{
		nil,
		{0},
		{'\n'},
		[]byte("\n\n\n"),
		[]byte("one line"),
		[]byte("a\r\nb\r\n"),
		[]byte("\xff\xfe\x80 1\n\xff\xfe\x80 2\n"),
		make([]byte, 3000),
		random,
		bytes.Repeat([]byte("x"), 30_000),
		append(bytes.Repeat([]byte("1 2 3\n"), 1000), "no newline at the end"...),
		[]byte(strings.Repeat("time 00:00:01 a=0001 b=0x1f c=-1 d=1.50\n", 300)),
		[]byte("18446744073709551615 -9223372036854775808 99999999999999999999\n18446744073709551614 0 1\n"),
		log,
		log[:len(log)-1],
		log[5 : len(log)-17],
		append(append([]byte(nil), log...), random...),
	}
}

func roundTrip(t interface{ Fatalf(string, ...any) }, block []byte, effort int) (coded []byte, ok bool) {
	coded, ok = Encode([]byte("before"), block, effort)
	if !bytes.HasPrefix(coded, []byte("before")) {
		t.Fatalf("Encode lost what was before")
	}
	if !ok {
		return nil, false
	}
	coded = coded[len("before"):]
	got, err := Decode([]byte("earlier"), coded, len(block))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if !bytes.Equal(got, append([]byte("earlier"), block...)) {
		t.Fatalf("%d bytes came back as %d", len(block), len(got)-7)
	}
	return coded, true
}

func TestEdges(t *testing.T) {
	fit := 0
	for i, block := range edges() {
		for effort := LeastEffort; effort <= MostEffort; effort++ {
			if _, ok := roundTrip(t, block, effort); ok {
				fit++
			} else if i > 0 {
				t.Logf("block %d does not fit", i)
			}
		}
	}
	if fit < 2*len(edges())*3/4 {
		t.Errorf("only %d fit", fit)
	}
}

func TestSaves(t *testing.T) {
	block := logOf(3000)
	for effort := LeastEffort; effort <= MostEffort; effort++ {
		coded, ok := roundTrip(t, block, effort)
		if !ok || len(coded)*12 > len(block) {
			t.Errorf("effort %d: %v, %d bytes became %d", effort, ok, len(block), len(coded))
		}
		again, _ := Encode(nil, block, effort)
		if !bytes.Equal(coded, again) {
			t.Errorf("effort %d: not the same twice", effort)
		}
	}
	if bits, _ := Estimate(block); bits > float64(2*len(block)) {
		t.Errorf("estimate %.0f bits of %d bytes", bits, len(block))
	}
}

// lines generates blocks of lines.
func lines() *rapid.Generator[[]byte] {
	word := rapid.OneOf(
		rapid.SampledFrom([]string{"GET", "user", "open", "0x1f", "007", "=", "[", "]", "\"q s\"", "2026-11-23 10:00:00.123", "10.1.2.3", "", "\t", "abcdef012345"}),
		rapid.StringMatching(`[0-9]{1,20}`), rapid.StringMatching(`[a-f0-9]{4,40}`), rapid.StringN(0, 8, -1))
	line := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(word, 0, 6).Draw(t, "words"), " ")
	})
	return rapid.Custom(func(t *rapid.T) []byte {
		some := rapid.SliceOfN(line, 1, 8).Draw(t, "lines")
		var b bytes.Buffer
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			b.WriteString(rapid.SampledFrom(some).Draw(t, "line"))
			if rapid.Bool().Draw(t, "number") {
				fmt.Fprint(&b, " ", rapid.Uint32().Draw(t, "u"))
			}
			b.WriteByte('\n')
		}
		b.WriteString(rapid.SampledFrom([]string{"", "end", "\r"}).Draw(t, "end"))
		return b.Bytes()
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, lines().Draw(t, "block"), 7) })
}

func TestQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 4, 40).Draw(t, "raw")
		quoted := fmt.Sprintf("%q", raw)
		var h hope
		h.reset(fmt.Appendf(nil, "%X", raw), true)
		if !h.live {
			t.Fatalf("no hope of %x", raw)
		}
		for _, b := range []byte(quoted[1 : len(quoted)-1]) {
			h.saw(b)
		}
		h.saw('\n')
		if len(h.rest) != 0 || len(h.bytes) != 0 {
			t.Fatalf("%s: %q remains", quoted, h.rest)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, block := range edges() {
		f.Add(block, 7)
	}
	f.Fuzz(func(t *testing.T, block []byte, effort int) {
		if len(block) < 1<<16 {
			roundTrip(t, block, effort)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, block := range edges() {
		if coded, ok := Encode(nil, block, 7); ok {
			f.Add(coded, len(block))
			f.Add(coded[:len(coded)/2], len(block))
			coded = bytes.Clone(coded)
			coded[len(coded)/3] ^= 16
			f.Add(coded, len(block))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, size int) {
		if size > 1<<16 {
			return
		}
		if got, err := Decode(nil, payload, size); err == nil && len(got) != size {
			t.Fatalf("%d bytes instead of %d", len(got), size)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	block := logOf(5000)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		Encode(nil, block, 7)
	}
}

func BenchmarkDecode(b *testing.B) {
	block := logOf(5000)
	coded, _ := Encode(nil, block, 7)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := Decode(nil, coded, len(block)); err != nil {
			b.Fatal(err)
		}
	}
}
