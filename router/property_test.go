package router

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

// committed returns what runs on the node, added up anew.
func (m *member) committed() (cpu, mem int64) {
	for _, r := range m.running {
		cpu += r.CPU
		mem += r.Memory
	}
	return cpu, mem
}

// plainChoice decides by the definitions alone: every node is looked at, nothing
// is kept from before, and the first of the highest rank, each with the replica
// on it, is taken.
func plainChoice(c *Cluster, r *replica) (id string, rank float64) {
	var largest int64 = c.config.Largest
	healthy := false
	for _, m := range c.nodes {
		largest = max(largest, m.CPU)
		healthy = healthy || !m.Cordoned && m.Node.Entropy >= MinEntropy
	}
	type candidate struct {
		id             string
		score, cn, un  float64
		atFullEntropyS float64
	}
	var candidates []candidate
	var sMax float64
next:
	for _, m := range c.nodes {
		cpu, mem := m.committed()
		en := m.Node.Entropy
		if !healthy {
			en = 1
		}
		if m.Cordoned || en < MinEntropy || m.heldFor != nil && m.heldFor != r || cpu+r.CPU > m.CPU || mem+r.Memory > m.Memory {
			continue
		}
		for _, k := range r.Constraints {
			if !k.Holds(&m.Node) {
				continue next
			}
		}
		for _, other := range m.running {
			for _, p := range other.Ports {
				if slices.ContainsFunc(r.Ports, p.Conflicts) {
					continue next
				}
			}
		}
		cn, un := float64(m.CPU)/float64(largest), float64(cpu)/float64(largest)
		with := un + float64(r.CPU)/float64(largest)
		k := candidate{
			m.ID, equations.RoutingScore(en, max(r.Entropy, MinEntropy), cn, un, c.config.Target), cn, with,
			equations.RoutingScore(en, 1, cn, with, c.config.Target),
		}
		if equations.Admit(k.score, c.config.Theta, true) {
			candidates = append(candidates, k)
			sMax = max(sMax, k.atFullEntropyS)
		}
	}
	for _, k := range candidates {
		if v := equations.PriorityBlend(k.atFullEntropyS, sMax, k.cn, k.un, c.config.Weight); id == "" || v > rank || v == rank && k.id < id {
			id, rank = k.id, v
		}
	}
	return id, rank
}

// checkCluster checks what holds between calls.
func checkCluster(t interface{ Fatalf(string, ...any) }, c *Cluster) {
	overcommitted := func(m *member) bool { // by adoption, or since the node shrank
		return m.cpu > m.CPU || m.mem > m.Memory
	}
	placed, held := 0, 0
	for i, m := range c.nodes {
		if c.byID[m.ID] != m || m.at != i || i > 0 && c.nodes[i-1].ID >= m.ID {
			t.Fatalf("node %s is out of place", m.ID)
		}
		if cpu, mem := m.committed(); cpu != m.cpu || mem != m.mem {
			t.Fatalf("node %s: %d, %d committed, said to be %d, %d", m.ID, cpu, mem, m.cpu, m.mem)
		}
		ports := 0
		for at, r := range m.running {
			if r.on != m || r.slot != at || c.replicas[r.ID] != r {
				t.Fatalf("replica %s on %s is out of place", r.ID, m.ID)
			}
			if !r.decision.Adopted {
				for _, other := range m.running[:at] {
					for _, p := range other.Ports {
						if !other.decision.Adopted && slices.ContainsFunc(r.Ports, p.Conflicts) {
							t.Fatalf("%s and %s on %s both listen on %v", r.ID, other.ID, m.ID, p)
						}
					}
				}
			}
			ports += len(r.Ports)
			placed++
		}
		if ports != len(m.ports) {
			t.Fatalf("node %s: %d ports, %d recorded", m.ID, ports, len(m.ports))
		}
		if m.heldFor != nil {
			held++
			if m.heldFor.hold != m || !m.heldFor.due || m.heldFor.on != nil {
				t.Fatalf("node %s is held for %s, which does not hold it", m.ID, m.heldFor.ID)
			}
		}
		was, base := c.columns.open[i], c.columns.base[i]
		c.refresh(m)
		if c.columns.open[i] != was || c.columns.base[i] != base {
			t.Fatalf("node %s: columns %+v are out of date, %+v", m.ID, was, c.columns.open[i])
		}
		if overcommitted(m) && was.cpu >= 0 && was.mem >= 0 {
			t.Fatalf("node %s is overcommitted and open: %+v", m.ID, was)
		}
	}
	for _, r := range c.inTurn() {
		if id, _ := plainChoice(c, r); id != "" {
			t.Fatalf("%s waits, though %s has room", r.ID, id)
		}
		if r.hold != nil && r.hold.heldFor != r {
			t.Fatalf("%s holds %s, which is not held for it", r.ID, r.hold.ID)
		}
	}
	s := c.Status()
	if s.Placed != placed || s.Held != held || s.Waiting != c.queue.len() || len(c.replicas) != placed+s.Waiting {
		t.Fatalf("%+v, but %d placed, %d held", s, placed, held)
	}
	if s.Placeable != s.Admitted+s.Cancelled+uint64(s.Waiting) || s.Offered != s.Placeable+s.Refused {
		t.Fatalf("counts do not add up: %+v", s)
	}
	if s.Admitted > 0 && !(s.LowestScore > c.config.Theta) {
		t.Fatalf("admitted at %v", s.LowestScore)
	}
}

