package equations

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Placement has to come out the same on every processor, since it runs inside
// a replicated state machine. Go may fuse x*y + z into one rounding where the
// processor can; an explicit conversion, float64(x*y), forbids it. Every
// product below that meets a sum has one, and no logarithm is the math
// package's, whose last bit differs between architectures.

// RoutingScore returns equation 13, the routing score of a node for a replica,
//
//	S = (E_n·E_c)²·(C_n − U_n) / (1 + │U_n − T│)
//
// from the node's entropy en, the container's entropy ec, the node's capacity
// cn and usage un as shares of the largest node's CPU, and the resource target
// t. All are in [0,1], and so is S: S ≤ C_n, and S falls as U_n rises.
//
// S is 0, which is never admitted, when an argument is out of its range or
// NaN, when the node has no capacity, and when it is used beyond it.
func RoutingScore(en, ec, cn, un, t float64) float64 {
	// It is written so that the compiler puts it in its caller's place; the
	// conversions forbid fusing with a product that the caller made there.
	if en >= 0 && en <= 1 && ec >= 0 && ec <= 1 && un >= 0 && un <= cn && cn <= 1 && t >= 0 && t <= 1 {
		en *= ec
		un = float64(un)
		return en * en * (float64(cn) - un) / (1 + math.Abs(un-float64(t)))
	}
	return 0
}

// PriorityBlend returns equation 14, the rank of a candidate,
//
//	K = w·S/S_max + (1−w)·(1 − U_n/C_n), in [0,1]
//
// where sMax is the largest score among the candidates and w, in [0,1], is the
// entropy's priority weight. The first term is 0 where no candidate scores
// (S_max ≤ 0), the second where the node has no capacity; each is brought into
// [0,1] first, NaN counting as 0.
func PriorityBlend(s, sMax, cn, un, w float64) float64 {
	var score, room float64
	if sMax > 0 {
		score = clamp01(s / sMax)
	}
	if cn > 0 {
		room = clamp01(float64(1 - float64(un/cn)))
	}
	w = clamp01(w)
	return min(1, float64(w*score)+float64(float64(1-w)*room))
}

// Admit returns equation 15, admission: a replica is admitted to a node if and
// only if its score there lies above the threshold θ and the replica fits;
// otherwise it waits. NaN is not above anything.
func Admit(s, threshold float64, fits bool) bool { return fits && s > threshold }

