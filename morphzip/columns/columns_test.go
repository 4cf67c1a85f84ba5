package columns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// records are blocks of a kind each; the same in every run.
func records(t testing.TB, kind string, size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := []byte("HEAD:")
	value, drift := int64(1<<20), int64(0)
	for i := 0; len(b) < size; i++ {
		value += r.Int64N(64)
		drift += r.Int64N(9) - 4
		switch kind {
		case "counters": // time, identity, flags, reading
			b = binary.LittleEndian.AppendUint64(b, uint64(1700000000000+int64(i)*1000+r.Int64N(20)))
			b = binary.LittleEndian.AppendUint32(b, uint32(value))
			b = append(b, byte(r.IntN(3)), 0, 7)
			b = binary.BigEndian.AppendUint16(b, uint16(20000+drift))
		case "samples": // sound, two channels
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(9000*math.Sin(float64(i)/50)+float64(r.IntN(40)))))
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(7000*math.Cos(float64(i)/80)+float64(r.IntN(40)))))
		case "table":
			b = fmt.Appendf(b, "%08d %-12s %5d\n", i*3, []string{"alpha", "beta", "gamma"}[r.IntN(3)], r.IntN(1000))
		case "wide":
			row := make([]byte, 300)
			for k := 0; k < 300; k += 4 {
				binary.BigEndian.PutUint32(row[k:], uint32(k*1000003+i*(k+1)))
			}
			b = append(b, row...)
		default:
			t.Fatal(kind)
		}
	}
	return b[:size]
}

var kinds = []string{"counters", "samples", "table", "wide"}

func saved(t testing.TB, kind string) float64 {
	block := records(t, kind, 1<<20)
	morphed, ok := Apply(nil, block)
	if !ok {
		t.Fatalf("%s: no records were seen", kind)
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	plain, with := len(e.EncodeAll(block, nil)), len(e.EncodeAll(morphed, nil))
	return 1 - float64(with)/float64(plain)
}

func TestSaves(t *testing.T) {
	for kind, least := range map[string]float64{"counters": 0.3, "samples": 0.1, "table": 0.3, "wide": 0.9} {
		got := saved(t, kind)
		if t.Logf("%s: %.1f %% saved", kind, got*100); got < least {
			t.Errorf("%s: %.1f %% are saved of what zstd makes of it", kind, got*100)
		}
	}
}

func TestLayout(t *testing.T) {
	l, ok := detect(records(t, "counters", 1<<18))
	if !ok || l.width != 17 {
		t.Fatalf("%+v, %v", l, ok)
	}
	for _, f := range l.fields { // the time's
		if f.size() > 1 && f&bigEndian == 0 && f.code() != plain {
			return
		}
	}
	t.Errorf("no numbers are seen in records from %d on: %v", l.skip, l.fields)
}

func TestApplyLeavesTheRest(t *testing.T) {
	noise := make([]byte, 1<<18)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	text := ""
	for i := range 5000 {
		text += fmt.Sprintf("a line of text with %d in it\n", i*i)
	}
	for name, block := range map[string]string{
		"nothing": "", "a byte": "x", "zeros": strings.Repeat("\x00", 1<<16), "noise": string(noise), "text": text, "a line": strings.Repeat("x y ", 1<<14),
	} {
		if out, ok := Apply([]byte{1}, []byte(block)); ok || len(out) != 1 {
			t.Errorf("%s: records were seen", name)
		}
		if bits, _ := Estimate([]byte(block)); !math.IsInf(bits, 1) {
			t.Errorf("%s: estimated at %v bits", name, bits)
		}
	}
}

func TestEstimate(t *testing.T) {
	for _, kind := range kinds {
		block := records(t, kind, 1<<20)
		bits, header := Estimate(block)
		morphed, _ := Apply(nil, block)
		coded, plain := float64(8*len(fast.EncodeAll(morphed, nil))), float64(8*len(fast.EncodeAll(block, nil)))
		if all := bits + header; all < coded*0.7 || all > plain {
			t.Errorf("%s: %.0f bits were estimated, are %.0f, and were %.0f", kind, all, coded, plain)
		}
	}
}

func drawLayout(t *rapid.T) *layout {
	l := &layout{width: rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, MaxWidth)).Draw(t, "width")}
	l.skip = rapid.IntRange(0, l.width-1).Draw(t, "skip")
	for left := l.width; left > 0; {
		f := field(rapid.IntRange(0, int(fieldBits)).Draw(t, "field"))
		if f.size() > left {
			f &^= sizeBits
		}
		l.fields = append(l.fields, f)
		left -= f.size()
	}
	return l
}

