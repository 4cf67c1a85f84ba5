package router

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func newCluster(t testing.TB, nodes ...Node) *Cluster {
	t.Helper()
	c, err := New(DefaultConfig(), nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func node(id string, cpu, memory int64, en float64) Node {
	return Node{ID: id, Hostname: "host-" + id, CPU: cpu, Memory: memory, Entropy: en}
}

func place(t testing.TB, c *Cluster, r ...Replica) []Decision {
	t.Helper()
	d, err := c.Place(start, r...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wantPlaced checks where replicas went; "" is the queue, "refused" that.
func wantPlaced(t testing.TB, decisions []Decision, want ...string) {
	t.Helper()
	got := make([]string, len(decisions))
	for i, d := range decisions {
		if got[i] = d.Node; d.Outcome == Refused {
			got[i] = "refused"
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("placed on %q, want %q: %+v", got, want, decisions)
	}
}

func TestPlaceChoosesTheHighestRank(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5), node("b", 2000, 1<<30, 0.9), node("c", 2000, 1<<30, 0.8))
	d := place(t, c, Replica{ID: "r", Entropy: 0.6, CPU: 100, Memory: 1 << 20})
	wantPlaced(t, d, "b")
	score := equations.RoutingScore(0.9, 0.6, 1, 0, 0.2)
	rank := equations.PriorityBlend(1, 1, 1, 0.05, 0.7) // with the replica
	if d[0].Score != score || d[0].Rank != rank || d[0].Candidates != 3 || d[0].Sequence != 1 {
		t.Errorf("%+v, want S = %v, K = %v of 3 candidates", d[0], score, rank)
	}
	e, err := c.Explain("r")
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"b", "c", "a"} {
		if k := e.Candidates[i]; k.Node != id || k.Chosen != (i == 0) || k.Usage != 0 {
			t.Errorf("candidate %d is %+v, want %s before the commit", i, k, id)
		}
	}
	if r := e.Reason(e.Candidates[1]); r != "outranked by b" {
		t.Error(r)
	}
	// A second look at b sees what was committed.
	place(t, c, Replica{ID: "s", Entropy: 0.6, CPU: 100, Memory: 1 << 20})
	if e, err = c.Explain("s"); err != nil {
		t.Fatal(err)
	}
	for _, k := range e.Candidates {
		if k.Node == "b" && k.Usage != 0.05 {
			t.Errorf("U_n of b is %v, want 0.05", k.Usage)
		}
	}
}

func TestTiesGoToTheFirstID(t *testing.T) {
	nodes := []Node{node("b", 1000, 1<<30, 0.7), node("c", 1000, 1<<30, 0.7), node("a", 1000, 1<<30, 0.7)}
	c := newCluster(t, nodes...)
	for _, want := range []string{"a", "b", "c", "a"} {
		d := place(t, c, Replica{ID: fmt.Sprint("r", c.sequence), Entropy: 1, CPU: 10})
		wantPlaced(t, d, want)
	}
}

func TestTogetherInFallingEntropy(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.7))
	d := place(t, c,
		Replica{ID: "low", Entropy: 0.1, CPU: 10}, Replica{ID: "high", Entropy: 0.9, CPU: 10},
		Replica{ID: "big", Entropy: 0.5, CPU: 20}, Replica{ID: "small", Entropy: 0.5, CPU: 10})
	for i, want := range []uint64{4, 1, 3, 2} {
		if d[i].Sequence != want {
			t.Errorf("%s was number %d, want %d", d[i].Replica, d[i].Sequence, want)
		}
	}
}

