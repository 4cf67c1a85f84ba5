// Package rate slows down what comes faster than it should.
package rate

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

// Bucket is a token bucket (equation 69): it lets rate tokens a second pass, and
// up to burst at once after a time with fewer. It drops nothing: who has no
// token waits. Its methods may be called concurrently.
type Bucket struct {
	rate, burst float64

	mu     sync.Mutex
	tokens float64   // from 0 to burst
	at     time.Time // of the last filling
	last   equations.BucketFacts
}

// NewBucket makes a full Bucket. Both rate and burst are positive.
func NewBucket(rate, burst float64) *Bucket {
	b := &Bucket{rate: rate, burst: burst, tokens: burst, at: time.Now()}
	b.last = equations.BucketFacts{Before: burst, Rate: rate, Burst: burst, After: burst}
	return b
}

// take takes n tokens, or what there is of them, and gives how many are missing.
func (b *Bucket) take(n float64, now time.Time) (missing float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	elapsed := max(now.Sub(b.at), 0)
	filled := equations.TokenBucket(b.tokens, b.rate, b.burst, elapsed)
	b.last = equations.BucketFacts{Before: b.tokens, Rate: b.rate, Burst: b.burst, Elapsed: elapsed, After: filled}
	b.at = now
	took := min(filled, n)
	b.tokens = filled - took
	return n - took
}

// Wait takes n tokens, which may be more than burst, and returns when it has all
// of them, or ctx ends.
func (b *Bucket) Wait(ctx context.Context, n int) error {
	missing := b.take(float64(n), time.Now())
	if missing == 0 {
		return nil
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for missing > 0 {
		// Not all at once: others who wait get their share meanwhile.
		seconds := min(missing, b.burst) / b.rate
		timer.Reset(time.Duration(math.Ceil(seconds * float64(time.Second))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		missing = b.take(missing, time.Now())
	}
	return nil
}

// Full says that nobody has taken a token for as long as it takes to fill it.
func (b *Bucket) Full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return equations.TokenBucket(b.tokens, b.rate, b.burst, now.Sub(b.at)) >= b.burst
}

// Facts is the last filling.
func (b *Bucket) Facts(name string) equations.BucketFacts {
	b.mu.Lock()
	defer b.mu.Unlock()
	facts := b.last
	facts.Name = name
	return facts
}
