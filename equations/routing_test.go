package equations_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func share(t *rapid.T, name string) float64 { return rapid.Float64Range(0, 1).Draw(t, name) }

// Row 13: S lies in [0, C_n] whatever comes in, and falls as U_n rises and as
// the entropies fall.
func TestRoutingScore(t *testing.T) {
	// (0.8·0.5)²·(1−0.4)/(1+0.2), (0.9·0.7)²·(0.75−0.1)/(1+0.1)
	for _, c := range []struct{ en, ec, cn, un, t, want float64 }{
		{0.8, 0.5, 1, 0.4, 0.2, 0.08},
		{0.9, 0.7, 0.75, 0.1, 0.2, 0.23453181818181818},
		{1, 1, 1, 0.2, 0.2, 0.8},
		{1, 1, 1, 0, 0.2, 1 / 1.2},
		{1, 1, 1, 1, 0.2, 0},
		{0, 1, 1, 0, 0.2, 0},
		{1, 1, 0.5, 0.6, 0.2, 0}, // used beyond its capacity
		{1, 1, 0, 0, 0.2, 0},     // no capacity
		{1, 1, -1, 0, 0.2, 0},    // less than none
		{1, 1, 1, -3, 0.2, 0},    // used less than not at all
		{7, 1, 1, 0.2, 0.2, 0},   // more entropy than there is
		{1, 1, math.Inf(1), 0.2, 0.2, 0},
		{1, 1, 1, 0.2, -0.5, 0},
	} {
		if got := equations.RoutingScore(c.en, c.ec, c.cn, c.un, c.t); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("S(%v, %v, %v, %v, %v) = %v, want %v", c.en, c.ec, c.cn, c.un, c.t, got, c.want)
		}
	}
	for i := range 5 {
		args := [5]float64{1, 1, 1, 0, 0.2}
		args[i] = math.NaN()
		if got := equations.RoutingScore(args[0], args[1], args[2], args[3], args[4]); got != 0 {
			t.Errorf("S%v = %v, want 0", args, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		en, ec, cn, target := share(t, "E_n"), share(t, "E_c"), share(t, "C_n"), share(t, "T")
		un := rapid.Float64Range(0, cn).Draw(t, "U_n")
		s := equations.RoutingScore(en, ec, cn, un, target)
		if !(s >= 0 && s <= cn) {
			t.Fatalf("S = %v with C_n = %v", s, cn)
		}
		more := rapid.Float64Range(un, cn).Draw(t, "more use")
		if busier := equations.RoutingScore(en, ec, cn, more, target); busier > s*(1+1e-15)+1e-300 {
			t.Fatalf("S rises from %v to %v as U_n does from %v to %v", s, busier, un, more)
		}
		less := rapid.Float64Range(0, en).Draw(t, "less entropy")
		if poorer := equations.RoutingScore(less, ec, cn, un, target); poorer > s {
			t.Fatalf("S rises from %v to %v as E_n falls from %v to %v", s, poorer, en, less)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		any := rapid.Float64()
		cn := any.Draw(t, "C_n")
		s := equations.RoutingScore(any.Draw(t, "E_n"), any.Draw(t, "E_c"), cn, any.Draw(t, "U_n"), any.Draw(t, "T"))
		if !(s >= 0 && s <= max(0, min(1, cn))) {
			t.Fatalf("S = %v", s)
		}
	})
}

// Row 14: K lies in [0,1], is S/S_max for w = 1 and the room for w = 0.
func TestPriorityBlend(t *testing.T) {
	if got := equations.PriorityBlend(0.1, 0.2, 1, 0.25, 0.7); math.Abs(got-0.575) > 1e-15 {
		t.Errorf("K = %v, want 0.575", got)
	}
	for _, c := range []struct{ s, sMax, cn, un, w, want float64 }{
		{0, 0, 1, 0, 0.7, 0.3},
		{0.1, 0.1, 0, 0, 0.7, 0.7},
		{math.NaN(), 1, 1, 0, 0.5, 0.5},
		{1, math.NaN(), 1, 1, 0.5, 0},
		{1, 1, 1, 0, math.NaN(), 1},
		{0.5, math.Inf(1), 1, 0.5, 1, 0},
		{1, 0.5, 1, -1, 0.5, 1},
		{-1, 0.5, 0.5, 1, 0.5, 0},
	} {
		if got := equations.PriorityBlend(c.s, c.sMax, c.cn, c.un, c.w); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("K(%v, %v, %v, %v, %v) = %v, want %v", c.s, c.sMax, c.cn, c.un, c.w, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		any := rapid.Float64()
		if k := equations.PriorityBlend(any.Draw(t, "S"), any.Draw(t, "S_max"), any.Draw(t, "C_n"), any.Draw(t, "U_n"), any.Draw(t, "w")); !(k >= 0 && k <= 1) {
			t.Fatalf("K = %v", k)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		sMax, cn := rapid.Float64Range(1e-9, 1).Draw(t, "S_max"), rapid.Float64Range(1e-9, 1).Draw(t, "C_n")
		s, un := rapid.Float64Range(0, sMax).Draw(t, "S"), rapid.Float64Range(0, cn).Draw(t, "U_n")
		if k := equations.PriorityBlend(s, sMax, cn, un, 1); k != s/sMax {
			t.Fatalf("K = %v for w = 1, want %v", k, s/sMax)
		}
		if k := equations.PriorityBlend(s, sMax, cn, un, 0); k != 1-un/cn {
			t.Fatalf("K = %v for w = 0, want %v", k, 1-un/cn)
		}
	})
}

// Row 15: nothing is admitted at or below θ.
func TestAdmit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, theta, fits := rapid.Float64().Draw(t, "S"), rapid.Float64().Draw(t, "θ"), rapid.Bool().Draw(t, "fits")
		if got := equations.Admit(s, theta, fits); got != (fits && s > theta) {
			t.Fatalf("Admit(%v, %v, %v) = %v", s, theta, fits, got)
		}
	})
	if equations.Admit(0, 0, true) || equations.Admit(math.NaN(), 0, true) || equations.Admit(1, math.NaN(), true) {
		t.Error("admitted what is not above the threshold")
	}
}

