package nko

import (
	"math/rand/v2"
	"time"

	"github.com/entroos/entroos/equations"
)

// Backoff is the delay before a restart (equation 65):
//
//	d_k = min(d_max, d_0·2^k)·(1 + U(−j, j))
type Backoff struct {
	Initial time.Duration // d_0
	Max     time.Duration // d_max
	Jitter  float64       // j, from 0 to 1
}

// Delay is d_k for the k-th restart in a row, from 0.
func (b Backoff) Delay(k int) time.Duration {
	return equations.RestartBackoff(b.Initial, b.Max, k, b.Jitter, rand.Float64())
}
