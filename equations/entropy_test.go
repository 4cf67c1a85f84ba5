package equations_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) { // NaN is not near
		t.Errorf("%s = %v, want %v ± %v", what, got, want, tolerance)
	}
}

// rounding is what sums of a few thousand terms may be off by.
const rounding = 1e-9

// counts draws the histogram of an alphabet of at least one symbol.
func counts() *rapid.Generator[[]uint64] {
	count := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 1<<20), rapid.Just(uint64(math.MaxUint64)))
	return rapid.SliceOfN(count, 1, 300)
}

func total(counts []uint64) (n float64) {
	for _, c := range counts {
		n += float64(c)
	}
	return n
}

func TestKnownEntropies(t *testing.T) {
	uniform := make([]uint64, 256)
	for i := range uniform {
		uniform[i] = 1000
	}
	for _, c := range []struct {
		name   string
		counts []uint64
		want   float64
	}{
		{"nothing", nil, 0},
		{"no symbol seen", []uint64{0, 0}, 0},
		{"one symbol", []uint64{0, 7, 0}, 0},
		{"a fair coin", []uint64{5, 5}, 1},
		{"a fair die", []uint64{1, 1, 1, 1, 1, 1}, math.Log2(6)},
		{"uniform bytes", uniform, 8},
		{"halves, quarters, eighths", []uint64{4, 2, 1, 1}, 1.75},
		// Shannon 1948, figure 7: H(0.11) is one half, nearly.
		{"a biased coin", []uint64{11, 89}, 0.499916},
		{"counts that overflow an integer's sum", []uint64{math.MaxUint64, math.MaxUint64}, 1},
	} {
		near(t, c.name, equations.ShannonEntropy(c.counts), c.want, 1e-6)
	}
}

func TestEntropiesAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := counts().Draw(t, "counts")
		h := equations.ShannonEntropy(counts)
		h2 := equations.CollisionEntropy(counts)
		least := equations.MostCommonValueEntropy(counts)
		bound := math.Log2(float64(len(counts)))
		if !(h >= 0 && h <= bound) {
			t.Fatalf("H = %v is not in [0, %v]", h, bound)
		}
		if !(least >= 0 && least <= h2+rounding && h2 <= h+rounding) {
			t.Fatalf("H∞ ≤ H₂ ≤ H does not hold: %v, %v, %v", least, h2, h)
		}
		if n := equations.NormalisedEntropy(h, len(counts)); !(n >= 0 && n <= 1) {
			t.Fatalf("Ĥ = %v", n)
		}
	})
}

func TestEntropyIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := counts().Draw(t, "counts")
		shuffled := rapid.Permutation(counts).Draw(t, "shuffled")
		if a, b := equations.ShannonEntropy(counts), equations.ShannonEntropy(shuffled); math.Abs(a-b) > rounding {
			t.Fatalf("%v, in another order %v", a, b)
		}
		if a, b := equations.CollisionEntropy(counts), equations.CollisionEntropy(shuffled); math.Abs(a-b) > rounding {
			t.Fatalf("of order 2: %v, in another order %v", a, b)
		}
	})
}

func TestNormalisedEntropyAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		h        float64
		alphabet int
		want     float64
	}{
		{0, 0, 0},
		{1, 1, 0},
		{1, -3, 0},
		{8, 256, 1},
		{4, 256, 0.5},
		{9, 256, 1},
		{-1, 256, 0},
		{math.NaN(), 256, 0},
		{math.Inf(1), 2, 1},
	} {
		if got := equations.NormalisedEntropy(c.h, c.alphabet); got != c.want {
			t.Errorf("Ĥ(%v, %d) = %v, want %v", c.h, c.alphabet, got, c.want)
		}
	}
}

// The examples of NIST SP 800-90B, January 2018.
func TestEstimatesOfSP80090B(t *testing.T) {
	// §6.3.1: (0, 1, 1, 2, 0, 1, 2, 2, 0, 1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 1).
	near(t, "most common value estimate", equations.MostCommonValueEntropy([]uint64{6, 8, 6}), 0.5363, 5e-5)

	// §6.3.3.
	var s equations.BitStatistics
	for _, bit := range []byte{
		1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0,
		1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0,
	} {
		s.Add(bit)
	}
	if s.Counts != [2]uint64{19, 21} || s.Transitions != [2][2]uint64{{7, 11}, {12, 9}} || s.Samples() != 40 {
		t.Errorf("counted %+v", s)
	}
	near(t, "Markov estimate", equations.MarkovEntropy(s.Counts, s.Transitions), 0.761, 5e-4)
}

