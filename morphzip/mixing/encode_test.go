package mixing

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// edges are blocks that coders get wrong.
func edges() [][]byte {
	random := make([]byte, 5000)
	seed := uint32(7)
	for i := range random {
		seed = seed*1664525 + 1013904223
		random[i] = byte(seed >> 24)
	}
	return [][]byte{
		nil,
		{0},
		{255},
		make([]byte, 4096),
		bytes.Repeat([]byte{255}, 300),
		random,
		[]byte("a\r\nb\r\n\xff\xfe\x80"),
		[]byte(strings.Repeat("the quick brown fox ", 300)),
		append(bytes.Repeat([]byte("key=value\n"), 100), random...),
	}
}

func roundTrip(t interface{ Fatalf(string, ...any) }, block []byte, effort int) int {
	coded, ok := Encode([]byte("before"), block, effort)
	if !ok || !bytes.HasPrefix(coded, []byte("before")) {
		t.Fatalf("Encode: %v, %d bytes", ok, len(coded))
	}
	coded = coded[len("before"):]
	got, err := Decode([]byte("earlier"), coded, len(block))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if !bytes.Equal(got, append([]byte("earlier"), block...)) {
		t.Fatalf("%d bytes came back as %d", len(block), len(got)-7)
	}
	return len(coded)
}

func TestEncodeEdges(t *testing.T) {
	for _, block := range edges() {
		for effort := LeastEffort; effort <= MostEffort; effort++ {
			if n := roundTrip(t, block, effort); n > len(block)+len(block)/50+16 {
				t.Errorf("%d bytes became %d", len(block), n)
			}
		}
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "piece")
		times := rapid.IntRange(1, 4).Draw(t, "times")
		rest := rapid.SliceOfN(rapid.ByteRange('a', 'd'), 0, 300).Draw(t, "rest")
		roundTrip(t, append(bytes.Repeat(piece, times), rest...), rapid.IntRange(7, 8).Draw(t, "effort"))
	})
}

func TestEncodeSaves(t *testing.T) {
	text := []byte(strings.Repeat("GET /index.html HTTP/1.1 200 1234\n", 200))
	if n := roundTrip(t, text, 7); n > len(text)/50 {
		t.Errorf("%d bytes of repeated text became %d", len(text), n)
	}
	bits, _ := Estimate(text)
	if bits > float64(len(text)) {
		t.Errorf("estimate %.0f bits of %d bytes", bits, len(text))
	}
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
		coded, _ := Encode(nil, block, 7)
		f.Add(coded, len(block))
		f.Add(coded[:len(coded)/2], len(block))
	}
	f.Fuzz(func(t *testing.T, payload []byte, size int) {
		if size > 1<<14 {
			return
		}
		if got, err := Decode(nil, payload, size); err == nil && len(got) != size {
			t.Fatalf("%d bytes instead of %d", len(got), size)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	text := []byte(strings.Repeat("GET /index.html HTTP/1.1 200 1234\n", 3000))
	for i := range text {
		if i%17 == 0 {
			text[i] = byte('0' + i*i%10)
		}
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Encode(nil, text, 7)
	}
}