func anyScores(t *rapid.T) []float64 {
	score := rapid.OneOf(rapid.Float64(), rapid.Float64Range(0, 1), rapid.Just(0.0), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)))
	return rapid.SliceOfN(score, 0, 50).Draw(t, "scores")
}

func hasPositive(scores []float64) bool {
	return slices.ContainsFunc(scores, func(s float64) bool { return s > 0 })
}

// Row 16: Σω = 1, or every ω is 0.
func TestTrafficWeights(t *testing.T) {
	got := equations.TrafficWeights(make([]float64, 4), []float64{0.1, 0.3, -1, math.NaN()})
	if want := []float64{0.25, 0.75, 0, 0}; !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-15 }) {
		t.Errorf("ω = %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		scores := anyScores(t)
		weights := equations.TrafficWeights(make([]float64, len(scores)), scores)
		var sum float64
		for i, w := range weights {
			if !(w >= 0 && w <= 1) || w > 0 && !(scores[i] > 0) {
				t.Fatalf("ω = %v for S = %v", w, scores[i])
			}
			sum += w
		}
		switch {
		case !hasPositive(scores) && sum != 0:
			t.Fatalf("Σω = %v without a score", sum)
		case hasPositive(scores) && math.Abs(sum-1) > 1e-12:
			t.Fatalf("Σω = %v", sum)
		}
	})
}

func identities(t *rapid.T, low int) (nodes []uint64, weights []float64) {
	nodes = rapid.SliceOfNDistinct(rapid.Uint64(), low, 12, rapid.ID).Draw(t, "nodes")
	return nodes, rapid.SliceOfN(rapid.Float64Range(0.01, 1), len(nodes), len(nodes)).Draw(t, "weights")
}

