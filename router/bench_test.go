package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// drawCluster draws nodes and replicas as the production test does.
func drawCluster(nodes, replicas int, seed uint64) ([]Node, []Replica) {
	g := rand.New(rand.NewPCG(seed, 2))
	u := func(a, b float64) float64 { return a + float64((b-a)*g.Float64()) }
	const unit = 64_000
	n, r := make([]Node, nodes), make([]Replica, replicas)
	for i := range n {
		n[i] = node(fmt.Sprintf("node-%07d", i), int64(u(0.5, 1)*unit), 256<<30, u(0.3, 1))
	}
	for i := range r {
		r[i] = Replica{ID: fmt.Sprintf("replica-%07d", i), Entropy: u(0.3, 1), CPU: int64(u(0.01, 0.08) * unit), Memory: 1 << 30}
	}
	return n, r
}

func totalScore(tb testing.TB, config Config, nodes []Node, replicas []Replica) (total float64, c *Cluster) {
	c, err := New(config, nodes...)
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range place(tb, c, replicas...) {
		if d.Outcome != Placed {
			tb.Fatalf("%+v", d)
		}
		total += d.Score
	}
	return total, c
}

// BenchmarkPlace places 10,000 replicas that arrive together, and reports the
// total score that is lost against a scan of all nodes for each (EntroOS's own
// bounds: 0.15 s, 1 %).
func BenchmarkPlace(b *testing.B) {
	for _, count := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("nodes=%d", count), func(b *testing.B) {
			nodes, replicas := drawCluster(count, 10_000, 1)
			config := DefaultConfig()
			var c *Cluster
			for b.Loop() {
				b.StopTimer()
				var err error
				if c, err = New(config, nodes...); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				place(b, c, replicas...)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/10000")
			b.ReportMetric(lossOfScore(b, config, nodes, replicas), "%-score-lost")
			if s := c.Status(); s.Audits > 0 {
				b.ReportMetric(100*float64(s.AuditsInTop)/float64(s.Audits), "%-in-top-5%")
			}
		})
	}
}

// lossOfScore returns by how many percent the total score falls short of that
// of scanning all nodes.
func lossOfScore(tb testing.TB, config Config, nodes []Node, replicas []Replica) float64 {
	got, _ := totalScore(tb, config, nodes, replicas)
	config.SampleAbove = -1
	full, _ := totalScore(tb, config, nodes, replicas)
	return 100 * (full - got) / full
}

// BenchmarkScores computes equation 13 for all nodes (EntroOS's own bound: 200
// million a second).
func BenchmarkScores(b *testing.B) {
	nodes, _ := drawCluster(1000, 0, 1)
	c := newCluster(b, nodes...)
	for b.Loop() {
		c.columns.scores(0.5, c.config.Target)
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds()/1e6, "million/s")
}