func drawNode(t *rapid.T) Node {
	n := node(fmt.Sprint("n", rapid.IntRange(0, 9).Draw(t, "node")),
		rapid.Int64Range(1, 20).Draw(t, "cpu")*100, rapid.Int64Range(1, 20).Draw(t, "memory")*100,
		rapid.SampledFrom([]float64{0, 1e-9, 0.3, 0.5, 0.5, 0.8, 1}).Draw(t, "entropy"))
	n.Cordoned = rapid.IntRange(0, 9).Draw(t, "cordoned") == 0
	n.Labels = map[string]string{"rack": rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "rack")}
	return n
}

func drawReplica(t *rapid.T, id string) Replica {
	r := Replica{
		ID: id, Entropy: rapid.Float64Range(0, 1).Draw(t, "E_c"),
		CPU: rapid.Int64Range(0, 12).Draw(t, "cpu") * 100, Memory: rapid.Int64Range(0, 12).Draw(t, "memory") * 100,
	}
	if rapid.IntRange(0, 3).Draw(t, "with port") == 0 {
		r.Ports = []HostPort{{Protocol: "tcp", Port: uint16(rapid.IntRange(1, 3).Draw(t, "port"))}}
	}
	if rapid.IntRange(0, 3).Draw(t, "constrained") == 0 {
		r.Constraints = []Constraint{{"node.labels.rack", rapid.Bool().Draw(t, "not"), "a"}}
	}
	return r
}

