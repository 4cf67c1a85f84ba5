package equations_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func TestRestartBackoffWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		initial := time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "d₀"))
		limit := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "d_max"))
		k := rapid.Int().Draw(t, "k")
		j, u := rapid.Float64Range(0, 1).Draw(t, "j"), rapid.Float64Range(0, 1).Draw(t, "u")
		d := equations.RestartBackoff(initial, limit, k, j, u)
		base := equations.RestartBackoff(initial, limit, k, 0, u)
		if float64(base) > float64(limit)*(1+rounding) || base < 0 || k >= 0 && float64(base) < float64(min(initial, limit))*(1-rounding) {
			t.Fatalf("without jitter %v", base)
		}
		if f, b := float64(d), float64(base); f < b*(1-j)-1-b*rounding || f > b*(1+j)+1+b*rounding {
			t.Fatalf("%v is not within %v of %v", d, j, base)
		}
	})
	for k, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		if got := equations.RestartBackoff(100*time.Millisecond, time.Second, k, 0, 0); got != want*time.Millisecond {
			t.Errorf("d_%d = %v", k, got)
		}
	}
	if lo, hi := equations.RestartBackoff(time.Second, time.Minute, 0, 0.2, 0), equations.RestartBackoff(time.Second, time.Minute, 0, 0.2, 1); lo != 800*time.Millisecond || hi != 1200*time.Millisecond {
		t.Errorf("jitter from %v to %v", lo, hi)
	}
	if got := equations.RestartBackoff(time.Second, math.MaxInt64, math.MaxInt, 1, 1); got != math.MaxInt64 {
		t.Errorf("an overflow gives %v", got)
	}
}

func TestUpdateAssurance(t *testing.T) {
	near(t, "p of nothing", equations.BootProbability(0, 0), 0.5, 0)
	near(t, "p", equations.BootProbability(7, 8), 0.8, 1e-15)
	near(t, "p of more good ones than boots", equations.BootProbability(9, 8), 0.9, 1e-15)
	near(t, "three tries of a half", equations.UpdateAssurance(0.5, 3), 0.875, 1e-15)
	near(t, "tiny p", equations.UpdateAssurance(1e-20, 1), 1e-20, 1e-34)
	for _, c := range []struct {
		p     float64
		tries int
		want  float64
	}{{1, 3, 1}, {0, 3, 0}, {0.5, 0, 0}, {0.5, -1, 0}, {math.NaN(), 3, 0}, {2, 1, 1}} {
		if got := equations.UpdateAssurance(c.p, c.tries); got != c.want {
			t.Errorf("P(p = %v, t = %d) = %v, want %v", c.p, c.tries, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		boots := rapid.Uint64().Draw(t, "boots")
		p := equations.BootProbability(rapid.Uint64Max(boots).Draw(t, "good"), boots)
		if !(p > 0 && p <= 1) {
			t.Fatalf("p = %v", p)
		}
		tries := rapid.IntRange(1, 100).Draw(t, "t")
		a, more := equations.UpdateAssurance(p, tries), equations.UpdateAssurance(p, tries+1)
		if !(a >= 0 && a <= 1 && more >= a) {
			t.Fatalf("P = %v, with one more try %v", a, more)
		}
	})
}

func TestPhiAccrual(t *testing.T) {
	// The normal distribution's tails: half is later than the mean, 15.8655 %
	// than one σ more, 0.134990 % than three.
	mean, sigma := 10*time.Second, time.Second
	near(t, "at the mean", equations.PhiAccrual(mean, mean, sigma), math.Log10(2), rounding)
	near(t, "at 1σ", equations.PhiAccrual(mean+sigma, mean, sigma), -math.Log10(0.158655253931), 1e-9)
	near(t, "at 3σ", equations.PhiAccrual(mean+3*sigma, mean, sigma), -math.Log10(0.00134989803163), 1e-9)
	near(t, "at 6σ", equations.PhiAccrual(mean+6*sigma, mean, sigma), 9.00586, 1e-5)
	// 20√2 σ is where the tail is taken from its series: no step there.
	edge := mean + time.Duration(20*math.Sqrt2*float64(sigma))
	near(t, "across the series", equations.PhiAccrual(edge+1000, mean, sigma), equations.PhiAccrual(edge-1000, mean, sigma), 1e-3)
	rapid.Check(t, func(t *rapid.T) {
		mean := time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "mean"))
		sigma := time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "σ"))
		elapsed := time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "elapsed"))
		more := elapsed + time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "more"))
		a, b := equations.PhiAccrual(elapsed, mean, sigma), equations.PhiAccrual(more, mean, sigma)
		if !(a >= 0) || b < a-rounding*(1+a) || math.IsInf(b, 0) {
			t.Fatalf("φ = %v, later %v", a, b)
		}
	})
	if equations.PhiAccrual(1, 2, 0) != 0 || !math.IsInf(equations.PhiAccrual(3, 2, 0), 1) {
		t.Error("without a deviation")
	}
}