// TrafficWeights puts equation 16,
//
//	ωᵢ = Sᵢ/ΣSⱼ
//
// for each of the scores into weights, which must be as long (it panics
// otherwise), and returns it; the two may be the same slice. The weights add
// up to 1, save for rounding, unless no score is above 0: then all are 0.
// Negative scores and NaN count as 0, infinity as the largest number.
func TrafficWeights(weights, scores []float64) []float64 {
	if len(weights) != len(scores) {
		panic("equations: as many weights as scores")
	}
	var largest, sum float64
	for i, s := range scores {
		if !(s > 0) {
			s = 0
		}
		weights[i] = min(s, math.MaxFloat64)
		largest = max(largest, weights[i])
	}
	if largest == 0 {
		return weights
	}
	for i := range weights { // so that the sum cannot overflow
		weights[i] /= largest
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// RendezvousChoice returns equation 17, weighted rendezvous hashing (Thaler
// and Ravishankar 1998; Schindelhauer and Schomaker 2005): the i of
//
//	argmax −ωᵢ / ln h(key, i)
//
// where h(key, i) in (0,1) hashes the key with the node's identity nodes[i]
// (RendezvousHash). The same key and set give the same choice whatever the
// order of the nodes; over many keys node i is chosen in the proportion ωᵢ;
// and a node that leaves moves none of the others' keys, as long as the
// weights keep their proportions. The lower identity wins a tie. It returns −1
// if no weight is above 0 (NaN is not), and panics unless there are as many
// weights as nodes.
func RendezvousChoice(key uint64, nodes []uint64, weights []float64) int {
	if len(nodes) != len(weights) {
		panic("equations: as many weights as nodes")
	}
	choice, best := -1, 0.0
	for i, w := range weights {
		if !(w > 0) {
			continue
		}
		rank := -w / logarithm(RendezvousHash(key, nodes[i]))
		if choice < 0 || rank > best || rank == best && nodes[i] < nodes[choice] {
			choice, best = i, rank
		}
	}
	return choice
}

// RendezvousHash returns h(key, node) of equation 17: 52 bits of a 64-bit mix
// of the two (the finaliser of SplitMix64, Steele, Lea and Flood 2014, once
// over each), as the middle of one of 2⁵² intervals of (0,1). It never is 0 or 1.
func RendezvousHash(key, node uint64) float64 {
	return (float64(mix(mix(key)+node)>>12) + 0.5) / (1 << 52)
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// SlotApportionment puts equation 18, the apportionment of m slots by largest
// remainder (Hamilton's method), into slots, which must be as long as weights
// (it panics otherwise), and returns it: each gets the whole part of its quota
// m·ωᵢ/Σω, and the slots left over go one each to the largest remainders, the
// earlier of equal ones first. Then
//
//	Σslots = m and │slotsᵢ/m − ωᵢ│ < 1/m
//
// A weight that is not above 0 gets none; if none is, or m ≤ 0, all get none.
// Weights are taken to 2⁻⁴⁰ of the largest, in integers from there on.
func SlotApportionment(slots []int, weights []float64, m int) []int {
	if len(slots) != len(weights) {
		panic("equations: as many slot counts as weights")
	}
	clear(slots)
	var largest float64
	for _, w := range weights {
		if w > 0 {
			largest = max(largest, min(w, math.MaxFloat64))
		}
	}
	if largest == 0 || m <= 0 {
		return slots
	}
	share := func(i int) uint64 {
		if !(weights[i] > 0) {
			return 0
		}
		return uint64(float64(min(weights[i], math.MaxFloat64)/largest) * (1 << 40))
	}
	var total uint64
	for i := range weights {
		total += share(i)
	}
	left := m
	remainders := make([]remainder, 0, len(weights))
	for i := range weights {
		high, low := bits.Mul64(uint64(m), share(i))
		quotient, rest := bits.Div64(high, low, total)
		slots[i] = int(quotient)
		left -= slots[i]
		if rest > 0 {
			remainders = append(remainders, remainder{i, rest})
		}
	}
	slices.SortFunc(remainders, func(a, b remainder) int {
		return cmp.Or(cmp.Compare(b.rest, a.rest), cmp.Compare(a.index, b.index))
	})
	for _, r := range remainders[:left] { // Σrest = left·total, each rest < total
		slots[r.index]++
	}
	return slots
}

type remainder struct {
	index int
	rest  uint64
}

// Disruption returns equation 19, the disruption that the removal of a node
// brings to the keys. before and after hold each key's node; moved counts the
// keys that were the removed node's, which have to move and are all that may:
//
//	moved/total = the removed node's share, strayed = 0
//
// where strayed counts the keys that moved between survivors, or that are
// still the removed node's. Keys in one of the two only have strayed.
func Disruption(before, after []uint64, removed uint64) (moved, strayed int) {
	n := min(len(before), len(after))
	strayed = max(len(before), len(after)) - n
	for i, node := range before[:n] {
		switch {
		case after[i] == removed:
			strayed++
		case node == removed:
			moved++
		case node != after[i]:
			strayed++
		}
	}
	return moved, strayed
}

// PearsonCorrelation returns equation 20, Pearson's product-moment correlation
//
//	r = Σ(xᵢ−x̄)(yᵢ−ȳ) / √(Σ(xᵢ−x̄)²·Σ(yᵢ−ȳ)²), in [−1,1]
//
// of, say, the nodes' entropies with the number of containers on each. It is
// NaN where it is not defined: fewer than two pairs, slices of different
// lengths, one of them constant, or a value that is not finite.
func PearsonCorrelation(x, y []float64) float64 {
	if len(x) != len(y) || len(x) < 2 {
		return math.NaN()
	}
	meanX, meanY := mean(x), mean(y)
	var scaleX, scaleY float64
	for i := range x {
		scaleX = max(scaleX, math.Abs(x[i]-meanX))
		scaleY = max(scaleY, math.Abs(y[i]-meanY))
	}
	if constant(x) || constant(y) || !(scaleX > 0 && scaleY > 0) {
		return math.NaN()
	}
	var xx, yy, xy float64
	for i := range x { // divided first, so that no square is lost or overflows
		dx, dy := (x[i]-meanX)/scaleX, (y[i]-meanY)/scaleY
		xx += float64(dx * dx)
		yy += float64(dy * dy)
		xy += float64(dx * dy)
	}
	r := xy / float64(math.Sqrt(xx)*math.Sqrt(yy))
	if math.IsNaN(r) {
		return r
	}
	return min(1, max(-1, r))
}

// mean divides first: the sum of large values could overflow.
func mean(x []float64) (m float64) {
	n := float64(len(x))
	for _, v := range x {
		m += v / n
	}
	return m
}

func constant(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return v != x[0] })
}

// SpearmanCorrelation returns equation 21, Spearman's rank correlation ρ: the
// Pearson correlation of the ranks, equal values sharing the mean of theirs.
// It is in [−1,1], and NaN where PearsonCorrelation would be, or with a value
// that is NaN. Unlike the rest of this file it allocates, for the ranks.
func SpearmanCorrelation(x, y []float64) float64 {
	if len(x) != len(y) || slices.ContainsFunc(x, math.IsNaN) || slices.ContainsFunc(y, math.IsNaN) {
		return math.NaN()
	}
	return PearsonCorrelation(ranks(x), ranks(y))
}

func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	rank := make([]float64, len(x))
	for first := 0; first < len(order); {
		next := first + 1
		for next < len(order) && x[order[next]] == x[order[first]] {
			next++
		}
		for _, i := range order[first:next] {
			rank[i] = float64(first+next+1) / 2
		}
		first = next
	}
	return rank
}

