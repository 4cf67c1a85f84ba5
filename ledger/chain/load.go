package chain

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

const (
	// loadBlock is a block's worth of receipts: what one client may offer at a
	// time. More fit into a block, which then takes longer.
	loadBlock = 1000
	// arrivalHalfLife is after how long an offer counts half.
	arrivalHalfLife = 10 * time.Second
	// blockHalfLife is after how many blocks the time that one took counts half.
	blockHalfLife = 8
	// heldMost is how long an offer is held back at most.
	heldMost = time.Second
)

// load is how busy the ledger is: a queue whose server makes blocks, one after
// the other (equation 37). Both of its rates are in full blocks a second: μ, how
// many can be made in the time that one takes; λ, how many the receipts make
// that are offered.
type load struct {
	mu      sync.Mutex
	arrival float64       // receipts a second, at the time of the last one
	last    time.Time     // of it
	block   time.Duration // that one takes, smoothed; 0 before the first
	began   time.Time     // the block under way; zero is none
}

// arrived notes an offer.
func (l *load) arrived(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrival = l.arriving(now) + math.Ln2/arrivalHalfLife.Seconds()
	l.last = now
}

// arriving is the rate of offers now: an offer adds ln 2/h, which halves in each
// half-life h, so that the sum is the rate. l.mu is held.
func (l *load) arriving(now time.Time) float64 {
	return l.arrival * equations.Decay(max(now.Sub(l.last), 0), arrivalHalfLife)
}

// proposed notes that a block is being made.
func (l *load) proposed(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = now
}

// committed notes that it is made, with so many receipts. An empty one, which
// proves that before, says nothing of the time that one with receipts takes.
func (l *load) committed(now time.Time, receipts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.began
	l.began = time.Time{}
	if began.IsZero() || receipts == 0 { // of an earlier life, or empty
		return
	}
	took := max(now.Sub(began), time.Microsecond)
	if l.block != 0 {
		took = time.Duration(equations.Smooth(float64(l.block), float64(took), equations.Decay(1, blockHalfLife)))
	}
	l.block = took
}

// Load is how busy a ledger is.
type Load struct {
	// ServiceRate is μ, ArrivalRate λ, in full blocks a second; 0 before the
	// first block of this life of the ledger, or offer.
	ServiceRate, ArrivalRate float64
	// Sojourn is how long a receipt is expected to take from its offer to its
	// commit; 0 while that is not known, or grows without end.
	Sojourn time.Duration
	// HeldBack: while λ ≥ μ, offers are.
	HeldBack bool
}

func (l *load) now(now time.Time) Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Load{ArrivalRate: l.arriving(now) / loadBlock}
	if l.block == 0 {
		return r
	}
	r.ServiceRate = 1 / l.block.Seconds()
	w, stable := equations.SojournTime(r.ServiceRate, r.ArrivalRate)
	if r.HeldBack = !stable; stable {
		r.Sojourn = w
	}
	return r
}

// hold has an offer wait while more is offered than the ledger can commit:
// until the next block is committed, but for at most heldMost, and not beyond
// its caller's deadline. Nothing is refused for it.
func (n *Node) hold(ctx context.Context) {
	now := time.Now()
	n.app.load.arrived(now)
	next := n.app.notices.nextBlock()
	if !n.app.load.now(now).HeldBack {
		return
	}
	timer := time.NewTimer(heldMost)
	defer timer.Stop()
	select {
	case <-next:
	case <-timer.C:
	case <-ctx.Done():
	case <-n.done:
	}
}