func TestFilter(t *testing.T) {
	nodes := []Node{node("a", 1000, 1<<30, 0.9), node("b", 4000, 1<<28, 0.6), node("c", 500, 1<<33, 0.5)}
	nodes[2].Labels = map[string]string{"disk": "ssd"}
	web := []HostPort{{Protocol: "tcp", Port: 80}}
	local := []HostPort{{Protocol: "tcp", Port: 80, Address: netip.MustParseAddr("127.0.0.1")}}
	other := []HostPort{{Protocol: "tcp", Port: 80, Address: netip.MustParseAddr("127.0.0.2")}}
	for name, test := range map[string]struct {
		first, then Replica
		want        string
		reason      string
	}{
		"memory":           {then: Replica{Memory: 1 << 31}, want: "c"},
		"memory nowhere":   {then: Replica{Memory: 1 << 34}, want: "refused", reason: "16.0 GiB are more than it has"},
		"memory left":      {first: Replica{Memory: 1 << 33}, then: Replica{Memory: 1 << 33}, want: "", reason: "8.0 GiB asked, 0 bytes left"},
		"CPU":              {then: Replica{CPU: 2000}, want: "b"},
		"CPU nowhere":      {then: Replica{CPU: 4001}, want: "refused", reason: "4001 millicores are more than it has"},
		"CPU left":         {first: Replica{CPU: 3000}, then: Replica{CPU: 1001}, want: "", reason: "1001 millicores asked, 1000 left"},
		"label":            {then: Replica{Constraints: []Constraint{parse(t, "node.labels.disk == SSD")}}, want: "c"},
		"no label":         {then: Replica{CPU: 400, Constraints: []Constraint{parse(t, "node.labels.disk!=ssd"), parse(t, "node.id!=b")}}, want: "a"},
		"hostname":         {then: Replica{Constraints: []Constraint{parse(t, "node.hostname==host-a")}}, want: "a"},
		"nowhere":          {then: Replica{Constraints: []Constraint{parse(t, "node.id==d")}}, want: "refused", reason: "constraint node.id==d does not hold"},
		"port on another":  {first: Replica{Ports: web, CPU: 3000}, then: Replica{CPU: 600, Ports: web}, want: "a"},
		"port":             {first: Replica{Ports: web, Memory: 1 << 32}, then: Replica{Memory: 1 << 32, Ports: local}, want: "refused", reason: "a host port is taken by first"},
		"another address":  {first: Replica{Ports: local, Memory: 1 << 32}, then: Replica{Memory: 1 << 32, Ports: other}, want: "c"},
		"another protocol": {first: Replica{Ports: web, Memory: 1 << 32}, then: Replica{Memory: 1 << 32, Ports: []HostPort{{Protocol: "udp", Port: 80}}}, want: "c"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, nodes...)
			test.first.ID, test.then.ID = "first", "then"
			place(t, c, test.first)
			d := place(t, c, test.then)
			wantPlaced(t, d, test.want)
			if !strings.Contains(d[0].Reason, test.reason) {
				t.Errorf("reason %q, want %q", d[0].Reason, test.reason)
			}
		})
	}
}

