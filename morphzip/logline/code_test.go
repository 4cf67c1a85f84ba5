package logline

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
	"pgregory.net/rapid"
)

// TestDensity codes lines with random numbers: little is left to be coded.
func TestDensity(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for i := range 12000 {
		b = fmt.Appendf(b, "2026-11-23T07:%02d:%02d.%03dZ level=%s msg=\"request served\" bytes=%d from=10.0.%d.%d:%d\n", i/200, i/4%60, random.IntN(1000),
			[]string{"INFO", "INFO", "INFO", "WARN"}[random.IntN(4)], random.IntN(100000), random.IntN(4), random.IntN(256), 1024+random.IntN(60000))
	}
	out, ok := Encode(nil, b, Default)
	if !ok {
		t.Fatal("not coded")
	}
	var h equations.Histogram
	for _, c := range out {
		h[c]++
	}
	if d := equations.OutputDensity(&h); d < 0.985 {
		t.Errorf("density %.4f of %d bytes", d, len(out))
	}
	// The entropy of what is random: 10, 0.8, 16.6, 2, 8 and 15.9 bits a line.
	if least := 12000 * 533 / 80; len(out) > least+least/10 {
		t.Errorf("%d bytes, the entropy is %d", len(out), least)
	}
}

// TestDeterministic codes blocks in one order and in another, with an encoder
// that is used again and with new ones.
func TestDeterministic(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var blocks, coded [][]byte
	for n := range 6 {
		var b []byte
		for i := range 3000 + 500*n {
			b = fmt.Appendf(b, "Nov 23 07:%02d:%02d host app%d[%d]: request %x of user%d took %d.%03d ms\n", i/600, i/10%60, n, 100+random.IntN(9), random.Uint32(), random.IntN(40), random.IntN(90), random.IntN(1000))
		}
		e := new(encoder)
		blocks, coded = append(blocks, b), append(coded, e.payload(nil, Split(b), Dense))
	}
	e := new(encoder)
	for range 20 {
		n := random.IntN(len(blocks))
		if got := e.payload(nil, e.split.split(blocks[n]), Dense); !bytes.Equal(got, coded[n]) {
			t.Fatalf("block %d is coded otherwise by an encoder that was used", n)
		}
	}
}

// TestEstimate compares an estimate with what it is of.
func TestEstimate(t *testing.T) {
	var b []byte
	for i := range 20000 {
		b = fmt.Appendf(b, "2026-11-23T07:%02d:%02dZ level=INFO msg=done n=%d\n", i/600, i/10%60, i*7919%65536)
	}
	out, ok := Encode(nil, b, Default)
	bits, header := Estimate(b)
	if size := float64(len(out) * 8); !ok || bits+header < size/2 || bits+header > size*2 {
		t.Errorf("%.0f bits, %.0f estimated", size, bits+header)
	}
	if bits, _ := Estimate(bytes.Repeat([]byte{0, 1, 2, 3}, 1<<16)); !math.IsInf(bits, 1) {
		t.Errorf("binary data may be lines: %.0f bits", bits)
	}
}

func checkCode(t interface{ Fatalf(string, ...any) }, block []byte, effort int) int {
	out, ok := Encode([]byte("x"), block, effort)
	if !ok {
		if len(out) != 1 {
			t.Fatalf("%d bytes were appended", len(out)-1)
		}
		return -1
	}
	got, err := Decode([]byte("y"), out[1:], len(block))
	if err != nil {
		t.Fatalf("decode of %.200q: %v", block, err)
	}
	if !bytes.Equal(got[1:], block) {
		n := 0
		for n+1 < len(got) && n < len(block) && got[n+1] == block[n] {
			n++
		}
		t.Fatalf("at %d of %d: got %.80q, want %.80q", n, len(block), got[n+1:], block[n:])
	}
	return len(out) - 1
}

func TestCodeEdges(t *testing.T) {
	for _, e := range edges {
		checkCode(t, []byte(e), Default)
	}
}

func TestCodeLines(t *testing.T) {
	g := lines()
	rapid.Check(t, func(t *rapid.T) { checkCode(t, g.Draw(t, "block"), rapid.IntRange(Fast, Dense).Draw(t, "effort")) })
}

func TestSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.SliceOfN(rapid.Uint64(), 0, 60), rapid.SliceOfN(rapid.Uint64Range(0, 7), 0, 200),
			rapid.SliceOfN(rapid.Uint64Range(1<<63, 1<<63+100), 0, 200)).Draw(t, "v")
		e, d := new(encoder), new(decoder)
		e.series(v, nil, false)
		d.section = section{meta: e.meta, body: e.body}
		got, err := d.series(len(v), nil, false)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for i := range v {
			if got[i] != v[i] {
				t.Fatalf("value %d: %d, want %d", i, got[i], v[i])
			}
		}
	})
}

func TestCodeLogs(t *testing.T) {
	for name, b := range logs(t) {
		b = b[:min(len(b), 4<<20)]
		in, out := 0, 0
		for len(b) > 0 {
			n := min(len(b), 1<<20)
			size := checkCode(t, b[:n], Default)
			if size < 0 {
				size = n
			}
			in, out = in+n, out+size
			b = b[n:]
		}
		t.Logf("%s: %d to %d, %.4f", name, in, out, float64(out)/float64(in))
	}
}

func benchmark(b *testing.B, decode bool) {
	for name, l := range logs(b) {
		b.Run(name, func(b *testing.B) {
			block := l[:min(len(l), 1<<20)]
			out, ok := Encode(nil, block, Default)
			if !ok {
				b.Skip("not lines")
			}
			buf := make([]byte, 0, len(block))
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			var before, after syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if decode {
					if _, err := Decode(buf[:0], out, len(block)); err != nil {
						b.Fatal(err)
					}
					continue
				}
				buf, _ = Encode(buf[:0], block, Default)
			}
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			// On a busy machine the wall clock tells little.
			b.ReportMetric(float64(b.N)*float64(len(block))/1e6/time.Duration(after.Utime.Nano()-before.Utime.Nano()).Seconds(), "MB/user-s")
			b.ReportMetric(float64(len(out))/float64(len(block)), "ratio")
		})
	}
}

func BenchmarkEncode(b *testing.B) { benchmark(b, false) }
func BenchmarkDecode(b *testing.B) { benchmark(b, true) }