// Row 17: the choice depends on the set alone, and follows the weights.
func TestRendezvousChoice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, weights := identities(t, 1)
		key := rapid.Uint64().Draw(t, "key")
		choice := equations.RendezvousChoice(key, nodes, weights)
		order := rapid.Permutation(indexes(len(nodes))).Draw(t, "order")
		n2, w2 := make([]uint64, len(nodes)), make([]float64, len(nodes))
		for to, from := range order {
			n2[to], w2[to] = nodes[from], weights[from]
		}
		if other := n2[equations.RendezvousChoice(key, n2, w2)]; other != nodes[choice] {
			t.Fatalf("node %x, in another order %x", nodes[choice], other)
		}
		weights[choice] = 0
		if again := equations.RendezvousChoice(key, nodes, weights); again == choice {
			t.Fatal("a node without weight was chosen")
		}
	})
	if got := equations.RendezvousChoice(1, []uint64{1, 2, 3}, []float64{0, -1, math.NaN()}); got != -1 {
		t.Errorf("choice %d without any weight", got)
	}
	nodes, weights := []uint64{11, 12, 13}, []float64{0.5, 0.3, 0.2}
	const keys = 100_000
	var counts [3]float64
	for key := range uint64(keys) {
		counts[equations.RendezvousChoice(key, nodes, weights)]++
	}
	for i, n := range counts { // six standard deviations
		if tolerance := 6 * math.Sqrt(weights[i]*(1-weights[i])/keys); math.Abs(n/keys-weights[i]) > tolerance {
			t.Errorf("node %d has %v of the keys, not %v", i, n/keys, weights[i])
		}
	}
}

func indexes(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// The choices written down here hold on every processor: a node that computed
// others would send a client's connections elsewhere.
func TestRendezvousChoicesAreFixed(t *testing.T) {
	if h := equations.RendezvousHash(0, 0); math.Float64bits(h) != 0x3fe4e0dba5e9a32f {
		t.Errorf("h(0, 0) = %#x", math.Float64bits(h))
	}
	nodes, weights := []uint64{1, 2, 3, 4}, []float64{0.1, 0.2, 0.3, 0.4}
	var choices string
	for key := range uint64(40) {
		choices += fmt.Sprint(equations.RendezvousChoice(key, nodes, weights))
	}
	if choices != "2300133233233312332223123201032232321203" {
		t.Errorf("choices %s", choices)
	}
}

// Row 18: all slots are given, each share is within one slot of its weight.
func TestSlotApportionment(t *testing.T) {
	// A textbook's case of Hamilton's method.
	got := equations.SlotApportionment(make([]int, 6), []float64{47000, 16000, 15800, 12000, 6100, 3100}, 10)
	if want := []int{5, 2, 1, 1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("slots %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		scores, m := anyScores(t), rapid.IntRange(-1, 1<<20).Draw(t, "M")
		weights := equations.TrafficWeights(make([]float64, len(scores)), scores)
		slots := equations.SlotApportionment(make([]int, len(scores)), weights, m)
		sum := 0
		for i, n := range slots {
			sum += n
			if n < 0 || n > 0 && weights[i] == 0 {
				t.Fatalf("%d slots for ω = %v", n, weights[i])
			}
			if m > 0 && !(math.Abs(float64(n)/float64(m)-weights[i]) < 1/float64(m)+1e-11) {
				t.Fatalf("%d of %d slots for ω = %v", n, m, weights[i])
			}
		}
		want := max(0, m)
		if !hasPositive(scores) {
			want = 0
		}
		if sum != want {
			t.Fatalf("%d slots given of %d", sum, want)
		}
	})
}

// Row 19: no key moves between survivors of a rendezvous hash, and what moves
// is the removed node's, exactly.
func TestDisruption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, weights := identities(t, 2)
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "removed")
		const keys = 256
		var before, after [keys]uint64
		owned := 0
		for key := range uint64(keys) {
			before[key] = nodes[equations.RendezvousChoice(key, nodes, weights)]
			if before[key] == nodes[gone] {
				owned++
			}
		}
		// Every survivor's weight grows by the same factor.
		rest, left := slices.Delete(slices.Clone(nodes), gone, gone+1), slices.Delete(slices.Clone(weights), gone, gone+1)
		for key := range uint64(keys) {
			after[key] = rest[equations.RendezvousChoice(key, rest, left)]
		}
		if moved, strayed := equations.Disruption(before[:], after[:], nodes[gone]); moved != owned || strayed != 0 {
			t.Fatalf("%d moved of %d, %d strayed", moved, owned, strayed)
		}
	})
	before := []uint64{1, 2, 3, 1}
	for _, c := range []struct {
		after          []uint64
		moved, strayed int
	}{
		{[]uint64{2, 2, 3, 3}, 2, 0},
		{[]uint64{2, 3, 3, 3}, 2, 1},
		{[]uint64{1, 2, 3, 3}, 1, 1},
		{[]uint64{2, 2, 3}, 1, 1},
		{nil, 0, 4},
	} {
		if moved, strayed := equations.Disruption(before, c.after, 1); moved != c.moved || strayed != c.strayed {
			t.Errorf("%v: %d moved, %d strayed", c.after, moved, strayed)
		}
	}
}