// Any layout is exact for any bytes, whether it fits them or not.
func TestRoundTripUnderAnyLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		block := rapid.SliceOfN(rapid.Byte(), l.skip, 4*MaxWidth).Draw(t, "block")
		morphed := l.apply([]byte("before"), block)
		back, err := Invert([]byte("before"), morphed[len("before"):], len(block))
		if err != nil || string(back) != "before"+string(block) {
			t.Fatalf("%+v: %x came back as %x, %v", l, block, back, err)
		}
	})
}

func checkRoundTrip(t interface{ Fatalf(string, ...any) }, block []byte) {
	morphed, ok := Apply(nil, block)
	if !ok {
		return
	}
	if back, err := Invert(nil, morphed, len(block)); err != nil || !bytes.Equal(back, block) {
		t.Fatalf("%x came back as %x, %v", block, back, err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, kind := range kinds {
		for _, size := range []int{64, 65, 1000, 4099, 20000, 70001} {
			block := records(t, kind, size)
			checkRoundTrip(t, block)
			if _, ok := Apply(nil, block); !ok && size > 4096 {
				t.Errorf("%s: no records were seen in %d bytes", kind, size)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "record")
		block := bytes.Repeat(record, rapid.IntRange(10, 60).Draw(t, "records"))
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			block[rapid.IntRange(0, len(block)-1).Draw(t, "at")]++
		}
		checkRoundTrip(t, block)
	})
}

func TestInvertRefusesDamage(t *testing.T) {
	good := (&layout{width: 3, skip: 1, fields: []field{1, 0}}).apply(nil, []byte("0123456789"))
	for name, c := range map[string]struct {
		morphed []byte
		size    int
	}{
		"nothing":            {nil, 0},
		"width 0":            {[]byte{0, 0}, 0},
		"a width too large":  {[]byte{0x81, 4, 0}, 0},
		"a skip as wide":     {[]byte{1, 1, 0}, 0},
		"a field too wide":   {[]byte{1, 0, 3}, 0},
		"no field":           {[]byte{2, 0, 0}, 0},
		"an unknown field":   {[]byte{1, 0, 32}, 0},
		"less than the skip": {[]byte{2, 1, 1}, 0},
		"too short":          {good[:len(good)-1], 10},
		"too long":           {append(bytes.Clone(good), 1), 10},
		"another size":       {good, 11},
		"a negative size":    {good, -1},
	} {
		if _, err := Invert(nil, c.morphed, c.size); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := Invert(nil, good, 10); err != nil || string(b) != "0123456789" {
		t.Errorf("%q, %v", b, err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	for _, kind := range kinds {
		f.Add(records(f, kind, 2000))
	}
	f.Fuzz(func(t *testing.T, block []byte) { checkRoundTrip(t, block) })
}

func FuzzDecode(f *testing.F) {
	for _, kind := range kinds {
		morphed, _ := Apply(nil, records(f, kind, 3000))
		f.Add(morphed, 3000)
	}
	f.Fuzz(func(t *testing.T, morphed []byte, size int) {
		b, err := Invert(nil, morphed, size)
		if err == nil && len(b) != size {
			t.Fatalf("%d bytes for %d", len(b), size)
		}
	})
}

// BenchmarkApply reports what zstd's best saves by the morph.
func BenchmarkApply(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			block := records(b, kind, 1<<20)
			b.SetBytes(int64(len(block)))
			var morphed []byte
			for b.Loop() {
				morphed, _ = Apply(morphed[:0], block)
			}
			b.StopTimer()
			b.ReportMetric(saved(b, kind)*100, "%-saved")
		})
	}
}

func BenchmarkInvert(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			morphed, _ := Apply(nil, records(b, kind, 1<<20))
			b.SetBytes(1 << 20)
			var block []byte
			for b.Loop() {
				var err error
				if block, err = Invert(block[:0], morphed, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDetectText(b *testing.B) {
	block := []byte(strings.Repeat("a line of text, and another one with 12345\nand more\n", 20000))
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, ok := detect(block); ok {
			b.Fatal("records in text")
		}
	}
}