func parse(t testing.TB, s string) Constraint {
	t.Helper()
	c, err := ParseConstraint(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseConstraint(t *testing.T) {
	for _, s := range []string{"node.id==x", "node.hostname!=y", "node.labels.a.b==c d"} {
		if c := parse(t, s); c.String() != s {
			t.Errorf("%q became %q", s, c)
		}
	}
	for _, s := range []string{"", "node.id", "node.id=x", "node.role==manager", "node.labels.==x", "node.id==", "==x", "node.id==a==b"} {
		if c, err := ParseConstraint(s); err == nil {
			t.Errorf("%q became %v", s, c)
		}
	}
}

func TestInvalid(t *testing.T) {
	nan := math.NaN()
	for _, n := range []Node{
		{},
		{ID: "x"},
		node("x", -1, 1, 1), node("x", 0, 1, 1), node("x", 1, 0, 1), node("x", 1, -1, 1),
		node("x", MaxCPU+1, 1, 1), node("x", 1, MaxMemory+1, 1), node("x", 1, 1, nan), node("x", 1, 1, -0.1), node("x", 1, 1, 1.1),
	} {
		c := newCluster(t)
		if _, err := c.SetNodes(start, node("fine", 1, 1, 1), n); !errors.Is(err, ErrInvalid) || len(c.nodes) != 0 {
			t.Errorf("%+v: %v, and %d nodes", n, err, len(c.nodes))
		}
	}
	for _, r := range []Replica{
		{},
		{ID: "x", Entropy: nan},
		{ID: "x", Entropy: -1},
		{ID: "x", Entropy: 2},
		{ID: "x", CPU: -1},
		{ID: "x", CPU: MaxCPU + 1},
		{ID: "x", Memory: -1},
		{ID: "x", Memory: MaxMemory + 1},
		{ID: "x", Weight: -1},
		{ID: "x", Weight: MaxWeight + 1},
		{ID: "x", Waited: -1},
		{ID: "x", Ports: []HostPort{{Protocol: "tcp"}}},
		{ID: "x", Ports: []HostPort{{Protocol: "icmp", Port: 1}}},
		{ID: "x", Ports: []HostPort{{Protocol: "tcp", Port: 1}, {Protocol: "tcp", Port: 1}}},
		{ID: "x", Constraints: []Constraint{{Attribute: "node.role", Value: "x"}}},
	} {
		c := newCluster(t, node("a", 1000, 1000, 1))
		if _, err := c.Place(start, Replica{ID: "fine"}, r); !errors.Is(err, ErrInvalid) || len(c.replicas) != 0 {
			t.Errorf("%+v: %v, and %d replicas", r, err, len(c.replicas))
		}
		if err := c.Adopt(start, r, "a"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: adopted with %v", r, err)
		}
	}
	for _, bad := range []Config{
		{Weight: nan},
		{Weight: -1},
		{Weight: 1.1},
		{Target: nan},
		{Target: -1},
		{Target: 2},
		{Theta: nan},
		{Theta: -1},
		{Theta: 1},
		{Largest: -1},
		{Largest: MaxCPU + 1},
		{Aging: -1},
		{Aging: maxAging + 1},
		{Quantile: nan},
		{Quantile: 1},
		{Confidence: 1},
		{Confidence: -1},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	c := newCluster(t, node("a", 1000, 1000, 1))
	before := c.Config()
	if _, err := c.SetConfig(start, Config{Target: 2}); err == nil || c.Config() != before {
		t.Errorf("%v, and the configuration is %+v", err, c.Config())
	}
	if _, err := c.Place(start, Replica{ID: "x"}, Replica{ID: "x", Entropy: 1}); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	place(t, c, Replica{ID: "x"})
	if _, err := c.Place(start, Replica{ID: "x"}); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	if _, err := c.Release(start, "y"); !errors.Is(err, ErrUnknownReplica) {
		t.Error(err)
	}
	if _, _, err := c.RemoveNode(start, "b"); !errors.Is(err, ErrUnknownNode) {
		t.Error(err)
	}
	if err := c.Adopt(start, Replica{ID: "y"}, "b"); !errors.Is(err, ErrUnknownNode) {
		t.Error(err)
	}
}

func TestEmptyCluster(t *testing.T) {
	c := newCluster(t)
	d := place(t, c, Replica{ID: "r"})
	wantPlaced(t, d, "refused")
	if d[0].Reason != "the cluster has no nodes" {
		t.Error(d[0].Reason)
	}
	if s := c.Status(); s.Refused != 1 || s.Placeable != 0 || s.Success != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHealth(t *testing.T) {
	// Alone, an unhealthy node starts its workloads.
	c := newCluster(t, node("a", 1000, 1<<30, 0))
	d := place(t, c, Replica{ID: "1", CPU: 10, Entropy: 0.5})
	wantPlaced(t, d, "a")
	if s := c.Status(); !s.EntropyLeftOut || d[0].Score != equations.RoutingScore(1, 0.5, 1, 0, 0.2) {
		t.Errorf("%+v, %+v", s, d[0])
	}
	// Beside a healthy one it is no candidate, even where that is full.
	if _, err := c.SetNodes(start, node("b", 1000, 1<<30, 0.3)); err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, place(t, c, Replica{ID: "2", CPU: 990, Entropy: 1}, Replica{ID: "3", CPU: 100}), "b", "")
	if e, _ := c.Explain("3"); !strings.Contains(e.Decision.Reason, "node a: its noise source is unhealthy (E_n = 0)") {
		t.Error(e.Decision.Reason)
	}
	if n := c.Nodes()[0]; n.Entropy != 0 || n.Node.Entropy != 0 || n.Usage != 0.01 {
		t.Errorf("%+v", n)
	}
	// Once it is healthy, who waited is placed there.
	d, err := c.SetNodes(start, node("a", 1000, 1<<30, 0.3))
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "a")
}

func TestNoEntropyIsNotShutOut(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.3))
	d := place(t, c, Replica{ID: "1", Entropy: 0}, Replica{ID: "2", Entropy: 1e-9}, Replica{ID: "3", Entropy: 1})
	wantPlaced(t, d, "a", "a", "a")
	if !(d[0].Score > 0) || d[2].Sequence != 1 {
		t.Errorf("%+v", d)
	}
}