func TestArrivals(t *testing.T) {
	var a equations.Arrivals
	if a.Phi(time.Hour, time.Second) != 0 {
		t.Error("suspected before it was heard of")
	}
	for i := range 300 {
		a.Add(time.Second + time.Duration(i%2)*200*time.Millisecond)
		a.Add(-time.Hour)
	}
	mean, sigma := 1100*time.Millisecond, 100*time.Millisecond
	near(t, "φ", a.Phi(1300*time.Millisecond, 0), equations.PhiAccrual(1300*time.Millisecond, mean, sigma), 1e-6)
	near(t, "φ over a floor", a.Phi(3*time.Second, time.Second), equations.PhiAccrual(3*time.Second, mean, time.Second), 1e-6)
	for range 64 { // the old ones are forgotten
		a.Add(time.Minute)
	}
	if phi := a.Phi(time.Minute, time.Second); phi > 1 {
		t.Errorf("φ = %v in a slower rhythm", phi)
	}
}

func TestRetransmissionTimer(t *testing.T) {
	var r equations.RoundTrip
	const g = 10 * time.Millisecond
	if got := equations.RetransmissionTimeout(r, g); got != time.Second { // §2.1
		t.Errorf("the first timeout is %v", got)
	}
	for _, c := range []struct{ measured, srtt, rttvar, rto time.Duration }{
		{-1, 0, 0, 1e9},
		{800e6, 800e6, 400e6, 2400e6},                     // §2.2
		{1600e6, 900e6, 500e6, 2900e6},                    // §2.3: ¾·400 + ¼·800, ⅞·800 + ⅛·1600
		{100e6, 800e6, 575e6, 3100e6},                     // ¾·500 + ¼·800, ⅞·900 + ⅛·100
		{800e6, 800e6, 431250 * time.Microsecond, 2525e6}, // ¾·575
	} {
		r.Measure(c.measured)
		if got := equations.RetransmissionTimeout(r, g); r.SRTT != c.srtt || r.RTTVAR != c.rttvar || got != c.rto {
			t.Errorf("after %v: SRTT %v, RTTVAR %v, RTO %v; want %v, %v, %v", c.measured, r.SRTT, r.RTTVAR, got, c.srtt, c.rttvar, c.rto)
		}
	}
	for range 200 {
		r.Measure(time.Second)
	}
	if got := equations.RetransmissionTimeout(r, g); got != r.SRTT+g || r.SRTT < time.Second-8 || r.SRTT > time.Second {
		t.Errorf("in steady state %v over %v: the clock's granularity is left", got, r.SRTT)
	}
	rapid.Check(t, func(t *rapid.T) {
		var r equations.RoundTrip
		for _, m := range rapid.SliceOf(rapid.Int64()).Draw(t, "R") {
			r.Measure(time.Duration(m))
			if rto := equations.RetransmissionTimeout(r, g); rto < r.SRTT || r.SRTT < 0 || r.RTTVAR < 0 {
				t.Fatalf("RTO %v of %+v", rto, r)
			}
		}
	})
}

func TestTokenBucket(t *testing.T) {
	near(t, "filling", equations.TokenBucket(1, 2, 10, 3*time.Second), 7, 0)
	near(t, "full", equations.TokenBucket(1, 2, 5, 3*time.Second), 5, 0)
	near(t, "a clock set back", equations.TokenBucket(1, 2, 5, -time.Hour), 1, 0)
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)))
		b := rapid.Float64Range(0, 1e300).Draw(t, "b")
		if n := equations.TokenBucket(f.Draw(t, "tokens"), f.Draw(t, "r"), b, time.Duration(rapid.Int64().Draw(t, "Δt"))); !(n >= 0 && n <= b) {
			t.Fatalf("%v tokens of %v", n, b)
		}
	})
}

func TestAvailability(t *testing.T) {
	near(t, "A", equations.Availability(99*time.Hour, time.Hour), 0.99, 1e-15)
	for _, c := range []struct {
		up, down time.Duration
		want     float64
	}{{0, 0, 1}, {time.Hour, 0, 1}, {0, time.Hour, 0}, {-time.Hour, time.Hour, 0}, {math.MaxInt64, math.MaxInt64, 0.5}} {
		if got := equations.Availability(c.up, c.down); got != c.want {
			t.Errorf("A(%v up, %v down) = %v, want %v", c.up, c.down, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := equations.Availability(time.Duration(rapid.Int64().Draw(t, "up")), time.Duration(rapid.Int64().Draw(t, "down")))
		if !(a >= 0 && a <= 1) {
			t.Fatalf("A = %v", a)
		}
	})
}
