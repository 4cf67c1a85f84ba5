package simulation_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/router/simulation"
)

func TestParametersAreChecked(t *testing.T) {
	for want, change := range map[string]func(*simulation.Parameters){
		"runs: 0":                    func(p *simulation.Parameters) { p.Runs = 0 },
		"runs: -1":                   func(p *simulation.Parameters) { p.Runs = -1 },
		"runs: 100001":               func(p *simulation.Parameters) { p.Runs = 100_001 },
		"nodes: 0":                   func(p *simulation.Parameters) { p.Nodes = 0 },
		"nodes: 9223372036854775807": func(p *simulation.Parameters) { p.Nodes = math.MaxInt },
		"containers: 0":              func(p *simulation.Parameters) { p.Containers.Least = 0 },
		"containers: 100001":         func(p *simulation.Parameters) { p.Containers.Most = 100_001 },
		"containers: 101-100":        func(p *simulation.Parameters) { p.Containers.Least = 101 },
		"seed: 18446744073709551615": func(p *simulation.Parameters) { p.Seed = math.MaxUint64 },
		"scores; ask for less":       func(p *simulation.Parameters) { p.Nodes, p.Containers.Most = 10_000, 100_000 },
		"would keep 10000 records each": func(p *simulation.Parameters) {
			p.Runs, p.Nodes, p.Containers = 2001, 10_000, simulation.Range{Least: 1, Most: 1}
		},
	} {
		p := simulation.Default()
		change(&p)
		if r, err := simulation.Simulate(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	p := simulation.Default()
	p.Runs, p.Seed = 1, math.MaxUint64
	simulate(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulation.Simulate(ctx, simulation.Default()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled test: %v", err)
	}
}

func FuzzParseRange(f *testing.F) {
	for _, text := range []string{"75", "50-100", "", "-", "5-", "-5", "+5", "1e3", "100-50", "0", "99999999999", "5-6-7", " 5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := simulation.ParseRange(text)
		if err != nil {
			if r != (simulation.Range{}) {
				t.Errorf("%q: %v with %v", text, r, err)
			}
			return
		}
		if r.Least < 0 || r.Most < 0 {
			t.Errorf("%q: %v", text, r)
		}
		if again, err := simulation.ParseRange(r.String()); err != nil || again != r {
			t.Errorf("%q: %v, read again %v, %v", text, r, again, err)
		}
	})
}

// Whatever is asked for, the figures are in their ranges and add up.
func TestResultHoldsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(1, 200).Draw(t, "least")
		p := simulation.Parameters{
			Runs: rapid.IntRange(1, 3).Draw(t, "runs"), Nodes: rapid.IntRange(1, 30).Draw(t, "nodes"),
			Containers: simulation.Range{Least: least, Most: least + rapid.IntRange(0, 200).Draw(t, "more")},
			Seed:       rapid.Uint64Range(0, math.MaxUint64-3).Draw(t, "seed"), Placements: true,
		}
		r, err := simulation.Simulate(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		offered := 0
		for _, run := range r.Runs {
			placed := 0
			for _, n := range run.Nodes {
				placed += n.Containers
				if n.Committed > n.Capacity || n.Utilisation > 1 || n.Governed > n.Utilisation+1e-9 || n.Governed < 0 {
					t.Fatalf("seed %d: %+v", run.Seed, n)
				}
				if n.Utilisation > simulation.Target && math.Abs(n.Governed-simulation.Target) > 0.01 {
					t.Fatalf("seed %d: not at the target: %+v", run.Seed, n)
				}
				if n.Utilisation <= simulation.Target && math.Abs(n.Governed-n.Utilisation) > 1e-6 {
					t.Fatalf("seed %d: slowed though it wants no more than the target: %+v", run.Seed, n)
				}
				if n.Settled > 10 { // row 29's invariant
					t.Fatalf("seed %d: settled after %v s: %+v", run.Seed, n.Settled, n)
				}
				if n.Fairness.Defined() && n.Fairness < 0.95 {
					t.Fatalf("seed %d: unfair: %+v", run.Seed, n)
				}
			}
			if placed != run.Admitted || run.Admitted > run.Offered || len(run.Placements) != run.Offered+run.Refused {
				t.Fatalf("seed %d: %d on nodes, %d admitted, %d offered, %d containers", run.Seed, placed, run.Admitted, run.Offered, len(run.Placements))
			}
			if run.Correlation.Defined() && math.Abs(float64(run.Correlation)) > 1 || !run.Success.Defined() || run.Success > 1 {
				t.Fatalf("seed %d: %+v", run.Seed, run)
			}
			offered += run.Offered
		}
		if r.Total.Offered != offered {
			t.Fatalf("%d offered in all, %d by runs", r.Total.Offered, offered)
		}
	})
}

// More than the nodes can hold waits: the success falls below 1 and its mark is
// missed.
func TestOverload(t *testing.T) {
	r := simulate(t, simulation.Parameters{Runs: 2, Nodes: 2, Containers: simulation.Range{Least: 400, Most: 400}, Placements: true})
	if r.Total.Admitted >= r.Total.Offered || r.Total.Offered != 800 {
		t.Fatalf("%d of %d admitted", r.Total.Admitted, r.Total.Offered)
	}
	waiting := 0
	for _, run := range r.Runs {
		for _, c := range run.Placements {
			if c.Node < 0 {
				if waiting++; c.Score.Defined() || c.Order != 0 {
					t.Errorf("a waiting container has a score: %+v", c)
				}
			}
		}
	}
	if waiting != r.Total.Offered-r.Total.Admitted {
		t.Errorf("%d wait", waiting)
	}
	for _, m := range r.Marks(simulation.Verification{}) {
		if m.Name == "routing success" && (m.Verdict != simulation.Missed || !(m.Value < 100)) {
			t.Errorf("%+v", m)
		}
	}
}

// A single node has no correlation, which is neither held nor missed.
func TestOneNode(t *testing.T) {
	r := simulate(t, simulation.Parameters{Runs: 1, Nodes: 1, Containers: simulation.Range{Least: 3, Most: 3}})
	if m := r.Marks(simulation.Verification{})[0]; m.Verdict != simulation.NotApplicable || m.Value.Defined() {
		t.Errorf("%+v", m)
	}
}

func BenchmarkSimulate(b *testing.B) {
	for b.Loop() {
		simulate(b, simulation.Default())
	}
}