// Rows 20 and 21 on Anscombe's first and fourth sets (all four have the same
// r), and on ranks with ties.
func TestCorrelations(t *testing.T) {
	x1 := []float64{10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5}
	y1 := []float64{8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68}
	x4 := []float64{8, 8, 8, 8, 8, 8, 8, 19, 8, 8, 8}
	y4 := []float64{6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89}
	for _, c := range []struct {
		name   string
		r      func(x, y []float64) float64
		x, y   []float64
		want   float64
		within float64
	}{
		{"Anscombe I", equations.PearsonCorrelation, x1, y1, 0.81642051634484, 1e-13},
		{"Anscombe IV", equations.PearsonCorrelation, x4, y4, 0.81652143688850, 1e-13},
		{"Anscombe I, ranks", equations.SpearmanCorrelation, x1, y1, 0.8181818181818182, 1e-15},
		{"ties", equations.SpearmanCorrelation, []float64{1, 2, 2, 3}, []float64{1, 3, 2, 4}, 0.9486832980505138, 1e-15},
		{"a rising curve", equations.SpearmanCorrelation, []float64{1, 2, 3}, []float64{1, 10, 1000}, 1, 1e-15},
		{"large", equations.PearsonCorrelation, []float64{-1e308, 0, 1e308}, []float64{1e-300, 0, -1e-300}, -1, 1e-15},
	} {
		if got := c.r(c.x, c.y); !(math.Abs(got-c.want) <= c.within) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, c := range [][2][]float64{
		{nil, nil},
		{{1}, {1}},
		{{1, 2}, {1, 2, 3}},
		{{0.1, 0.1, 0.1}, {1, 2, 3}},
		{{1, 2, 3}, {0.1, 0.1, 0.1}},
		{{1, math.NaN()}, {1, 2}},
	} {
		if r, rho := equations.PearsonCorrelation(c[0], c[1]), equations.SpearmanCorrelation(c[0], c[1]); !math.IsNaN(r) || !math.IsNaN(rho) {
			t.Errorf("%v: r = %v, ρ = %v", c, r, rho)
		}
	}
	if r := equations.PearsonCorrelation([]float64{1, math.Inf(1)}, []float64{1, 2}); !math.IsNaN(r) {
		t.Errorf("r = %v with an infinite value", r)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 30).Draw(t, "n")
		value := rapid.Float64Range(-100, 100)
		x, y := rapid.SliceOfN(value, n, n).Draw(t, "x"), rapid.SliceOfN(value, n, n).Draw(t, "y")
		r, rho := equations.PearsonCorrelation(x, y), equations.SpearmanCorrelation(x, y)
		if r < -1 || r > 1 || rho < -1 || rho > 1 {
			t.Fatalf("r = %v, ρ = %v", r, rho)
		}
		if back := equations.PearsonCorrelation(y, x); back != r && !(math.IsNaN(back) && math.IsNaN(r)) {
			t.Fatalf("r = %v, and %v the other way", r, back)
		}
		if self := equations.PearsonCorrelation(x, x); !math.IsNaN(self) && self < 1-1e-14 {
			t.Fatalf("r(x,x) = %v", self)
		}
	})
}