// JainFairness returns equation 22, Jain's fairness index (Jain, Chiu and Hawe
// 1984) over what each received divided by what it was entitled to,
//
//	J = (Σx)² / (n·Σx²), in [1/n, 1]
//
// 1 is fair: all received the same. It is 1 too when nobody received anything,
// and NaN for nobody, or for a value that is negative or not finite.
func JainFairness(x []float64) float64 {
	var largest float64
	for _, v := range x {
		if !(v >= 0 && v <= math.MaxFloat64) {
			return math.NaN()
		}
		largest = max(largest, v)
	}
	if len(x) == 0 {
		return math.NaN()
	}
	if largest == 0 {
		return 1
	}
	var sum, squares float64
	for _, v := range x {
		v /= largest
		sum += v
		squares += float64(v * v)
	}
	return min(1, float64(sum*sum)/float64(float64(len(x))*squares))
}

// RoutingSuccess returns equation 23, the routing success
//
//	admitted / offered
//
// of the replicas that some node could hold. It is 1 when nothing was offered,
// since nothing was refused; above 1 it tells of a mistake in counting.
func RoutingSuccess(admitted, offered uint64) float64 {
	if offered == 0 {
		if admitted == 0 {
			return 1
		}
		return math.Inf(1)
	}
	return float64(admitted) / float64(offered)
}

// BestOfSamples returns equation 24,
//
//	P = 1 − q^d
//
// the probability that the best of d candidates drawn at random lies above the
// quantile q of all. q outside [0,1] counts as the nearest end, NaN as 1, and
// d < 0 as 0: the best of no candidates is above nothing.
func BestOfSamples(q float64, d int) float64 {
	if math.IsNaN(q) {
		q = 1
	}
	return 1 - power(clamp01(q), d)
}

// SampleSize returns the d of equation 24,
//
//	d = ⌈ln(1−c) / ln q⌉
//
// the fewest candidates of which the best lies above the quantile q with
// confidence c: at q = 0.95 and c = 0.99 it is 90. It is 1 for c ≤ 0 or q ≤ 0,
// and math.MaxInt where no number is enough (c ≥ 1, q ≥ 1, or NaN).
func SampleSize(q, c float64) int {
	switch {
	case !(c < 1) || !(q < 1):
		return math.MaxInt
	case c <= 0 || q <= 0:
		return 1
	}
	d := max(1, math.Ceil(logarithm(1-c)/logarithm(q)))
	if !(d < math.MaxInt32) { // q is 1 but for rounding
		return math.MaxInt
	}
	return int(d)
}

// power returns x^n by repeated squaring; x^0 is 1, and so it is for n < 0.
func power(x float64, n int) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p = float64(p * x)
		}
		x = float64(x * x)
	}
	return p
}

// logarithm returns ln x for finite x > 0 to within one unit in the last place,
// with the same bits on every processor: FreeBSD's e_log.c, which math.Log is
// too where it is written in Go, with nothing fused.
func logarithm(x float64) float64 {
	const (
		ln2High = 6.93147180369123816490e-01
		ln2Low  = 1.90821492927058770002e-10
		l1      = 6.666666666666735130e-01
		l2      = 3.999999999940941908e-01
		l3      = 2.857142874366239149e-01
		l4      = 2.222219843214978396e-01
		l5      = 1.818357216161805012e-01
		l6      = 1.531383769920937332e-01
		l7      = 1.479819860511658591e-01
	)
	// x = 2^k·(1+f) with √2/2 < 1+f < √2
	fraction, exponent := math.Frexp(x)
	if fraction < math.Sqrt2/2 {
		fraction *= 2
		exponent--
	}
	f, k := fraction-1, float64(exponent)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	odd := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	even := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	half := float64(float64(0.5*f) * f)
	return float64(k*ln2High) - ((half - (float64(s*(half+(odd+even))) + float64(k*ln2Low))) - f)
}