func TestMarkovEntropyOfKnownChains(t *testing.T) {
	for _, c := range []struct {
		name        string
		counts      [2]uint64
		transitions [2][2]uint64
		want        float64
	}{
		{"nothing", [2]uint64{}, [2][2]uint64{}, 0},
		{"one bit", [2]uint64{1, 0}, [2][2]uint64{}, 0},
		{"constant", [2]uint64{0, 100}, [2][2]uint64{{0, 0}, {0, 99}}, 0},
		{"alternating", [2]uint64{50, 50}, [2][2]uint64{{0, 50}, {49, 0}}, 1.0 / 128}, // the first bit alone is not known
		{"fair and memoryless", [2]uint64{500, 500}, [2][2]uint64{{250, 250}, {250, 250}}, 1},
		{"sticky", [2]uint64{500, 500}, [2][2]uint64{{375, 125}, {125, 375}}, (1 + 127*math.Log2(4.0/3)) / 128},
		{"0 then 1 for ever", [2]uint64{1, 99}, [2][2]uint64{{0, 1}, {0, 98}}, -math.Log2(0.99) / 128},
	} {
		near(t, c.name, equations.MarkovEntropy(c.counts, c.transitions), c.want, rounding)
	}
}

// The estimate is that of the six paths that the standard lists, written out
// here bit by bit; no path of 128 bits at all is less likely than the best of
// all, which a dynamic programme finds.
func TestMarkovPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s equations.BitStatistics
		bits := rapid.SliceOfN(rapid.ByteRange(0, 1), 2, 400).Draw(t, "bits")
		for _, b := range bits {
			s.Add(b)
		}
		first := func(a int) float64 { return math.Log2(float64(s.Counts[a]) / float64(len(bits))) }
		step := func(a, b int) float64 {
			if s.Transitions[a][b] == 0 {
				return math.Inf(-1)
			}
			return math.Log2(float64(s.Transitions[a][b]) / float64(s.Transitions[a][0]+s.Transitions[a][1]))
		}
		six := math.Inf(-1)
		for _, next := range []func(i, first int) int{
			func(_, first int) int { return first },
			func(i, first int) int { return first ^ i&1 },
			func(i, first int) int { return first ^ min(i, 1) },
		} {
			for a := range 2 {
				p := first(a)
				for i := 1; i < 128; i++ {
					p += step(next(i-1, a), next(i, a))
				}
				six = max(six, p)
			}
		}
		best := [2]float64{first(0), first(1)}
		for range 127 {
			best = [2]float64{
				max(best[0]+step(0, 0), best[1]+step(1, 0)),
				max(best[0]+step(0, 1), best[1]+step(1, 1)),
			}
		}
		want := min(1, -six/128)
		if math.IsInf(six, -1) { // no path is so long
			want = 0
		}
		got := equations.MarkovEntropy(s.Counts, s.Transitions)
		if !(got >= 0 && got <= 1) || math.Abs(got-want) > rounding {
			t.Fatalf("Markov estimate = %v, by the six paths %v", got, want)
		}
		if max(best[0], best[1]) < six-rounding {
			t.Fatalf("of all paths the best has 2^%v, of the six 2^%v", max(best[0], best[1]), six)
		}
	})
}

func TestNodeEntropy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mcv, markov := rapid.Float64().Draw(t, "3"), rapid.Float64().Draw(t, "5")
		e := equations.NodeEntropy(mcv, markov, true)
		if !(e >= 0 && e <= 1) || e > max(0, mcv) || e > max(0, markov) {
			t.Fatalf("E_n = %v of %v and %v", e, mcv, markov)
		}
		if equations.NodeEntropy(mcv, markov, false) != 0 {
			t.Fatal("an unhealthy source has entropy")
		}
	})
	for _, nan := range [][2]float64{{math.NaN(), 1}, {1, math.NaN()}} {
		if e := equations.NodeEntropy(nan[0], nan[1], true); e != 0 {
			t.Errorf("E_n of NaN = %v", e)
		}
	}
}

func TestContainerEntropy(t *testing.T) {
	var empty equations.Histogram
	if e := equations.ContainerEntropy(&empty); e != 0 {
		t.Errorf("an empty image has %v", e)
	}
	var h equations.Histogram
	h.Add(bytes.Repeat([]byte("0123456789abcdef"), 1<<10))
	if e := equations.ContainerEntropy(&h); e != 0.5 {
		t.Errorf("sixteen bytes alike: %v, want 1/2", e)
	}
}

func TestDivergences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := counts().Draw(t, "p")
		q := rapid.SliceOfN(rapid.Uint64Range(0, 1<<20), len(p), len(p)).Draw(t, "q")
		if d := equations.KullbackLeibler(p, q); !(d >= 0) {
			t.Fatalf("D = %v", d)
		}
		js := equations.JensenShannon(p, q)
		if !(js >= 0 && js <= 1) {
			t.Fatalf("JS = %v", js)
		}
		if back := equations.JensenShannon(q, p); math.Abs(js-back) > rounding {
			t.Fatalf("JS = %v, the other way %v", js, back)
		}
		if d, js := equations.KullbackLeibler(p, p), equations.JensenShannon(p, p); d > rounding || js > rounding {
			t.Fatalf("of a distribution from itself: %v, %v", d, js)
		}
		if total(p) == 0 || total(q) == 0 {
			return
		}
		// By the definition: D of each from their mixture.
		np, nq := total(p), total(q)
		var half float64
		for i := range p {
			a, b := float64(p[i])/np, float64(q[i])/nq
			for _, x := range []float64{a, b} {
				if x > 0 {
					half += x * math.Log2(2*x/(a+b)) / 2
				}
			}
		}
		if math.Abs(js-half) > rounding {
			t.Fatalf("JS = %v, by definition %v", js, half)
		}
	})
}

