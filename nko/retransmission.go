package nko

import (
	"sync"
	"time"

	"github.com/entroos/entroos/equations"
)

// retransmissionGranularity is G of the outbox's timer: the ledger answers up to
// so long before the time that it is given is over.
const retransmissionGranularity = 100 * time.Millisecond

// retransmission is the outbox's retransmission timer (equation 68, RFC 6298):
// a receipt that is not committed within its timeout after it was offered is
// offered again. As in TCP there is one timer, that of the first receipt that
// waits; where it runs out, the timeout doubles until a commit is measured
// again.
type retransmission struct {
	mu      sync.Mutex
	trip    equations.RoundTrip
	seen    bool
	doubled int       // how often, since the last measurement
	since   time.Time // of the last doubling

	granularity, initial, least, most time.Duration
}

func newRetransmission() retransmission {
	return retransmission{
		granularity: retransmissionGranularity,
		initial:     equations.InitialRTO, least: equations.MinRTO, most: equations.MaxRTO,
	}
}

// timeout is how long a receipt offered now may wait for its commit.
func (r *retransmission) timeout() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	rto := r.initial
	if r.seen {
		rto = equations.RetransmissionTimeout(r.trip, r.granularity)
	}
	rto = min(max(rto, r.least), r.most)
	for range r.doubled {
		if rto = 2 * rto; rto >= r.most {
			return r.most
		}
	}
	return rto
}

// measure takes the time from a receipt's offer to its commit into account. One
// that was offered more than once must not be measured (Karn's rule): nobody
// knows which offer was answered.
func (r *retransmission) measure(trip time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trip.Measure(trip)
	r.seen, r.doubled = true, 0
}

// expired notes that an offer made at sent was not committed in time. Of those
// that were made with the same timeout, the first counts.
func (r *retransmission) expired(sent time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doubled > 0 && sent.Before(r.since) {
		return
	}
	r.since = time.Now()
	if r.least<<r.doubled < r.most { // longer than most it does not become
		r.doubled++
	}
}

// Retransmission is the outbox's retransmission timer, or nil before the first
// commit that it was measured by.
func (o *Outbox) Retransmission() *equations.RetransmissionFacts {
	r := &o.timer
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.seen {
		return nil
	}
	return &equations.RetransmissionFacts{
		RoundTrip: r.trip, Granularity: r.granularity,
		Timeout: equations.RetransmissionTimeout(r.trip, r.granularity),
	}
}
