package equations_test

import (
	"math"
	"math/cmplx"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func TestSharesOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := time.Duration(rapid.Int64().Draw(t, "part"))
		whole := time.Duration(rapid.Int64().Draw(t, "whole"))
		cpus := rapid.IntRange(-1, 256).Draw(t, "cpus")
		for _, u := range []float64{equations.Utilisation(part, whole, cpus), equations.PressureShare(part, whole)} {
			if !(u >= 0 && u <= 1) {
				t.Fatalf("share %v", u)
			}
		}
		if r := equations.ThrottleRatio(rapid.Uint64().Draw(t, "throttled"), rapid.Uint64().Draw(t, "periods")); !(r >= 0 && r <= 1) {
			t.Fatalf("throttle ratio %v", r)
		}
	})
	near(t, "U", equations.Utilisation(time.Second, 2*time.Second, 2), 0.25, 0)
	near(t, "PSI", equations.PressureShare(time.Second, 4*time.Second), 0.25, 0)
	near(t, "throttled", equations.ThrottleRatio(3, 12), 0.25, 0)
	if got := equations.CPUQuota(1, 1, -time.Second); got != time.Millisecond {
		t.Errorf("a quota of a negative period is %v", got)
	}
	if equations.Utilisation(time.Second, 0, 1) != 0 || equations.ThrottleRatio(1, 0) != 0 {
		t.Error("a share of nothing is 0")
	}
}

func TestCPUQuota(t *testing.T) {
	for _, c := range []struct {
		share float64
		cpus  int
		want  time.Duration
	}{
		{0.2, 1, 20 * time.Millisecond},
		{0.2, 4, 80 * time.Millisecond},
		{1, 2, 200 * time.Millisecond},
		{2, 2, 200 * time.Millisecond},
		{0.1234567, 1, 12346 * time.Microsecond},
		{0, 8, time.Millisecond},
		{-1, 8, time.Millisecond},
		{math.NaN(), 8, time.Millisecond},
		{0.5, 0, 50 * time.Millisecond},
	} {
		if got := equations.CPUQuota(c.share, c.cpus, equations.QuotaPeriod); got != c.want {
			t.Errorf("Q(%v of %d CPUs) = %v, want %v", c.share, c.cpus, got, c.want)
		}
	}
	if got := equations.CPUQuota(1, math.MaxInt, math.MaxInt64); got != math.MaxInt64 {
		t.Errorf("an overflow gives %v", got)
	}
}

func TestCPUWeight(t *testing.T) {
	for _, c := range []struct {
		share, mean float64
		want        uint64
	}{
		{1, 1, 100},
		{2, 1, 200},
		{1, 3, 33},
		{1e-9, 1, 1},
		{1e9, 1, 10000},
		{0, 0, 100},
		{1, math.NaN(), 100},
		{1, math.Inf(1), 100},
		{math.NaN(), 1, 1},
		{-5, 1, 1},
		{math.Inf(1), 1, 10000},
	} {
		if got := equations.CPUWeight(c.share, c.mean); got != c.want {
			t.Errorf("weight(%v against %v) = %d, want %d", c.share, c.mean, got, c.want)
		}
	}
}

func TestEntitlementsSumToTheQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint64Range(1, 10000), 1, 200).Draw(t, "weights")
		quota := rapid.Float64Range(0, 1).Draw(t, "q")
		var all uint64
		for _, w := range weights {
			all += w
		}
		var e float64
		for _, w := range weights {
			e += equations.Entitlement(w, all, quota)
		}
		if math.Abs(e-quota) > rounding {
			t.Fatalf("Σe = %v, q = %v", e, quota)
		}
	})
	if equations.Entitlement(1, 0, 0.2) != 0 {
		t.Error("an entitlement without weights")
	}
}