// Row 22: J lies in [1/n, 1], and k of n that share alike give k/n.
func TestJainFairness(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{
		{[]float64{1, 1, 1, 1}, 1},
		{[]float64{1, 0, 0, 0}, 0.25},
		{[]float64{1, 1, 0, 0}, 0.5},
		{[]float64{0, 0}, 1},
		{[]float64{1, 2, 3}, 36.0 / 42},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, 1},
		{nil, math.NaN()},
		{[]float64{1, -1}, math.NaN()},
		{[]float64{1, math.Inf(1)}, math.NaN()},
		{[]float64{1, math.NaN()}, math.NaN()},
	} {
		got := equations.JainFairness(c.x)
		if math.IsNaN(got) != math.IsNaN(c.want) || math.Abs(got-c.want) > 1e-15 {
			t.Errorf("J(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 40).Draw(t, "x")
		if j := equations.JainFairness(x); !(j >= (1-1e-12)/float64(len(x)) && j <= 1) {
			t.Fatalf("J = %v", j)
		}
	})
}

// Row 23.
func TestRoutingSuccess(t *testing.T) {
	for _, c := range []struct {
		admitted, offered uint64
		want              float64
	}{{0, 0, 1}, {19, 20, 0.95}, {0, 5, 0}, {math.MaxUint64, math.MaxUint64, 1}, {1, 0, math.Inf(1)}} {
		if got := equations.RoutingSuccess(c.admitted, c.offered); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.admitted, c.offered, got, c.want)
		}
	}
}

// Row 24: the sample size is the smallest that gives the confidence.
func TestBestOfSamples(t *testing.T) {
	if d := equations.SampleSize(0.95, 0.99); d != 90 {
		t.Errorf("d = %d, want 90", d)
	}
	if p := equations.BestOfSamples(0.95, 90); math.Abs(p-0.9901116352903) > 1e-12 {
		t.Errorf("P = %v", p)
	}
	for _, c := range []struct {
		q, c float64
		want int
	}{
		{0.5, 0.5, 1},
		{0.5, 0.75, 2},
		{0, 0.9, 1},
		{0.5, 0, 1},
		{0.5, 1, math.MaxInt},
		{1, 0.5, math.MaxInt},
		{math.NaN(), 0.5, math.MaxInt},
		{0.5, math.NaN(), math.MaxInt},
		{math.Nextafter(1, 0), 0.99, math.MaxInt},
	} {
		if got := equations.SampleSize(c.q, c.c); got != c.want {
			t.Errorf("SampleSize(%v, %v) = %d, want %d", c.q, c.c, got, c.want)
		}
	}
	for _, c := range []struct {
		q    float64
		d    int
		want float64
	}{{0.5, 0, 0}, {0.5, -1, 0}, {0, 1, 1}, {1, 9, 0}, {math.NaN(), 9, 0}, {0.5, 3, 0.875}} {
		if got := equations.BestOfSamples(c.q, c.d); got != c.want {
			t.Errorf("BestOfSamples(%v, %d) = %v, want %v", c.q, c.d, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		q, c := rapid.Float64Range(0.01, 0.9999).Draw(t, "q"), rapid.Float64Range(0.01, 0.9999).Draw(t, "c")
		d := equations.SampleSize(q, c)
		if p := equations.BestOfSamples(q, d); p < c-1e-12 {
			t.Fatalf("%d samples give %v", d, p)
		}
		if p := equations.BestOfSamples(q, d-1); d > 1 && p > c+1e-12 {
			t.Fatalf("%d samples would do, they give %v", d-1, p)
		}
	})
}

var scoreSink float64

// BenchmarkRoutingScore measures one score, which has to take at most 5 ns,
// over nodes that differ.
func BenchmarkRoutingScore(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var nodes [1024][3]float64
	for i := range nodes {
		cn := 0.5 + random.Float64()/2
		nodes[i] = [3]float64{random.Float64(), cn, cn * random.Float64()}
	}
	b.ReportAllocs()
	var sum float64
	for i := range b.N {
		n := &nodes[uint(i)%uint(len(nodes))]
		sum += equations.RoutingScore(n[0], 0.7, n[1], n[2], 0.2)
	}
	scoreSink = sum
}
