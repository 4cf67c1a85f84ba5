package router

import (
	"fmt"
	"math"
	"time"

	"github.com/entroos/entroos/equations"
)

// A Config is what placement is governed by. DefaultConfig returns the model's
// values; the zero value of the first three fields means zero.
type Config struct {
	// Weight is w of equation 14, the priority of entropy over room, in [0,1].
	Weight float64
	// Target is T of equation 13, the resource target, a share of the largest
	// node's CPU in [0,1].
	Target float64
	// Theta is θ of equation 15, in [0,1): a replica is admitted to nodes only
	// where its score lies above.
	Theta float64

	// Largest is how many millicores count as 1 in C_n and U_n, where that is
	// more than the largest node has. 0 means the largest node.
	Largest int64
	// Aging is the age from which a waiting replica is due: from then on a node
	// is kept free for it (see Queue). Each unit of E_c is worth as much of a
	// head start. 0 means DefaultAging.
	Aging time.Duration
	// Hold is how long a node is kept free at a time, a year at most. 0 means
	// DefaultHold.
	Hold time.Duration
	// SampleAbove is the number of nodes above which candidates are sampled;
	// 0 means DefaultSampleAbove, a negative number never.
	SampleAbove int
	// Quantile and Confidence are q and c of equation 24, both in (0,1): the
	// best of the sample lies above the quantile with that confidence. 0 means
	// DefaultQuantile and DefaultConfidence.
	Quantile, Confidence float64
}

// The values for Config's fields where they are zero. Row 24 asks that the node
// chosen be among the top 5 % of candidates (q = 0.95, d = 90) in 99 % of
// decisions. The sample is that of q = 0.99, d = 459, all the same: with few
// replicas over many nodes d = 90 loses up to 6.8 % of the total score, d = 459
// about 1 %, and it costs microseconds.
const (
	DefaultAging       = 5 * time.Minute
	DefaultHold        = 5 * time.Minute
	DefaultSampleAbove = 2000
	DefaultQuantile    = 0.99
	DefaultConfidence  = 0.99
)

// DefaultConfig returns the model's configuration: w = 0.7, T = 0.2, θ = 0.
func DefaultConfig() Config {
	return Config{Weight: 0.7, Target: 0.2, Theta: 0}
}

// resolve returns the configuration with its defaults put in, or says what is
// wrong with it.
func (c Config) resolve() (Config, error) {
	if c.Aging == 0 {
		c.Aging = DefaultAging
	}
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	if c.SampleAbove == 0 {
		c.SampleAbove = DefaultSampleAbove
	}
	if c.Quantile == 0 {
		c.Quantile = DefaultQuantile
	}
	if c.Confidence == 0 {
		c.Confidence = DefaultConfidence
	}
	switch {
	case !(0 <= c.Weight && c.Weight <= 1):
		return c, fmt.Errorf("router: weight w is %v, must lie in [0,1]", c.Weight)
	case !(0 <= c.Target && c.Target <= 1):
		return c, fmt.Errorf("router: target T is %v, must lie in [0,1]", c.Target)
	case !(0 <= c.Theta && c.Theta < 1):
		return c, fmt.Errorf("router: threshold θ is %v, must lie in [0,1): no score is above 1", c.Theta)
	case c.Largest < 0 || c.Largest > MaxCPU:
		return c, fmt.Errorf("router: %d millicores as the largest node, must lie in [0,%d]", c.Largest, int64(MaxCPU))
	case c.Aging < 0:
		return c, fmt.Errorf("router: aging of %v, must not be negative", c.Aging)
	case c.Hold < 0 || c.Hold > maxHold:
		return c, fmt.Errorf("router: a node is held for %v, must lie in [0,%v]", c.Hold, maxHold)
	case !(0 < c.Quantile && c.Quantile < 1):
		return c, fmt.Errorf("router: quantile q is %v, must lie in (0,1)", c.Quantile)
	case !(0 < c.Confidence && c.Confidence < 1):
		return c, fmt.Errorf("router: confidence c is %v, must lie in (0,1)", c.Confidence)
	case c.Aging > maxAging:
		return c, fmt.Errorf("router: aging of %v, must be %v at most", c.Aging, maxAging)
	}
	return c, nil
}

// maxAging keeps an instant less an age within what a time can be.
const maxAging = time.Duration(math.MaxInt64 / 4)

// maxHold keeps the longest rest after it within what a Duration can be.
const maxHold = 365 * 24 * time.Hour

// sampleSize returns d of equation 24.
func (c Config) sampleSize() int { return equations.SampleSize(c.Quantile, c.Confidence) }
