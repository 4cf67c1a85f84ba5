//go:build !box

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/router/simulation"
	"github.com/entroos/entroos/router/simulation/plots"
)

// simulatedJSON is what `simulate --json` prints. "simulated" is the same bytes
// on every machine; "measured" is of this one, and so is the one mark that
// judges it.
type simulatedJSON struct {
	Simulated *simulation.Result      `json:"simulated"`
	Measured  simulation.Verification `json:"measured"`
	Marks     []simulation.Mark       `json:"marks"`
}

func newSimulateCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Run the production test of the equations and the router",
		Long: "Run the production test: the router of the boxes places simulated containers on simulated nodes, and their\n" +
			"governor holds the simulated load to the target. The figures stand beside the prototype's. Exit status 1\n" +
			"means that one of them misses what it must reach.",
		Args: cobra.NoArgs,
	}
	p := simulation.Default()
	c.Flags().IntVar(&p.Runs, "runs", p.Runs, "how many runs, of one seed each")
	c.Flags().IntVar(&p.Nodes, "nodes", p.Nodes, "nodes in each run")
	c.Flags().Var((*rangeFlag)(&p.Containers), "containers", "containers in each run: a number, or a range to draw from")
	c.Flags().Uint64Var(&p.Seed, "seed", p.Seed, "the first run's seed; each next one's is one more")
	c.Flags().BoolVar(&p.Placements, "placements", false, "with --json: every container and its node too")
	folder := c.Flags().String("plots", "", "draw the pictures into this folder, as SVG and PNG")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.Validate(); err != nil {
			return usageError(fmt.Errorf("--%w", err))
		}
		if p.Placements && !*asJSON {
			return usageError(fmt.Errorf("--placements is for --json"))
		}
		if c.Flags().Changed("plots") && *folder == "" {
			return usageError(fmt.Errorf("--plots: the folder has no name"))
		}
		return env.simulate(c.Context(), p, *folder, *asJSON)
	}
	return c
}

// simulate runs the test, draws the pictures and prints the figures.
func (env *environment) simulate(ctx context.Context, p simulation.Parameters, folder string, asJSON bool) error {
	result, err := simulation.Simulate(ctx, p)
	if err != nil {
		return err
	}
	verification, err := simulation.MeasureVerification()
	if err != nil {
		return err
	}
	var paths []string
	if folder != "" {
		pictures, err := plots.Draw(result)
		if err != nil {
			return err
		}
		if paths, err = plots.Write(folder, pictures); err != nil {
			return err
		}
	}
	marks := result.Marks(verification)
	if asJSON {
		err = env.printJSON(simulatedJSON{result, verification, marks})
	} else {
		err = env.printSimulated(result, verification, marks, paths)
	}
	if err != nil {
		return err
	}
	return missed(marks)
}

// missed is an error if a figure misses its mark.
func missed(marks []simulation.Mark) error {
	var names []string
	for _, m := range marks {
		if m.Verdict == simulation.Missed {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("missed: %s", strings.Join(names, "; "))
}

func (env *environment) printSimulated(r *simulation.Result, v simulation.Verification, marks []simulation.Mark, paths []string) error {
	var out strings.Builder
	p, t := r.Parameters, &r.Total
	fmt.Fprintf(&out, "Production test: %s, θ = %g\n\n", p, r.Model.Theta)
	figures := newTable("FIGURE", "ENTROOS", "MUST BE", "VERDICT", "PROTOTYPE", "ITS THRESHOLD")
	for _, m := range marks {
		figures.row(m.Name, number(m.Value, m.Digits)+m.Suffix(), m.Required, string(m.Verdict), m.Prototype, m.Threshold)
	}
	if err := writeTable(&out, figures, 0); err != nil {
		return err
	}
	if p.Runs < 500 || p.Nodes != 10 || p.Containers != simulation.Default().Containers {
		out.WriteString("\nWhat the figures must be is set for 500 runs or more of 10 nodes and 50-100 containers.\n")
	}
	out.WriteString("\n")
	spread := newTable("OVER", "", "COUNT", "MEAN", "DEVIATION", "LEAST", "MOST")
	for _, s := range []struct {
		over, name string
		simulation.Summary
		scale  float64
		digits int
		unit   string
	}{
		{"runs", "correlation r", t.Correlation, 1, 4, ""},
		{"runs", "rank correlation ρ", t.RankCorrelation, 1, 4, ""},
		{"runs", "mean routing score", t.Score, 1, 4, ""},
		{"runs", "mean E_n by container", t.NodeEntropy, 1, 4, ""},
		{"runs", "utilisation of all nodes, ungoverned", t.Utilisation, 100, 2, " %"},
		{"runs", "utilisation of all nodes, governed", t.Governed, 100, 2, " %"},
		{"nodes above the target", "utilisation, ungoverned", t.Saturated, 100, 2, " %"},
		{"nodes above the target", "utilisation, governed", t.AtTarget, 100, 2, " %"},
		{"nodes above the target", "settled within 1 point after", t.Settled, 1, 1, " s"},
		{"nodes with containers", "fairness J", t.NodeFairness, 1, 4, ""},
	} {
		cell := func(n simulation.Number) string {
			if !n.Defined() {
				return "-"
			}
			return number(n*simulation.Number(s.scale), s.digits) + s.unit
		}
		spread.row(s.over, s.name, fmt.Sprint(s.Defined), cell(s.Mean), cell(s.Deviation), cell(s.Least), cell(s.Most))
	}
	if err := writeTable(&out, spread, 0); err != nil {
		return err
	}
	d := r.Draws
	fmt.Fprintf(&out, "\nDrawn: E_n %s, C_n %s for each node; containers: %s; E_c %s, demand %s for each.\n",
		d.NodeEntropy, d.NodeCapacity, d.Containers, d.ContainerEntropy, d.ContainerDemand)
	fmt.Fprintf(&out, "Generator: %s. Order: %s.\n", d.Generator, d.Order)
	fmt.Fprintf(&out, "%d containers, %d placed, %d waiting, %d refused.\n", t.Containers, t.Admitted, t.Offered-t.Admitted, t.Containers-t.Offered)
	out.WriteString("Simulated: nodes, containers and their load. Real: the router's placement, the governor, the equations.\n")
	fmt.Fprintf(&out, "Measured on this machine: V(P,c), median of %d batches of %d in the quietest of %d rounds (least %.3f µs, 95 %% under %.3f µs).\n",
		v.Batches, v.Batch, v.Rounds, v.Least, v.Upper)
	for _, path := range paths {
		fmt.Fprintln(&out, path)
	}
	_, err := fmt.Fprint(env.stdout, out.String())
	return err
}

// number is a figure for people, - if it is not defined.
func number(n simulation.Number, digits int) string {
	if !n.Defined() {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, float64(n))
}

// rangeFlag is a flag of a number or a range.
type rangeFlag simulation.Range

func (r *rangeFlag) String() string { return simulation.Range(*r).String() }

func (r *rangeFlag) Set(text string) (err error) {
	parsed, err := simulation.ParseRange(text)
	*r = rangeFlag(parsed)
	return err
}

func (r *rangeFlag) Type() string { return "N|N-M" }