func TestKnownDivergences(t *testing.T) {
	// Cover and Thomas, Elements of Information Theory, example 2.3.1: r = 1/2, s = 1/4.
	p, q := []uint64{1, 1}, []uint64{3, 1}
	near(t, "D(P‖Q)", equations.KullbackLeibler(p, q), 0.2075, 5e-5)
	near(t, "D(Q‖P)", equations.KullbackLeibler(q, p), 0.1887, 5e-5)
	near(t, "JS of what shares nothing", equations.JensenShannon([]uint64{1, 0}, []uint64{0, 5}), 1, 0)
	if d := equations.KullbackLeibler([]uint64{1, 1}, []uint64{1, 0}); !math.IsInf(d, 1) {
		t.Errorf("D where Q lacks a symbol = %v", d)
	}
	if d := equations.KullbackLeibler([]uint64{1}, []uint64{1, 2}); !math.IsNaN(d) {
		t.Errorf("D of two alphabets = %v", d)
	}
	if d := equations.JensenShannon([]uint64{1}, nil); !math.IsNaN(d) {
		t.Errorf("JS of two alphabets = %v", d)
	}
	if d, js := equations.KullbackLeibler([]uint64{0}, []uint64{1}), equations.JensenShannon([]uint64{0}, []uint64{1}); d != 0 || js != 0 {
		t.Errorf("from nothing: %v, %v", d, js)
	}
}

func TestSmoothStaysBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, latest := rapid.Float64Range(-1e300, 1e300).Draw(t, "old"), rapid.Float64Range(-1e300, 1e300).Draw(t, "new")
		lambda := rapid.Float64Range(-1, 2).Draw(t, "λ")
		s := equations.Smooth(old, latest, lambda)
		if !(s >= min(old, latest) && s <= max(old, latest)) {
			t.Fatalf("%v is not between %v and %v", s, old, latest)
		}
		if equations.Smooth(old, latest, 1) != old || equations.Smooth(old, latest, 0) != latest {
			t.Fatal("λ = 1 keeps the old value, λ = 0 takes the new")
		}
	})
	near(t, "a quarter of the way", equations.Smooth(0, 1, 0.75), 0.25, 0)
	if s := equations.Smooth(math.NaN(), 1, 0.5); !math.IsNaN(s) {
		t.Errorf("NaN became %v", s)
	}
}

func TestHistogramCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(1010, 1040), rapid.IntRange(0, 20000)).Draw(t, "size")
		p := make([]byte, size)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		skew := rapid.IntRange(0, 3).Draw(t, "skew")
		for i := range p {
			p[i] = byte(random.Uint32()) >> (2 * skew)
		}
		var want equations.Histogram
		for _, b := range p {
			want[b]++
		}
		var got, front, back equations.Histogram
		got.Add(p)
		cut := rapid.IntRange(0, size).Draw(t, "cut")
		front.Add(p[:cut])
		back.Add(p[cut:])
		front.Merge(&back)
		if got != want || front != want {
			t.Fatal("counted otherwise than one by one")
		}
		if got.Total() != uint64(size) {
			t.Fatalf("total %d of %d", got.Total(), size)
		}
	})
}

func TestEntropyAllocatesNothing(t *testing.T) {
	p := make([]byte, 1<<16)
	var h equations.Histogram
	var e float64
	if n := testing.AllocsPerRun(10, func() {
		h.Add(p)
		h.Add(p[:10])
		e += equations.ContainerEntropy(&h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink float64

// BenchmarkShannonEntropy is the entropy of a stream of bytes, counted and
// computed, beside counting them one by one.
func BenchmarkShannonEntropy(b *testing.B) {
	random := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(random)
	text := bytes.Repeat([]byte("a box that keeps a ledger of what it ran; "), len(random)/42)
	for _, c := range []struct {
		name string
		data []byte
	}{{"random", random}, {"text", text}, {"zeros", make([]byte, 1<<20)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				var h equations.Histogram
				h.Add(c.data)
				sink = equations.ShannonEntropy(h[:])
			}
		})
		b.Run(c.name+"/one by one", func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				var h equations.Histogram
				for _, x := range c.data {
					h[x]++
				}
				sink = equations.ShannonEntropy(h[:])
			}
		})
	}
}

func BenchmarkHistogramAddSmall(b *testing.B) {
	p := make([]byte, 512)
	var h equations.Histogram
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		h.Add(p)
	}
}
