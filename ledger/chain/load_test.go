package chain

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
)

func TestLoadMeasuresArrivals(t *testing.T) {
	var l load
	now := time.Now()
	for range 20_000 { // 200 a second, for ten half-lives
		now = now.Add(5 * time.Millisecond)
		l.arrived(now)
	}
	if got := l.now(now).ArrivalRate * loadBlock; got < 195 || got > 205 {
		t.Errorf("%v receipts a second of 200", got)
	}
	if got := l.now(now.Add(arrivalHalfLife)).ArrivalRate * loadBlock; got < 97 || got > 103 {
		t.Errorf("%v receipts a second, a half-life after 200", got)
	}
	if got := l.now(now); got.ServiceRate != 0 || got.HeldBack || got.Sojourn != 0 {
		t.Errorf("before a block: %+v", got)
	}
}

func TestLoadMeasuresBlocks(t *testing.T) {
	var l load
	now := time.Now()
	l.committed(now, 5) // began in another life
	if l.block != 0 {
		t.Error("a block is measured without its beginning")
	}
	for range 100 {
		l.proposed(now)
		now = now.Add(50 * time.Millisecond)
		l.committed(now, 3)
		l.proposed(now)
		now = now.Add(10 * time.Millisecond)
		l.committed(now, 0) // the one that proves it
	}
	got := l.now(now)
	if got.ServiceRate < 19.9 || got.ServiceRate > 20.1 || got.HeldBack {
		t.Errorf("%+v of 20 blocks a second", got)
	}
	if got.Sojourn != 50*time.Millisecond {
		t.Errorf("without offers a receipt takes %v", got.Sojourn)
	}
	for range 1_000_000 {
		l.arrived(now)
	}
	if got := l.now(now); !got.HeldBack || got.Sojourn != 0 {
		t.Errorf("of a flood: %+v", got)
	}
}

func TestLoadIsStableOrHoldsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l load
		now := time.Now()
		for range rapid.IntRange(0, 100).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "step")))
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				for range rapid.IntRange(1, 3000).Draw(t, "offers") {
					l.arrived(now)
				}
			case 1:
				l.proposed(now)
			case 2:
				l.committed(now, rapid.IntRange(0, 3).Draw(t, "receipts"))
			}
		}
		r := l.now(now)
		if r.ServiceRate == 0 {
			return
		}
		w, stable := equations.SojournTime(r.ServiceRate, r.ArrivalRate)
		if stable == r.HeldBack || stable && w != r.Sojourn {
			t.Fatalf("%+v: W = %v, %t", r, w, stable)
		}
	})
}

// While more is offered than can be committed, offers wait, and are committed
// all the same.
func TestOffersAreHeldBack(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	mustCommit(t, n, writer.next(t))
	if s := status(t, n); s.Load.ServiceRate <= 0 || s.Load.ArrivalRate <= 0 || s.Load.HeldBack || s.Load.Sojourn <= 0 {
		t.Errorf("%+v", s.Load)
	}
	n.app.load.mu.Lock()
	n.app.load.arrival = 1e12
	n.app.load.mu.Unlock()
	if !status(t, n).Load.HeldBack {
		t.Error("nothing is held back")
	}
	for next := n.app.notices.nextBlock(); !n.idle(); next = n.app.notices.nextBlock() { // no block is under way
		<-next
	}
	start := time.Now()
	mustCommit(t, n, writer.next(t))
	if took := time.Since(start); took < heldMost {
		t.Errorf("committed within %v", took)
	}
	// The caller's deadline comes first.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start = time.Now()
	n.hold(ctx)
	if took := time.Since(start); took >= heldMost {
		t.Errorf("held back for %v, beyond the deadline", took)
	}
	n.app.load.mu.Lock()
	n.app.load.arrival = 0
	n.app.load.mu.Unlock()
	start = time.Now()
	n.hold(context.Background())
	if took := time.Since(start); took >= heldMost {
		t.Errorf("held back for %v without a load", took)
	}
}
