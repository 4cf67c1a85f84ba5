package x86

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// code makes bytes in which calls, jumps and operands are frequent.
func code(t *rapid.T) []byte {
	piece := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 12),
		rapid.SampledFrom([][]byte{
			{0xe8},
			{0xe9},
			{0x0f, 0x84},
			{0x0f, 0x8f},
			{0x48, 0x8d, 0x05},
			{0x4c, 0x8b, 0x3d},
			{0x83, 0x3d},
			{0x80, 0x3d},
			{0x0f, 0xb6, 0x05},
			{0x8b, 0x0d},
			{0x89, 0xe8},
			{0xff},
			{0, 0},
			{0xff, 0xff},
			{0x10, 0x20, 0x30, 0},
			{0x10, 0x20, 0xf0, 0xff},
		}),
	)
	return bytes.Join(rapid.SliceOfN(piece, 0, 60).Draw(t, "pieces"), nil)
}

func checkRoundTrip(t interface{ Fatalf(string, ...any) }, block []byte) {
	prefix := []byte("before")
	morphed := apply(prefix, block)
	if !bytes.HasPrefix(morphed, prefix) || len(morphed) != len(prefix)+len(block) {
		t.Fatalf("%d bytes became %d", len(block), len(morphed)-len(prefix))
	}
	back, err := Invert(prefix, morphed[len(prefix):], len(block))
	if err != nil || !bytes.Equal(back[len(prefix):], block) {
		t.Fatalf("%x became %x and came back as %x, %v", block, morphed[len(prefix):], back[len(prefix):], err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRoundTrip(t, code(t)) })
}

// The morph is one to one the other way round too: any bytes are some block's.
func TestInvertIsABijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		morphed := code(t)
		block, err := Invert(nil, morphed, len(morphed))
		if err != nil || !bytes.Equal(apply(nil, block), morphed) {
			t.Fatalf("%x is the morphed %x, which becomes %x: %v", morphed, block, apply(nil, block), err)
		}
	})
}

func TestInvertChecksTheSize(t *testing.T) {
	for _, size := range []int{-1, 0, 2, 4, 1 << 40} {
		if _, err := Invert(nil, []byte{1, 2, 3}, size); err == nil {
			t.Errorf("3 bytes were taken for %d", size)
		}
	}
}

func TestTargetsAreTheSameWhereverCalledFrom(t *testing.T) {
	block := make([]byte, 64)
	call := func(at, target int) {
		d := uint32(target - (at + 5))
		copy(block[at:], []byte{0xe8, byte(d), byte(d >> 8), byte(d >> 16), byte(d >> 24)})
	}
	call(4, 40)
	call(50, 40)
	m := apply(nil, block)
	if want := []byte{0xe8, 0, 0, 40, 0}; !bytes.Equal(m[4:9], want) || !bytes.Equal(m[50:55], want) {
		t.Errorf("calls of 40 became %x and %x, not %x", m[4:9], m[50:55], want)
	}
}

func TestApplyTellsCode(t *testing.T) {
	noise := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(noise)
	text := bytes.Repeat([]byte("2026-01-02 03:04:05 a line of a log\n"), 10000)
	for name, block := range map[string][]byte{"nothing": nil, "a byte": {0xe8}, "noise": noise, "text": text, "zeros": make([]byte, 1<<16), "E8s": bytes.Repeat([]byte{0xe8}, 1<<16)} {
		if out, ok := Apply([]byte{1}, block); ok || len(out) != 1 {
			t.Errorf("%s: taken for code", name)
		}
		if bits, header := Estimate(block); !math.IsInf(bits, 1) || header != 0 {
			t.Errorf("%s: estimated at %v + %v bits", name, bits, header)
		}
	}
	block := executable(t)
	if _, ok := Apply(nil, block); runtime.GOARCH == "amd64" && !ok {
		t.Error("this test's own code is not taken for code")
	}
}

// executable is a mebibyte of this test's own code.
func executable(t testing.TB) []byte {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 2<<20 {
		t.Fatalf("%s: %d bytes, %v", path, len(b), err)
	}
	return b[256<<10:][:1<<20]
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0xe8, 1, 2, 3, 0xff, 0xe9, 0, 0, 0, 0})
	f.Add([]byte{0x0f, 0x84, 0xe8, 0xe8, 0xff, 0xff, 0x48, 0x8d, 0x05, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, block []byte) { checkRoundTrip(t, block) })
}

// FuzzDecode: any bytes are a block's, morphed, and that block's only.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0xe8, 0, 0, 0, 0, 0x83, 0x3d, 1, 2, 3, 0, 9}, 12)
	f.Fuzz(func(t *testing.T, morphed []byte, size int) {
		block, err := Invert(nil, morphed, size)
		if err == nil && !bytes.Equal(apply(nil, block), morphed) {
			t.Fatalf("%x came from %x", morphed, block)
		}
	})
}

// BenchmarkApply reports what zstd's best saves by the morph, of a mebibyte of
// this program.
func BenchmarkApply(b *testing.B) {
	block := executable(b)
	var morphed []byte
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		morphed = apply(morphed[:0], block)
	}
	b.StopTimer()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		b.Fatal(err)
	}
	plain, with := len(e.EncodeAll(block, nil)), len(e.EncodeAll(morphed, nil))
	b.ReportMetric(float64(plain-with)/float64(plain)*100, "%-saved")
}

func BenchmarkInvert(b *testing.B) {
	morphed := apply(nil, executable(b))
	var block []byte
	b.SetBytes(int64(len(morphed)))
	for b.Loop() {
		var err error
		if block, err = Invert(block[:0], morphed, len(morphed)); err != nil {
			b.Fatal(err)
		}
	}
}
