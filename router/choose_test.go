package router

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A scan ranks few nodes in full; the one it takes is still the first of the
// highest rank among all, while nodes fill up and many are nearly equal.
func TestScanIsTheDefinition(t *testing.T) {
	for seed := range uint64(40) {
		nodes, replicas := drawCluster(60, 150, seed)
		g := rand.New(rand.NewPCG(seed, 3))
		if seed%2 == 0 { // many equal ones
			for i := range nodes {
				nodes[i].CPU, nodes[i].Entropy = 1000*int64(1+g.IntN(2)), float64(1+g.IntN(2))/2
				nodes[i].Memory = 32 << 30
			}
			for i := range replicas {
				replicas[i].CPU = 100 * int64(1+g.IntN(2))
			}
		}
		config := Config{Weight: []float64{0, 0.1, 0.5, 0.7, 1}[seed%5], Target: 0.2}
		c, err := New(config, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range replicas {
			want, rank := plainChoice(c, &replica{Replica: r})
			if d := place(t, c, r)[0]; d.Node != want || d.Rank != rank {
				t.Fatalf("seed %d: %+v, want %s with K = %v", seed, d, want, rank)
			}
		}
	}
}

// sampled returns a cluster in which each decision looks at a sample.
func sampled(t testing.TB, nodes []Node) *Cluster {
	t.Helper()
	config := DefaultConfig()
	config.SampleAbove, config.Quantile = 1, 0.95
	c, err := New(config, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	if c.sample != 90 {
		t.Fatalf("a sample of %d, want 90", c.sample)
	}
	return c
}

func TestSampleIsOfDistinctNodesEachAsLikely(t *testing.T) {
	const n, draws = 500, 4000
	nodes, _ := drawCluster(n, 0, 1)
	c := sampled(t, nodes)
	var count [n]int
	for i := range draws {
		found, largest, enough := c.draw(&replica{Replica: Replica{ID: fmt.Sprint(i)}})
		if !enough || len(found) != 90 {
			t.Fatalf("%d candidates", len(found))
		}
		seen, most := map[int32]bool{}, 0.0
		for _, f := range found {
			if seen[f.at] {
				t.Fatalf("node %d is drawn twice", f.at)
			}
			seen[f.at] = true
			count[f.at]++
			most = max(most, f.score)
			if f.score != c.columns.base[f.at] { // the replica takes nothing
				t.Fatalf("node %d scores %v, want %v", f.at, f.score, c.columns.base[f.at])
			}
		}
		if largest != most {
			t.Fatalf("the largest is said to be %v, is %v", largest, most)
		}
	}
	// χ² of 499 degrees of freedom, less some since a draw takes none twice: its
	// mean is 499·(1−90/500) = 409 and its deviation 26.
	const mean = draws * 90.0 / n
	chi := 0.0
	for _, k := range count {
		chi += (float64(k) - mean) * (float64(k) - mean) / mean
	}
	if t.Logf("χ² = %.0f", chi); chi < 409-5*26 || chi > 409+5*26 {
		t.Errorf("χ² = %.0f, want 409 ± 130", chi)
	}
}

func TestSampleOfAFullClusterIsAScan(t *testing.T) {
	nodes, _ := drawCluster(400, 0, 1)
	c := sampled(t, nodes)
	for i, n := range nodes { // room is left on one
		if i != 123 {
			if err := c.Adopt(start, Replica{ID: n.ID, CPU: n.CPU}, n.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := place(t, c, Replica{ID: "r", CPU: 100})[0]
	if d.Node != nodes[123].ID || d.Sampled {
		t.Errorf("%+v, want %s by a scan", d, nodes[123].ID)
	}
	if d := place(t, c, Replica{ID: "s", CPU: 64_000})[0]; d.Outcome == Placed {
		t.Errorf("%+v, there is no room", d)
	}
}

// Row 24: sampled decisions are scanned in full now and then, and the node that
// was chosen stands among the best 5 %.
func TestSampledDecisionsAreAudited(t *testing.T) {
	nodes, replicas := drawCluster(1000, 20_000, 4)
	for i := range replicas {
		replicas[i].CPU /= 2
	}
	c := sampled(t, nodes)
	for _, d := range place(t, c, replicas...) {
		if !d.Sampled || d.Candidates != 90 {
			t.Fatalf("%+v is not of a sample of 90", d)
		}
	}
	s := c.Status()
	if s.Sampled != 20_000 || s.Audits != 20 || s.AuditsInTop < 19 || !(s.LastQuantile > 0.9 && s.LastQuantile <= 1) {
		t.Errorf("%+v: want 20 audits, 19 of them in the top 5 %%", s)
	}
}

// EntroOS's own bound on what sampling costs.
func TestSamplingLosesLittle(t *testing.T) {
	nodes, replicas := drawCluster(3000, 3000, 7)
	if loss := lossOfScore(t, DefaultConfig(), nodes, replicas); loss > 1 {
		t.Errorf("sampling loses %.2f %% of the total score, want 1 at most", loss)
	} else {
		t.Logf("sampling loses %.3f %%", loss)
	}
}

func TestMillionNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	nodes, replicas := drawCluster(1_000_000, 100, 1)
	c := newCluster(t, nodes...)
	for i, d := range place(t, c, replicas...) {
		if d.Outcome != Placed || !d.Sampled {
			t.Fatalf("replica %d: %+v", i, d)
		}
	}
	config := DefaultConfig()
	config.SampleAbove = -1
	if _, err := c.SetConfig(start, config); err != nil {
		t.Fatal(err)
	}
	if d := place(t, c, Replica{ID: "scanned", CPU: 100})[0]; d.Candidates != 1_000_000 || !(d.Rank > 0.99) {
		t.Errorf("%+v", d)
	}
	if s := c.Status(); s.Nodes != 1_000_000 || s.Placed != 101 {
		t.Errorf("%+v", s)
	}
}

// A sample as large as numbers go is no sample: nothing is drawn for it.
func TestSampleLargerThanTheCluster(t *testing.T) {
	config := DefaultConfig()
	config.SampleAbove = 2
	for _, size := range []int{5, math.MaxInt/2 + 1, math.MaxInt} {
		c, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if _, err := c.SetNodes(start, node(fmt.Sprint(i), 1000, 1<<30, 0.5)); err != nil {
				t.Fatal(err)
			}
		}
		c.sample = size
		place(t, c, Replica{ID: "r", CPU: 10})
		if c.scratch.draw != 0 {
			t.Errorf("a sample of %d was drawn from 10 nodes", size)
		}
	}
}
