package equations_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

// Rows 55, 61 and 64.
func TestShares(t *testing.T) {
	for name, share := range map[string]func(part, whole uint64) float64{
		"ρ": equations.CompressionRatio, "deduplication": equations.DeduplicationRatio, "read amplification": equations.ReadAmplification,
	} {
		for _, c := range []struct {
			part, whole uint64
			want        float64
		}{{0, 0, 1}, {1, 4, 0.25}, {4, 4, 1}, {6, 4, 1.5}, {0, 4, 0}, {1, 0, math.Inf(1)}} {
			if got := share(c.part, c.whole); got != c.want {
				t.Errorf("%s of %d and %d: %v", name, c.part, c.whole, got)
			}
		}
	}
}

// Rows 56, 57 and 62: a Huffman code, which is memoryless, is within its bound.
func TestOrderZeroBound(t *testing.T) {
	for _, c := range []struct{ h, bound, redundancy float64 }{
		{8, 1000, 0}, {0, 0, 1}, {4, 500, 0.5}, {9, 1000, 0}, {-1, 0, 1}, {math.NaN(), 0, 0},
	} {
		if got := equations.OrderZeroBound(1000, c.h); got != c.bound {
			t.Errorf("bound for H = %v: %v", c.h, got)
		}
		if got := equations.Redundancy(c.h); got != c.redundancy {
			t.Errorf("R for H = %v: %v", c.h, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Uint64Range(1, 1000), 2, 256).Draw(t, "counts")
		var h equations.Histogram
		var n uint64
		for i, c := range counts {
			h[i] = c
			n += c
		}
		entropy := equations.ShannonEntropy(h[:])
		if bound := equations.OrderZeroBound(n, entropy); float64(huffmanBits(counts))/8 < bound*(1-1e-12) {
			t.Fatalf("Huffman made %d bits, the bound is %v bytes", huffmanBits(counts), bound)
		}
		if r := equations.Redundancy(entropy); r < 0 || r > 1 {
			t.Fatalf("R = %v", r)
		}
		if d := equations.OutputDensity(&h); math.Abs(d+equations.Redundancy(entropy)-1) > 1e-12 {
			t.Fatalf("density %v, redundancy %v", d, equations.Redundancy(entropy))
		}
	})
	if d := equations.OutputDensity(new(equations.Histogram)); d != 0 {
		t.Errorf("density of nothing %v", d)
	}
}

// huffmanBits is the length of the Huffman coded text: the sum of all inner
// nodes' counts.
func huffmanBits(counts []uint64) (bits uint64) {
	queue := slices.Sorted(slices.Values(counts))
	for len(queue) > 1 {
		merged := queue[0] + queue[1]
		bits += merged
		queue = queue[2:]
		i, _ := slices.BinarySearch(queue, merged)
		queue = slices.Insert(queue, i, merged)
	}
	return bits
}

// Row 58: what is chosen is no larger than any other, the identity among them.
func TestMorphChoice(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		bits, headers []float64
		want          int
	}{
		{nil, nil, -1},
		{[]float64{100, 90}, []float64{0, 20}, 0},
		{[]float64{100, 90}, []float64{0, 10}, 0},
		{[]float64{100, 90, 70}, []float64{0, 9, 16}, 2},
		{[]float64{nan, 5}, []float64{0, 0}, 1},
		{[]float64{nan}, []float64{0}, -1},
	} {
		if got := equations.MorphChoice(c.bits, c.headers); got != c.want {
			t.Errorf("%v %v: %d", c.bits, c.headers, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "n")
		size := rapid.SliceOfN(rapid.Float64Range(0, 1e6), n, n)
		bits, headers := size.Draw(t, "bits"), size.Draw(t, "headers")
		chosen := equations.MorphChoice(bits, headers)
		for i := range bits {
			if bits[chosen]+headers[chosen] > bits[i]+headers[i] {
				t.Fatalf("%d chosen, %d is smaller", chosen, i)
			}
		}
	})
}

// Row 59.
func TestMorphGain(t *testing.T) {
	for _, c := range []struct {
		morphed, plain uint64
		want           float64
	}{{0, 0, 0}, {50, 100, 0.5}, {100, 100, 0}, {150, 100, -0.5}, {0, 100, 1}, {1, 0, math.Inf(-1)}} {
		if got := equations.MorphGain(c.morphed, c.plain); got != c.want {
			t.Errorf("G(%d, %d) = %v", c.morphed, c.plain, got)
		}
	}
}

// Row 60: the mean of chunks that are really cut so.
func TestChunkSize(t *testing.T) {
	for _, c := range []struct {
		minimum, maximum uint64
		k                int
		want             float64
	}{
		{2048, 65536, 13, 2048 + 8192*(1-math.Exp(-63488.0/8192))},
		{100, 100, 5, 100},
		{100, 50, 5, 100},
		{0, 1000, -1, 1 - math.Exp(-1000)},
		{10, 20, 2000, 20},
		{10, 20, 60, 20},
	} {
		if got := equations.ChunkSize(c.minimum, c.maximum, c.k); math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("E(%d, %d, %d) = %v, want %v", c.minimum, c.maximum, c.k, got, c.want)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	const minimum, maximum, k, chunks = 256, 2048, 10, 20_000
	var bytes uint64
	for range chunks {
		size := uint64(minimum)
		for size < maximum && random.Uint64()>>(64-k) != 0 {
			size++
		}
		bytes += size
	}
	if mean, want := float64(bytes)/chunks, equations.ChunkSize(minimum, maximum, k); math.Abs(mean/want-1) > 0.02 {
		t.Errorf("mean %v, E = %v", mean, want)
	}
}

// Row 63: the code is one to one, and the deltas invert exactly.
func TestZigzag(t *testing.T) {
	for x, want := range map[int64]uint64{0: 0, -1: 1, 1: 2, -2: 3, 2: 4, math.MaxInt64: math.MaxUint64 - 1, math.MinInt64: math.MaxUint64} {
		if got := equations.Zigzag(x); got != want || equations.Unzigzag(got) != x {
			t.Errorf("zz(%d) = %d, want %d; back %d", x, got, want, equations.Unzigzag(got))
		}
	}
	got := equations.ZigzagDelta(make([]uint64, 4), []int64{10, 12, 14, 13}, 1)
	if want := []uint64{20, 4, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("first differences %v, want %v", got, want)
	}
	got = equations.ZigzagDelta(make([]uint64, 4), []int64{10, 12, 14, 13}, 2)
	if want := []uint64{20, 15, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("second differences %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Int64()).Draw(t, "numbers")
		order := rapid.IntRange(1, 2).Draw(t, "order")
		deltas := equations.ZigzagDelta(make([]uint64, len(numbers)), numbers, order)
		if back := equations.ZigzagSum(make([]int64, len(numbers)), deltas, order); !slices.Equal(back, numbers) {
			t.Fatalf("%v came back as %v", numbers, back)
		}
	})
}