func TestGovernorSettles(t *testing.T) {
	g := equations.NewGovernor(0.2)
	for _, dt := range []time.Duration{time.Second, 2 * time.Second} {
		// Workloads that want little, then all they can get; a bias stands for
		// what the box itself uses, which the quota does not bound.
		for _, bias := range []float64{0, 0.05} {
			s := g.Start()
			u := 0.02
			for range 100 {
				s = g.Step(s, u, dt)
			}
			for elapsed := time.Duration(0); elapsed <= time.Minute; elapsed += dt {
				u = s.Quota + bias // seen one sample later
				if elapsed > 10*time.Second && math.Abs(u-g.Target) > 0.01 {
					t.Fatalf("Δt %v, bias %v: U = %v after %v", dt, bias, u, elapsed)
				}
				s = g.Step(s, u, dt)
			}
		}
	}
}

func TestGovernorStepIsItsEquation(t *testing.T) {
	g := equations.Governor{Target: 0.2, Kp: 0.25, Ki: 0.5, Min: 0, Max: 1}
	s := g.Step(equations.GovernorState{Quota: 0.3, Error: -0.1}, 0.4, 500*time.Millisecond)
	near(t, "e", s.Error, -0.2, 1e-15)
	near(t, "q", s.Quota, 0.3+0.25*(-0.2+0.1)+0.5*0.5*-0.2, 1e-15)
	for _, same := range []equations.GovernorState{g.Step(s, math.NaN(), time.Second), g.Step(s, 0.5, 0)} {
		if same != s {
			t.Errorf("a step that tells nothing changed %+v to %+v", s, same)
		}
	}
	if g.Start().Quota != 0.2 {
		t.Errorf("q₀ = %v", g.Start().Quota)
	}
}

func TestGovernorStaysWithinItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := equations.NewGovernor(rapid.Float64Range(0.01, 1).Draw(t, "T"))
		s := g.Start()
		for _, u := range rapid.SliceOf(rapid.Float64()).Draw(t, "U") {
			s = g.Step(s, u, time.Duration(rapid.Int64Range(0, 1e11).Draw(t, "Δt")))
			if !(s.Quota >= g.Min && s.Quota <= g.Max) {
				t.Fatalf("q = %v", s.Quota)
			}
		}
	})
}

func TestGovernorPoles(t *testing.T) {
	g := equations.NewGovernor(0.2)
	for _, c := range []struct {
		dt     time.Duration
		z1, z2 complex128
	}{{time.Second, 0.5, -0.2}, {2 * time.Second, -0.5, 0.2}} {
		z1, z2 := g.Poles(c.dt)
		if cmplx.Abs(z1-c.z1) > rounding || cmplx.Abs(z2-c.z2) > rounding || !g.Stable(c.dt) {
			t.Errorf("Δt %v: poles %v, %v; stable %v", c.dt, z1, z2, g.Stable(c.dt))
		}
	}
	if g.Stable(3001*time.Millisecond) || g.Stable(0) {
		t.Error("stable beyond 3 s, or without time")
	}
	if (equations.Governor{Kp: math.NaN(), Ki: 1}).Stable(time.Second) {
		t.Error("NaN is stable")
	}
}

// Jury's criterion says what the roots say, and the roots are roots.
func TestStabilityIsPolesInsideTheUnitCircle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := equations.Governor{
			Kp: rapid.Float64Range(-2, 2).Draw(t, "Kp"),
			Ki: rapid.Float64Range(-1, 5).Draw(t, "Ki"),
		}
		dt := time.Duration(rapid.Int64Range(1e6, 2e9).Draw(t, "Δt"))
		z1, z2 := g.Poles(dt)
		for _, z := range []complex128{z1, z2} {
			b := complex(g.Kp+g.Ki*dt.Seconds()-1, 0)
			if r := z*z + b*z - complex(g.Kp, 0); cmplx.Abs(r) > rounding*(1+cmplx.Abs(z*z)) {
				t.Fatalf("the polynomial at its root %v is %v", z, r)
			}
		}
		radius := max(cmplx.Abs(z1), cmplx.Abs(z2))
		if math.Abs(radius-1) < rounding {
			return // on the circle, rounding decides
		}
		if stable := g.Stable(dt); stable != (radius < 1) {
			t.Fatalf("stable %v, but the poles are %v and %v", stable, z1, z2)
		}
	})
}

