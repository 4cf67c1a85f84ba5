package simulation

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Parameters are what a test is made of. The same parameters give the same
// Result, bit for bit, on every machine.
type Parameters struct {
	Runs       int    `json:"runs"`       // at least 1
	Nodes      int    `json:"nodes"`      // in each run, at least 1
	Containers Range  `json:"containers"` // in each run, drawn
	Seed       uint64 `json:"seed"`       // of the first run; each next run's is one more
	// Placements keeps each container with its node in the result.
	Placements bool `json:"-"`
}

// Default returns the production test: 500 runs of 10 nodes and 50 to 100
// containers.
func Default() Parameters {
	return Parameters{Runs: 500, Nodes: 10, Containers: Range{50, 100}, Seed: 1}
}

// String says what is run.
func (p Parameters) String() string {
	runs, nodes := fmt.Sprintf("1 run (seed %d)", p.Seed), "1 node"
	if p.Runs > 1 {
		runs = fmt.Sprintf("%d runs (seeds %d to %d)", p.Runs, p.Seed, p.Seed+uint64(p.Runs-1))
	}
	if p.Nodes > 1 {
		nodes = fmt.Sprintf("%d nodes", p.Nodes)
	}
	containers := p.Containers.String() + " containers"
	if p.Containers.Most == 1 {
		containers = "1 container"
	}
	return fmt.Sprintf("%s of %s and %s; w = %g, T = %g", runs, nodes, containers, Weight, Target)
}

// Bounds of what can be asked for.
const (
	MaxRuns       = 100_000
	MaxNodes      = 10_000
	MaxContainers = 100_000
	// MaxScores bounds runs × nodes × containers: a minute's work or so.
	MaxScores = 5_000_000_000
	// MaxKept bounds the records of nodes and containers that the result holds.
	MaxKept = 20_000_000
)

// Validate says what is wrong with the parameters, and what would be right.
func (p Parameters) Validate() error {
	for _, v := range []struct {
		name       string
		value, max int
	}{
		{"runs", p.Runs, MaxRuns},
		{"nodes", p.Nodes, MaxNodes},
		{"containers", p.Containers.Least, MaxContainers},
		{"containers", p.Containers.Most, MaxContainers},
	} {
		if v.value < 1 || v.value > v.max {
			return fmt.Errorf("%s: %d, must be 1 to %d", v.name, v.value, v.max)
		}
	}
	if p.Containers.Least > p.Containers.Most {
		return fmt.Errorf("containers: %s, the range must rise", p.Containers)
	}
	if uint64(p.Runs-1) > math.MaxUint64-p.Seed {
		return fmt.Errorf("seed: %d leaves no seeds for %d runs; the largest is %d", p.Seed, p.Runs, uint64(math.MaxUint64))
	}
	if scores := int64(p.Nodes) * int64(p.Containers.Most); scores > MaxScores/int64(p.Runs) {
		return fmt.Errorf("%d runs of %d nodes and up to %d containers are more than %d scores; ask for less of one of them",
			p.Runs, p.Nodes, p.Containers.Most, int64(MaxScores))
	}
	kept := int64(p.Nodes)
	if p.Placements {
		kept += int64(p.Containers.Most)
	}
	if kept > MaxKept/int64(p.Runs) {
		return fmt.Errorf("%d runs would keep %d records each, more than %d in all; ask for less of one of them", p.Runs, kept, MaxKept)
	}
	return nil
}

// A Range is the integers from Least to Most, both included.
type Range struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

// ParseRange reads "75" or "50-100".
func ParseRange(text string) (Range, error) {
	least, most, ranged := strings.Cut(text, "-")
	if !ranged {
		most = least
	}
	var r Range
	for _, end := range []struct {
		text  string
		value *int
	}{{least, &r.Least}, {most, &r.Most}} {
		n, err := strconv.ParseUint(end.text, 10, 31)
		if err != nil || end.text[0] == '+' {
			return Range{}, fmt.Errorf("%q is neither a number such as 75 nor a range such as 50-100", text)
		}
		*end.value = int(n)
	}
	return r, nil
}

// String returns the range as ParseRange reads it.
func (r Range) String() string {
	if r.Least == r.Most {
		return strconv.Itoa(r.Least)
	}
	return fmt.Sprintf("%d-%d", r.Least, r.Most)
}