// Whatever happens to a cluster, its books balance, nothing waits that there is
// room for, and each single decision is the one that the definitions give.
func TestClusterProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := Config{
			Weight: rapid.SampledFrom([]float64{0, 1e-13, 0.3, 0.5, 0.7, 1}).Draw(t, "w"),
			Target: rapid.SampledFrom([]float64{0, 0.2, 1}).Draw(t, "T"),
			Theta:  rapid.SampledFrom([]float64{0, 0, 0.01, 0.1}).Draw(t, "theta"),
			Aging:  10 * time.Second,
			Hold:   15 * time.Second,
		}
		if rapid.Bool().Draw(t, "larger elsewhere") {
			config.Largest = 3000
		}
		c, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		now, ids := start, 0
		known := func() string {
			all := slices.Sorted(mapsKeys(c))
			if len(all) == 0 {
				t.Skip("nothing there")
			}
			return rapid.SampledFrom(all).Draw(t, "id")
		}
		fail := func(err error) {
			if err != nil {
				t.Fatalf("%v", err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				var nodes []Node
				for range rapid.IntRange(1, 4).Draw(t, "nodes") {
					nodes = append(nodes, drawNode(t))
				}
				_, err := c.SetNodes(now, nodes...)
				fail(err)
			},
			"remove": func(t *rapid.T) {
				if len(c.nodes) == 0 {
					t.Skip("no node")
				}
				_, _, err := c.RemoveNode(now, rapid.SampledFrom(c.nodes).Draw(t, "node").ID)
				fail(err)
			},
			"place one": func(t *rapid.T) {
				ids++
				given := drawReplica(t, fmt.Sprint("r", ids))
				c.Advance(now)
				for _, r := range c.queue.due {
					if looked := r.looked; r.hold == nil {
						r.looked = false
						if c.hold(); r.hold != nil {
							t.Fatalf("%s could have had %s held", r.ID, r.hold.ID)
						}
						r.looked = looked
					}
				}
				wantNode, wantRank := plainChoice(c, &replica{Replica: given})
				explained, err := c.Consider(given)
				fail(err)
				d, err := c.Place(now, given)
				fail(err)
				if d[0].Node != wantNode || d[0].Rank != wantRank {
					t.Fatalf("%+v, want %s with K = %v", d[0], wantNode, wantRank)
				}
				if explained.Decision != d[0] {
					t.Fatalf("considered %+v, decided %+v", explained.Decision, d[0])
				}
				if d[0].Outcome == Placed {
					e, err := c.Explain(given.ID)
					fail(err)
					if k := e.Candidates[0]; !k.Chosen && k.Rank != wantRank || k.Verdict != Fits {
						t.Fatalf("explained by %+v, want %s with K = %v", e.Candidates, wantNode, wantRank)
					}
				}
			},
			"place some": func(t *rapid.T) {
				var given []Replica
				for range rapid.IntRange(1, 6).Draw(t, "replicas") {
					ids++
					given = append(given, drawReplica(t, fmt.Sprint("r", ids)))
				}
				d, err := c.Place(now, given...)
				fail(err)
				for i := range given {
					if d[i].Replica != given[i].ID {
						t.Fatalf("decision %d is on %s", i, d[i].Replica)
					}
				}
			},
			"adopt": func(t *rapid.T) {
				if len(c.nodes) == 0 {
					t.Skip("no node")
				}
				ids++
				fail(c.Adopt(now, drawReplica(t, fmt.Sprint("r", ids)), rapid.SampledFrom(c.nodes).Draw(t, "node").ID))
			},
			"release": func(*rapid.T) {
				_, err := c.Release(now, known())
				fail(err)
			},
			"explain": func(*rapid.T) {
				id := known()
				e, err := c.Explain(id)
				fail(err)
				for _, k := range e.Candidates {
					if e.Reason(k) == "" {
						t.Fatalf("no reason for %+v", k)
					}
				}
			},
			"configure": func(t *rapid.T) {
				config.Target = rapid.Float64Range(0, 1).Draw(t, "T")
				config.Aging = time.Duration(rapid.IntRange(1, 20).Draw(t, "aging")) * time.Second
				_, err := c.SetConfig(now, config)
				fail(err)
			},
			"later": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(-5, 20).Draw(t, "seconds")) * time.Second)
			},
			"": func(t *rapid.T) { checkCluster(t, c) },
		})
	})
}

func mapsKeys(c *Cluster) func(func(string) bool) {
	return func(yield func(string) bool) {
		for id := range c.replicas {
			if !yield(id) {
				return
			}
		}
	}
}

// The order in which nodes become known changes no decision.
func TestOrderOfNodesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, replicas := drawCluster(300, 200, rapid.Uint64().Draw(t, "seed"))
		config := DefaultConfig()
		config.SampleAbove, config.Quantile = 100, 0.9
		var decisions [2][]Decision
		for i, given := range [][]Node{nodes, rapid.Permutation(nodes).Draw(t, "nodes")} {
			c, err := New(config, given[:100]...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.SetNodes(start, given[100:]...); err != nil {
				t.Fatal(err)
			}
			if decisions[i], err = c.Place(start, replicas...); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(decisions[0], decisions[1]) {
			t.Fatal("decisions differ")
		}
	})
}
