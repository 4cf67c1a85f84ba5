package equations_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func TestRepetitionCutoff(t *testing.T) {
	for _, c := range []struct {
		h, alpha float64
		want     uint64
	}{
		{2, math.Exp2(-20), 11},  // the example of NIST SP 800-90B §4.4.1
		{7.3, math.Exp2(-30), 6}, // that of its second draft
		{1, equations.HealthAlpha, 41},
		{0.5, equations.HealthAlpha, 81},
		{0, equations.HealthAlpha, 1},
		{-1, equations.HealthAlpha, 1},
		{math.NaN(), equations.HealthAlpha, 1},
		{math.Inf(1), equations.HealthAlpha, 1},
		{1, 0, 1},
		{1, 1, 1},
		{1, math.NaN(), 1},
		{math.SmallestNonzeroFloat64, equations.HealthAlpha, 1 << 53},
	} {
		if got := equations.RepetitionCutoff(c.h, c.alpha); got != c.want {
			t.Errorf("C(H = %v, α = %v) = %d, want %d", c.h, c.alpha, got, c.want)
		}
	}
}

func TestAdaptiveProportionCutoff(t *testing.T) {
	for _, c := range []struct {
		window   int
		h, alpha float64
		want     int
	}{
		// NIST SP 800-90B §4.4.2, table 2: α = 2⁻²⁰, binary and not.
		{1024, 0.2, math.Exp2(-20), 941},
		{1024, 0.4, math.Exp2(-20), 840},
		{1024, 0.6, math.Exp2(-20), 748},
		{1024, 0.8, math.Exp2(-20), 664},
		{1024, 1, math.Exp2(-20), 589},
		{512, 0.5, math.Exp2(-20), 410},
		{512, 1, math.Exp2(-20), 311},
		{512, 2, math.Exp2(-20), 177},
		{512, 4, math.Exp2(-20), 62},
		{512, 8, math.Exp2(-20), 13},
		// The kernel's crypto/jitterentropy.c for H = 1: α = 2⁻³⁰.
		{512, 1, math.Exp2(-30), 325},
		{9, 1, 0.5, 5}, // P(X > 4) = α exactly
		{1024, 0, equations.HealthAlpha, 1},
		{1024, math.NaN(), equations.HealthAlpha, 1},
		{1024, 1, 2, 1},
		{0, 1, equations.HealthAlpha, 1},
		{-5, 1, equations.HealthAlpha, 1},
		{1024, math.Inf(1), equations.HealthAlpha, 1},
		{1024, 1e-9, equations.HealthAlpha, 1025}, // cannot fail
	} {
		if got := equations.AdaptiveProportionCutoff(c.window, c.h, c.alpha); got != c.want {
			t.Errorf("C(W = %d, H = %v, α = %v) = %d, want %d", c.window, c.h, c.alpha, got, c.want)
		}
	}
}

// critbinom is exact: beside it a sum of 400-bit numbers. 2^−H is rounded before
// it gets there, so a tail that is α to ten digits is α.
func TestCriticalBinomialIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "W")
		h := rapid.Float64Range(0.01, 8).Draw(t, "H")
		exponent := rapid.IntRange(1, 60).Draw(t, "α")
		alpha := math.Exp2(-float64(exponent))
		got := equations.AdaptiveProportionCutoff(n, h, alpha) - 1

		const precision = 400
		number := func(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }
		p := number(math.Exp2(-h))
		q := new(big.Float).Sub(number(1), p)
		// tail is P(X > k) from k = n down; the answer is the smallest k with tail ≤ α.
		tail, want := number(0), 0
		for k := n; k > 0; k-- {
			term := new(big.Float).SetPrec(precision).SetInt(new(big.Int).Binomial(int64(n), int64(k)))
			for range k {
				term.Mul(term, p)
			}
			for range n - k {
				term.Mul(term, q)
			}
			tail.Add(tail, term)
			if tail.Cmp(number(alpha*(1+1e-10))) > 0 {
				want = k
				break
			}
		}
		if got != want {
			t.Fatalf("critbinom(%d, 2^-%v, 1-2^-%d) = %d, want %d", n, h, exponent, got, want)
		}
	})
}

func TestHealthTestsFindFailures(t *testing.T) {
	const h = 0.25 // half of what a middling source is assessed at
	for _, c := range []struct {
		name            string
		source          func(i int) byte
		repetition, adp bool // passes
	}{
		{"constant", func(int) byte { return 1 }, false, false},
		{"alternating", func(i int) byte { return byte(i & 1) }, true, true}, // seen by the Markov estimate alone
		{"good", random(0.5), true, true},
		{"as assessed", random(math.Exp2(-2 * h)), true, true},
		{"much worse than assessed", random(0.99), false, false},
	} {
		r := equations.NewRepetitionCount(h, equations.HealthAlpha)
		a := equations.NewAdaptiveProportion(equations.ProportionWindow, h, equations.HealthAlpha)
		rOK, aOK := true, true
		for i := range 1 << 16 {
			bit := c.source(i)
			rOK = r.Add(bit) && rOK
			aOK = a.Add(bit) && aOK
		}
		if rOK != c.repetition || rOK != (r.Longest < r.Cutoff) {
			t.Errorf("%s: repetition count passes: %v, longest run %d, cutoff %d", c.name, rOK, r.Longest, r.Cutoff)
		}
		if aOK != c.adp || aOK != (a.Largest < a.Cutoff) {
			t.Errorf("%s: adaptive proportion passes: %v, largest count %d, cutoff %d", c.name, aOK, a.Largest, a.Cutoff)
		}
	}
}

// random is a source of ones with the probability p.
func random(p float64) func(int) byte {
	r := rand.New(rand.NewPCG(1, 2))
	return func(int) byte {
		if r.Float64() < p {
			return 1
		}
		return 0
	}
}

// The running tests are beside what their definitions say of the whole sequence.
func TestHealthTestsAreTheirDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.ByteRange(0, 1), 0, 300).Draw(t, "bits")
		window := rapid.IntRange(1, 40).Draw(t, "W")
		h := rapid.Float64Range(0.2, 1).Draw(t, "H")
		r := equations.NewRepetitionCount(h, 1.0/8)
		a := equations.NewAdaptiveProportion(window, h, 1.0/8)
		for i, b := range bits {
			var run uint64
			for j := i; j >= 0 && bits[j] == b; j-- {
				run++
			}
			if ok := r.Add(b); r.Run != run || ok != (run < r.Cutoff) {
				t.Fatalf("sample %d: run %d, want %d", i, r.Run, run)
			}
			start := i / window * window
			count := 0
			for _, x := range bits[start : i+1] {
				if x == bits[start] {
					count++
				}
			}
			if ok := a.Add(b); a.Count != count || ok != (count < a.Cutoff) {
				t.Fatalf("sample %d: count %d, want %d", i, a.Count, count)
			}
		}
		if a.Cutoff > window {
			t.Fatalf("cutoff %d cannot be met in %d", a.Cutoff, window)
		}
	})
}