func TestTheta(t *testing.T) {
	config := DefaultConfig()
	config.Theta = 0.3
	c, err := New(config, node("a", 1000, 1<<30, 0.9), node("b", 400, 1<<30, 0.9))
	if err != nil {
		t.Fatal(err)
	}
	d := place(t, c, Replica{ID: "1", Entropy: 0.91, CPU: 500}, Replica{ID: "2", Entropy: 0.9, CPU: 10}, Replica{ID: "3", Entropy: 0.1})
	// With 500 on a: S = 0.81²·0.5/1.3 = 0.25; b scores 0.22 at best, and E_c of
	// 0.1 gives 0.007.
	wantPlaced(t, d, "a", "", "refused")
	if e, _ := c.Explain("2"); !strings.HasSuffix(e.Decision.Reason, "; node a: its score does not lie above θ") {
		t.Error(e.Decision.Reason)
	}
	d, err = c.Release(start, "1")
	if err != nil {
		t.Fatal(err)
	}
	wantPlaced(t, d, "a")
	if s := c.Status(); !(s.LowestScore > 0.3) {
		t.Errorf("admitted at %v", s.LowestScore)
	}
}

// The kernel shares by the weights that it is given.
func TestSharesOfBoundedWeights(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "0", Weight: MaxWeight})
	for i := range 299 {
		place(t, c, Replica{ID: fmt.Sprint(1 + i), Weight: 1})
	}
	s := c.Nodes()[0].Shares
	if want := 0.2 * 10000 / (10000 + 299*3); s[0].CPUWeight != 10000 || s[1].CPUWeight != 3 || math.Abs(s[0].Entitlement-want) > 1e-12 {
		t.Errorf("%+v, %+v, want an entitlement of %v", s[0], s[1], want)
	}
}

func TestShares(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	place(t, c, Replica{ID: "x", Weight: 300}, Replica{ID: "y"})
	s := c.Nodes()[0].Shares
	if s[0].CPUWeight != 150 || s[1].CPUWeight != 50 || math.Abs(s[0].Entitlement-0.15) > 1e-12 || math.Abs(s[1].Entitlement-0.05) > 1e-12 {
		t.Errorf("%+v", s)
	}
}

func TestCPUBeyondTheTargetIsNotRefused(t *testing.T) {
	c := newCluster(t, node("a", 1000, 1<<30, 0.5))
	for i := range 10 {
		wantPlaced(t, place(t, c, Replica{ID: fmt.Sprint(i), CPU: 100, Entropy: 0.5}), "a")
	}
	wantPlaced(t, place(t, c, Replica{ID: "more", CPU: 1}), "")
	if n := c.Nodes()[0]; n.Headroom != 0 || n.CommittedCPU != 1000 || len(n.Replicas) != 10 || n.DominantShare != 1 {
		t.Errorf("%+v", n)
	}
}

// The production test's draws give what a plain reading of the equations gives:
// mean score 0.168, mean E_n 0.747, r = 0.797 (6,000 runs).
func TestProductionFigures(t *testing.T) {
	var score, entropy, r, placed float64
	const runs = 300
	for seed := range uint64(runs) {
		g := rand.New(rand.NewPCG(seed, 1))
		u := func(a, b float64) float64 { return a + (b-a)*g.Float64() }
		config := DefaultConfig()
		const unit = 1_000_000
		config.Largest = unit
		var nodes []Node
		for i := range 10 {
			nodes = append(nodes, node(fmt.Sprint(i), int64(u(0.5, 1)*unit), 1<<40, u(0.3, 1)))
		}
		c, err := New(config, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		var replicas []Replica
		for i := range 50 + g.IntN(51) {
			replicas = append(replicas, Replica{ID: fmt.Sprint(i), Entropy: u(0.3, 1), CPU: int64(u(0.01, 0.08) * unit)})
		}
		for _, d := range place(t, c, replicas...) {
			if d.Outcome != Placed {
				t.Fatalf("seed %d: %+v", seed, d)
			}
			score += d.Score
			entropy += c.byID[d.Node].Node.Entropy
			placed++
		}
		r += c.Status().Correlation
	}
	score, entropy, r = score/placed, entropy/placed, r/runs
	t.Logf("mean score %.4f, mean E_n %.4f, r %.4f", score, entropy, r)
	if score < 0.163 || score > 0.173 || entropy < 0.74 || r < 0.78 {
		t.Errorf("mean score %.4f, mean E_n %.4f, r %.4f; want 0.168, 0.747, 0.797", score, entropy, r)
	}
}
