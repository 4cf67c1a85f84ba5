// Decide makes 10,000 decisions and 5,000 steps of governors and writes every bit
// of them, so that builds for different processors can be compared.
package main

import (
	"bufio"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/router"
)

func main() {
	log.SetFlags(0)
	out := bufio.NewWriter(os.Stdout)
	made := 0
	for seed := uint64(0); made < 10_000; seed++ {
		made += decide(out, seed)
	}
	govern(out)
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// govern has governors of drawn gains take steps (29).
func govern(out *bufio.Writer) {
	g := rand.New(rand.NewPCG(29, 29))
	fraction := func() float64 { return float64(g.Uint64N(1<<53)) / (1 << 53) }
	for range 1000 {
		governor := equations.Governor{Target: fraction(), Kp: fraction(), Ki: fraction(), Max: 1}
		state := governor.Start()
		for range 5 {
			state = governor.Step(state, fraction(), time.Duration(g.Uint64N(1e9)))
			fmt.Fprintf(out, "q %016x e %016x\n", math.Float64bits(state.Quota), math.Float64bits(state.Error))
		}
	}
}

// decide runs a cluster that fills up, has replicas wait, and loses some. All
// that is drawn is made of integers, so that only what is decided on is compared.
func decide(out *bufio.Writer, seed uint64) (made int) {
	g := rand.New(rand.NewPCG(seed, 5))
	fraction := func() float64 { return float64(g.Uint64N(1<<53)) / (1 << 53) }
	config := router.DefaultConfig()
	config.Aging = time.Minute
	switch seed % 3 {
	case 1:
		config.Weight, config.Target, config.Theta = fraction(), fraction(), fraction()/100
	case 2:
		config.SampleAbove, config.Quantile = 50, 0.9
	}
	var nodes []router.Node
	for i := range 100 {
		nodes = append(nodes, router.Node{ID: fmt.Sprint("node", i), CPU: 500 + g.Int64N(1000), Memory: 1 << 30, Entropy: fraction()})
	}
	now := time.Unix(0, 0)
	c, err := router.New(config, nodes...)
	if err != nil {
		log.Fatal(err)
	}
	write := func(decisions []router.Decision, err error) {
		if err != nil {
			log.Fatal(err)
		}
		for _, d := range decisions {
			fmt.Fprintf(out, "%d %s %v %q S %016x K %016x %d %v %v\n", seed, d.Replica, d.Outcome, d.Node,
				math.Float64bits(d.Score), math.Float64bits(d.Rank), d.Candidates, d.Sampled, d.Waited)
		}
		made += len(decisions)
	}
	var ids []string
	for i := range 60 {
		now = now.Add(time.Duration(g.Int64N(int64(20 * time.Second))))
		var replicas []router.Replica
		for j := range 1 + g.IntN(30) {
			id := fmt.Sprint("replica", i, ".", j)
			replicas = append(replicas, router.Replica{ID: id, Entropy: fraction(), CPU: g.Int64N(300), Memory: g.Int64N(1 << 28)})
		}
		decisions, err := c.Place(now, replicas...)
		write(decisions, err)
		for _, d := range decisions {
			if d.Outcome != router.Refused {
				ids = append(ids, d.Replica)
			}
		}
		for range g.IntN(20) {
			if len(ids) > 0 {
				k := g.IntN(len(ids))
				write(c.Release(now, ids[k]))
				ids[k] = ids[len(ids)-1]
				ids = ids[:len(ids)-1]
			}
		}
		nodes[g.IntN(len(nodes))].Entropy = fraction()
		write(c.SetNodes(now, nodes...))
	}
	for _, id := range ids {
		e, err := c.Explain(id)
		if err != nil {
			log.Fatal(err)
		}
		for _, k := range e.Candidates[:5] {
			fmt.Fprintf(out, "%d %s %s %016x %016x %016x %016x %016x\n", seed, id, k.Node, math.Float64bits(k.Capacity),
				math.Float64bits(k.Usage), math.Float64bits(k.Score), math.Float64bits(k.Rank), math.Float64bits(k.DominantShare))
		}
	}
	s := c.Status()
	fmt.Fprintf(out, "%d r %016x success %016x L %016x\n", seed, math.Float64bits(s.Correlation), math.Float64bits(s.Success), math.Float64bits(s.Cycle.Length()))
	return made
}
