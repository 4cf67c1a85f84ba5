package mixing

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSquashAndStretch(t *testing.T) {
	for x := -MaxLogit; x <= MaxLogit; x++ {
		want := 65536 / (1 + math.Exp(-float64(x)/256))
		if got := Squash(x); math.Abs(float64(got)-want) > 1.01 {
			t.Fatalf("Squash(%d) = %d, want %.2f", x, got, want)
		}
	}
	if Squash(-1<<30) != 1 || Squash(1<<30) != 65535 {
		t.Fatal("Squash leaves [1,65535]")
	}
	for p := 16; p < 65520; p++ {
		got := Stretch(p)
		middle := float64(p&^15 + 8)
		if want := 256 * math.Log(middle/(65536-middle)); math.Abs(float64(got)-want) > 17 {
			t.Fatalf("Stretch(%d) = %d, want %.1f", p, got, want)
		}
	}
}

func TestHistories(t *testing.T) {
	if histories < 100 {
		t.Fatalf("%d histories", histories)
	}
	var h History
	for range 100 {
		h = h.Next(1)
	}
	if zeros, ones := h.Counts(); zeros != 0 || ones < 30 {
		t.Fatalf("after 100 ones: %d zeros, %d ones", zeros, ones)
	}
	h = h.Next(0)
	if zeros, ones := h.Counts(); zeros != 1 || ones > 10 {
		t.Fatalf("after 100 ones and a zero: %d zeros, %d ones", zeros, ones)
	}
	for h := range histories {
		for bit := range 2 {
			if int(History(h).Next(bit)) >= histories || History(h).Next(bit) == 0 {
				t.Fatalf("history %d leads to %d", h, History(h).Next(bit))
			}
		}
	}
}

func TestCoderGivesTheBitsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(t, "n")
		bits, ps := make([]int, n), make([]int, n)
		skew := rapid.SampledFrom([]int{1, 100, 32768, 65000, 65535}).Draw(t, "skew")
		for i := range bits {
			bits[i] = rapid.IntRange(0, 1).Draw(t, "bit")
			ps[i] = rapid.SampledFrom([]int{1, 65535, skew}).Draw(t, "p")
		}
		c := NewEncoder(nil)
		for i, bit := range bits {
			c.Code(bit, ps[i])
		}
		c.Bits(0xDEADBEEF, 32)
		coded := c.Finish()
		d := NewDecoder(coded)
		for i, bit := range bits {
			if got := d.Code(0, ps[i]); got != bit {
				t.Fatalf("bit %d is %d", i, got)
			}
		}
		if got := d.Bits(0, 32); got != 0xDEADBEEF {
			t.Fatalf("bits %x", got)
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	})
}

func TestCoderCostsTheInformation(t *testing.T) {
	for _, p := range []int{1, 655, 8192, 32768, 65535} {
		c := NewEncoder(nil)
		information, seed := 0.0, uint32(1)
		for range 200_000 {
			seed = seed*1664525 + 1013904223
			bit := 0
			if int(seed>>16) < p {
				bit = 1
			}
			c.Code(bit, p)
			if q := float64(p) / 65536; bit == 1 {
				information -= math.Log2(q)
			} else {
				information -= math.Log2(1 - q)
			}
		}
		if got := float64(len(c.Finish())); got > information/8*1.0005+3 {
			t.Errorf("p = %d: %.0f bytes, information %.1f", p, got, information/8)
		}
	}
}

func TestDecoderTellsTheEnd(t *testing.T) {
	d := NewDecoder([]byte{1, 2, 3})
	for range 100_000 {
		d.Code(0, 30000)
	}
	if d.Err() == nil {
		t.Fatal("100,000 bits of 3 bytes are not an error")
	}
}
