package rate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func TestBucketLetsNoMorePassThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 1e6).Draw(t, "rate")
		burst := rapid.Float64Range(1, 1e6).Draw(t, "burst")
		b := NewBucket(rate, burst)
		start := b.at
		now, passed := start, 0.0
		for range rapid.IntRange(1, 50).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "step")))
			n := rapid.Float64Range(0, 2e6).Draw(t, "n")
			missing := b.take(n, now)
			passed += n - missing
			f := b.Facts("x")
			if missing < 0 || missing > n || b.tokens < 0 || b.tokens > burst {
				t.Fatalf("%v of %v missing, %v tokens left", missing, n, b.tokens)
			}
			if f.After != equations.TokenBucket(f.Before, f.Rate, f.Burst, f.Elapsed) || f.After < 0 || f.After > burst {
				t.Fatalf("%+v", f)
			}
		}
		if most := burst + rate*now.Sub(start).Seconds(); passed > most*(1+1e-9) {
			t.Fatalf("%v tokens passed in %v, at most %v may", passed, now.Sub(start), most)
		}
	})
}

func TestBucketSlowsDown(t *testing.T) {
	b := NewBucket(1000, 100)
	start := time.Now()
	var all sync.WaitGroup
	for range 4 { // 100 of the 200 are there at once, the others take 0.1 s
		all.Add(1)
		go func() {
			defer all.Done()
			for range 5 {
				if err := b.Wait(context.Background(), 10); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	if took := time.Since(start); took < 99*time.Millisecond {
		t.Errorf("200 tokens in %v", took)
	}
	if err := b.Wait(context.Background(), 150); err != nil { // more than its burst
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Wait(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBucketFull(t *testing.T) {
	b := NewBucket(10, 10)
	now := time.Now()
	if !b.Full(now) {
		t.Error("not full at the beginning")
	}
	b.take(10, now)
	if b.Full(now.Add(500*time.Millisecond)) || !b.Full(now.Add(1100*time.Millisecond)) {
		t.Error("not full after the time that it takes")
	}
}