func TestHeadroom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0, 1)
		c, u, d := share.Draw(t, "C"), share.Draw(t, "U"), share.Draw(t, "d")
		if equations.Fits(c, u, d) && equations.Headroom(c, float64(u+d)) < 0 {
			t.Fatal("it fits and leaves less than nothing")
		}
	})
	if !equations.Fits(0.5, 0.25, 0.25) || equations.Fits(0.5, 0.25, 0.26) || equations.Fits(math.NaN(), 0, 0) || equations.Fits(1, 0, math.NaN()) {
		t.Error("fits")
	}
}

func TestMemoryHigh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Uint64Min(1).Draw(t, "max")
		high := equations.MemoryHigh(limit)
		if high >= limit || limit-high > 16<<20 {
			t.Fatalf("high %d of max %d", high, limit)
		}
	})
	for limit, want := range map[uint64]uint64{
		0:         0,
		100:       90,
		101:       90,
		64 << 20:  64<<20 - (64<<20+9)/10,
		160 << 20: 144 << 20,
		1 << 30:   1<<30 - 16<<20,
	} {
		if got := equations.MemoryHigh(limit); got != want {
			t.Errorf("high(%d) = %d, want %d", limit, got, want)
		}
	}
}

func TestDecay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dt, h := rapid.Int64Min(1).Draw(t, "Δt"), rapid.Int64Min(1).Draw(t, "h")
		if l := equations.Decay(time.Duration(dt), time.Duration(h)); !(l > 0 && l < 1) {
			t.Fatalf("λ = %v", l)
		}
	})
	near(t, "one half-life", equations.Decay(time.Minute, time.Minute), 0.5, 0)
	near(t, "three", equations.Decay(3*time.Minute, time.Minute), 0.125, 0)
	if equations.Decay(0, time.Second) != 1 || equations.Decay(time.Second, 0) != 0 {
		t.Error("the edges")
	}
}

// Between two instants with an empty queue the law is exact, whatever the order
// of service.
func TestLittlesLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stays := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]int64 {
			from := rapid.Int64Range(0, 1000).Draw(t, "from")
			return [2]int64{from, from + rapid.Int64Range(0, 500).Draw(t, "stay")}
		}), 1, 50).Draw(t, "stays")
		var end, waited, area int64
		for _, s := range stays {
			end = max(end, s[1])
			waited += s[1] - s[0]
		}
		if end == 0 {
			return
		}
		for at := range end { // milliseconds
			for _, s := range stays {
				if s[0] <= at && at < s[1] {
					area++
				}
			}
		}
		rate := float64(len(stays)) / (float64(end) / 1000)
		mean := time.Duration(waited) * time.Millisecond / time.Duration(len(stays))
		got, want := equations.LittlesLaw(rate, mean), float64(area)/float64(end)
		if math.Abs(got-want) > 1e-4*(1+want) {
			t.Fatalf("L = %v, seen %v", got, want)
		}
	})
	for _, rate := range []float64{-1, math.NaN()} {
		if l := equations.LittlesLaw(rate, time.Second); l != 0 {
			t.Errorf("L(%v) = %v", rate, l)
		}
	}
}

