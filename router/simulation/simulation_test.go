package simulation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entroos/entroos/router/simulation"
)

var update = flag.Bool("update", false, "write the golden file anew")

func simulate(t testing.TB, p simulation.Parameters) *simulation.Result {
	t.Helper()
	r, err := simulation.Simulate(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The marks of the production test, over several stretches of 500 seeds.
func TestProductionTestHolds(t *testing.T) {
	verification, err := simulation.MeasureVerification()
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range []uint64{0, 1, 674, 5844, 1 << 40, math.MaxUint64 - 499} {
		p := simulation.Default()
		p.Seed = seed
		for _, m := range simulate(t, p).Marks(verification) {
			if strings.HasPrefix(m.Name, "verification") {
				continue // judged by a benchmark: tests run beside others
			}
			if m.Verdict != simulation.Holds {
				t.Errorf("seeds from %d: %s is %.4f, must be %s", seed, m.Name, float64(m.Value), m.Required)
			}
		}
	}
}

// The same parameters give the same bytes, those of the golden file, on every
// machine.
func TestGolden(t *testing.T) {
	p := simulation.Parameters{Runs: 2, Nodes: 4, Containers: simulation.Range{Least: 8, Most: 12}, Seed: 7, Placements: true}
	got, err := json.MarshalIndent(simulate(t, p), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	name := filepath.Join("testdata", "golden.json")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the result is not that of %s (go test -update writes it anew):\n%s", name, got)
	}
	var back simulation.Result
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Runs) != 2 || len(back.Runs[0].Nodes) != 4 {
		t.Errorf("the golden file has %d runs", len(back.Runs))
	}
}

// An independent reckoning, from the definitions, of the draws and of every
// figure from the placements alone. The draws are made with the generator
// written out in big integers.
func TestAgainstDefinitions(t *testing.T) {
	p := simulation.Parameters{Runs: 20, Nodes: 10, Containers: simulation.Range{Least: 50, Most: 100}, Seed: 1, Placements: true}
	for _, run := range simulate(t, p).Runs {
		g := &pcg{state: new(big.Int).Lsh(new(big.Int).SetUint64(run.Seed), 64)}
		for i, n := range run.Nodes {
			if e, c := g.uniform(0.3, 1), g.uniform(0.5, 1); e != n.Entropy || math.Abs(c-n.Capacity) > 0.6e-9 {
				t.Fatalf("seed %d, node %d: E_n %v, C_n %v; drawn %v, %v", run.Seed, i, n.Entropy, n.Capacity, e, c)
			}
		}
		if n := 50 + int(51*g.fraction()); n != len(run.Placements) {
			t.Fatalf("seed %d: %d containers, drawn %d", run.Seed, len(run.Placements), n)
		}
		byOrder := make([]simulation.Placement, len(run.Placements))
		for i, c := range run.Placements {
			if e, d := g.uniform(0.3, 1), g.uniform(0.01, 0.08); e != c.Entropy || math.Abs(d-c.Demand) > 0.6e-9 {
				t.Fatalf("seed %d, container %d: E_c %v, d %v; drawn %v, %v", run.Seed, i, c.Entropy, c.Demand, e, d)
			}
			byOrder[c.Order-1] = c
		}
		replay(t, run, byOrder)
	}
}

// replay commits the placements one after the other.
func replay(t *testing.T, run simulation.Run, placements []simulation.Placement) {
	t.Helper()
	n := len(run.Nodes)
	used, counts := make([]float64, n), make([]float64, n)
	var scores, entropies float64
	for i, c := range placements {
		if i > 0 && c.Entropy > placements[i-1].Entropy {
			t.Errorf("seed %d: E_c rises from %v to %v", run.Seed, placements[i-1].Entropy, c.Entropy)
		}
		node := run.Nodes[c.Node]
		score := math.Pow(node.Entropy*c.Entropy, 2) * (node.Capacity - used[c.Node]) / (1 + math.Abs(used[c.Node]-0.2))
		if math.Abs(score-float64(c.Score)) > 1e-12 {
			t.Errorf("seed %d: S is %v, by its definition %v", run.Seed, c.Score, score)
		}
		scores += score
		entropies += node.Entropy
		used[c.Node] += c.Demand
		counts[c.Node]++
	}
	var me, mc, ee, cc, ec, utilisation float64
	for i, node := range run.Nodes {
		me, mc = me+node.Entropy/float64(n), mc+counts[i]/float64(n)
		utilisation += used[i] / node.Capacity / float64(n)
		if used[i] > node.Capacity+1e-9 || int(counts[i]) != node.Containers || math.Abs(used[i]-node.Committed) > 1e-9 {
			t.Errorf("seed %d, node %d: %v of %v used, %v containers; told %v and %v", run.Seed, i, used[i], node.Capacity, counts[i], node.Committed, node.Containers)
		}
	}
	for i, node := range run.Nodes {
		ee += (node.Entropy - me) * (node.Entropy - me)
		cc += (counts[i] - mc) * (counts[i] - mc)
		ec += (node.Entropy - me) * (counts[i] - mc)
	}
	k := float64(len(placements))
	for _, f := range []struct {
		name string
		told simulation.Number
		want float64
	}{
		{"r", run.Correlation, ec / math.Sqrt(ee*cc)},
		{"mean S", run.Score, scores / k},
		{"mean E_n", run.NodeEntropy, entropies / k},
		{"utilisation", run.Utilisation, utilisation},
		{"success", run.Success, 1},
	} {
		if math.Abs(float64(f.told)-f.want) > 1e-9 {
			t.Errorf("seed %d: %s is %v, by its definition %v", run.Seed, f.name, f.told, f.want)
		}
	}
}

// pcg is PCG-DXSM with math/rand/v2's constants.
type pcg struct{ state *big.Int }

func (g *pcg) uint64() uint64 {
	word := new(big.Int).Lsh(big.NewInt(1), 64)
	mul, _ := new(big.Int).SetString("47026247687942121848144207491837523525", 10)
	inc, _ := new(big.Int).SetString("117397592171526113268558934119004209487", 10)
	g.state.Mod(g.state.Add(g.state.Mul(g.state, mul), inc), new(big.Int).Mul(word, word))
	hi, lo := new(big.Int).Rsh(g.state, 64).Uint64(), new(big.Int).Mod(g.state, word).Uint64()
	hi ^= hi >> 32
	hi *= 0xda942042e4dd58b5
	hi ^= hi >> 48
	return hi * (lo | 1)
}

func (g *pcg) fraction() float64 { return float64(g.uint64()>>11) / (1 << 53) }

func (g *pcg) uniform(low, high float64) float64 { return low + float64((high-low)*g.fraction()) }
