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

// facts tells of the delay d before the restart of name after k failures.
func (b Backoff) facts(name string, k int, d time.Duration) *equations.RestartFacts {
	return &equations.RestartFacts{Service: name, Initial: b.Initial, Limit: b.Max, Failures: k, Jitter: b.Jitter, Delay: d}
}

// Restarts tells the last delay before the restart of each service that has
// failed since the box's boot.
func (s *Supervisor) Restarts() []equations.RestartFacts {
	var facts []equations.RestartFacts
	for _, service := range s.Services() {
		service.mu.Lock()
		if service.delayed != nil {
			facts = append(facts, *service.delayed)
		}
		service.mu.Unlock()
	}
	return facts
}

// Restarts tells the last delay before the restart of each container that has
// been restarted by its policy since the box's boot.
func (w *Workloads) Restarts() []equations.RestartFacts {
	var facts []equations.RestartFacts
	for _, t := range w.list() {
		t.mu.Lock()
		if t.delayed != nil {
			facts = append(facts, *t.delayed)
		}
		t.mu.Unlock()
	}
	return facts
}