func TestSojournTime(t *testing.T) {
	if w, ok := equations.SojournTime(10, 8); !ok || w != 500*time.Millisecond {
		t.Errorf("W = %v, %v", w, ok)
	}
	for _, c := range [][2]float64{{1, 1}, {1, 2}, {0, 0}, {1, -1}, {math.NaN(), 1}, {1, math.NaN()}, {-1, -2}} {
		if w, ok := equations.SojournTime(c[0], c[1]); ok {
			t.Errorf("μ = %v, λ = %v: %v", c[0], c[1], w)
		}
	}
	if w, ok := equations.SojournTime(1e-300, 0); !ok || w != math.MaxInt64 {
		t.Errorf("for ever is %v, %v", w, ok)
	}
	rapid.Check(t, func(t *rapid.T) {
		mu := rapid.Float64Range(1e-3, 1e6).Draw(t, "μ")
		lambda := rapid.Float64Range(0, mu*0.999).Draw(t, "λ")
		w, ok := equations.SojournTime(mu, lambda)
		// Little's law ties L = ρ/(1−ρ) to it.
		rho := lambda / mu
		if l := equations.LittlesLaw(lambda, w); !ok || math.Abs(l-rho/(1-rho)) > 1e-3*(1+l) {
			t.Fatalf("W = %v, L = %v, ρ = %v", w, l, rho)
		}
	})
}

func TestDominantShare(t *testing.T) {
	// Ghodsi et al. §4.1: 9 CPUs, 18 GB; A asks for 1 CPU and 4 GB, B for 3 and 1.
	capacity := []float64{9, 18}
	near(t, "A", equations.DominantShare([]float64{1, 4}, capacity), 2.0/9, 1e-15)
	near(t, "B", equations.DominantShare([]float64{3, 1}, capacity), 1.0/3, 1e-15)
	for _, c := range []struct {
		demand, capacity []float64
		want             float64
	}{
		{nil, nil, 0},
		{[]float64{0, 1}, []float64{0, 2}, 0.5},
		{[]float64{1}, []float64{0}, math.Inf(1)},
		{[]float64{1}, []float64{math.NaN()}, math.Inf(1)},
		{[]float64{math.NaN(), -3}, []float64{1, 1}, 0},
		{[]float64{1, 5}, []float64{4}, 0.25},
	} {
		if got := equations.DominantShare(c.demand, c.capacity); got != c.want {
			t.Errorf("share of %v in %v = %v, want %v", c.demand, c.capacity, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SliceOfN(rapid.Float64Range(0.1, 100), 1, 5).Draw(t, "capacity")
		d := make([]float64, len(c))
		for i := range d {
			d[i] = rapid.Float64Range(0, c[i]).Draw(t, "demand")
		}
		if s := equations.DominantShare(d, c); !(s >= 0 && s <= 1) {
			t.Fatalf("share %v", s)
		}
	})
}

func TestTargetError(t *testing.T) {
	near(t, "the prototype's", equations.TargetError(0.443, 0.2), 1.215, 1e-12)
	near(t, "met", equations.TargetError(0.2, 0.2), 0, 0)
	for _, target := range []float64{0, -1, math.NaN()} {
		if e := equations.TargetError(0.1, target); !math.IsInf(e, 1) {
			t.Errorf("error against %v = %v", target, e)
		}
	}
}

func TestEnergy(t *testing.T) {
	for _, c := range []struct {
		before, after, span uint64
		want                float64
	}{
		{10, 30, 1 << 32, 20},
		{1<<32 - 5, 5, 1 << 32, 10},
		{7, 7, 1 << 32, 0},
		{math.MaxUint64, 1, 0, 2},
		{262143328840, 10, 262143328850, 20},
	} {
		if got := equations.Energy(c.before, c.after, c.span, 1); got != c.want {
			t.Errorf("ΔE(%d → %d mod %d) = %v, want %v", c.before, c.after, c.span, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 63).Draw(t, "n")
		before, used := rapid.Uint64Max(1<<n-1).Draw(t, "e₀"), rapid.Uint64Max(1<<n-1).Draw(t, "ΔE")
		after := (before + used) % (1 << n)
		if got := equations.Energy(before, after, 1<<n, 0.5); got != float64(used)*0.5 {
			t.Fatalf("ΔE = %v, want %v", got, float64(used)*0.5)
		}
	})
	if equations.Energy(1, 2, 0, math.NaN()) != 0 || equations.Energy(1, 2, 0, -1) != 0 {
		t.Error("a unit that is none")
	}
}
