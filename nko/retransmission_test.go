//go:build !guest

package nko

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

func TestRetransmissionTimeout(t *testing.T) {
	r := newRetransmission()
	if got := r.timeout(); got != time.Second {
		t.Errorf("before a measurement: %v", got)
	}
	r.measure(2 * time.Second) // SRTT = 2 s, RTTVAR = 1 s
	if got := r.timeout(); got != 6*time.Second {
		t.Errorf("after 2 s: %v", got)
	}
	sent := time.Now()
	r.expired(sent)
	r.expired(sent.Add(-time.Second)) // of the same window
	if got := r.timeout(); got != 12*time.Second {
		t.Errorf("run out once: %v", got)
	}
	for range 100 {
		r.expired(time.Now())
	}
	if got := r.timeout(); got != equations.MaxRTO {
		t.Errorf("run out many times: %v", got)
	}
	for range 100 {
		r.measure(time.Millisecond)
	}
	if got := r.timeout(); got != equations.MinRTO {
		t.Errorf("of a fast ledger: %v", got)
	}
}

func TestRetransmissionStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRetransmission()
		for range rapid.IntRange(0, 50).Draw(t, "events") {
			if rapid.Bool().Draw(t, "committed") {
				r.measure(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "trip")))
			} else {
				r.expired(time.Now())
			}
			if got := r.timeout(); got < equations.MinRTO || got > equations.MaxRTO {
				t.Fatalf("timeout %v", got)
			}
		}
	})
}

// offers is a ledger that notes when it is asked, and commits on demand.
type offers struct {
	mu     sync.Mutex
	at     []time.Time
	commit bool
	down   bool // answers with an error at once
	delay  time.Duration
}

func (o *offers) Submit(ctx context.Context, _ []byte) (ledger.Submission, error) {
	o.mu.Lock()
	o.at = append(o.at, time.Now())
	commit, down, delay := o.commit, o.down, o.delay
	o.mu.Unlock()
	if down {
		return ledger.Submission{}, errors.New("down")
	}
	if commit {
		select {
		case <-time.After(delay):
			return ledger.Submission{Outcome: ledger.Committed, Height: 1}, nil
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return ledger.Submission{Outcome: ledger.Pending}, nil
}

func (o *offers) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.at)
}

// What is not answered is offered again after the timeout, which doubles.
func TestOutboxOffersAgainEverMoreRarely(t *testing.T) {
	l := &offers{delay: time.Millisecond}
	s, o := startOutbox(t, 1, l, 2*time.Millisecond)
	eventually(t, "it is offered 5 times", func() bool { return l.count() >= 5 })
	l.mu.Lock()
	for i := 1; i < 5; i++ {
		if gap, least := l.at[i].Sub(l.at[i-1]), o.timer.initial<<(i-1); gap < least {
			t.Errorf("offer %d came %v after the one before, the timeout was %v", i+1, gap, least)
		}
	}
	l.commit = true
	l.mu.Unlock()
	eventually(t, "it is committed", func() bool { n, err := s.OutboxLen(); return err == nil && n == 0 })
	if o.Retransmission() != nil {
		t.Error("what was offered more than once was measured")
	}
	fillOutbox(t, s, 1)
	o.Wake()
	eventually(t, "a round trip is measured", func() bool { return o.Retransmission() != nil })
	f := o.Retransmission()
	if f.Timeout != equations.RetransmissionTimeout(f.RoundTrip, f.Granularity) || f.RoundTrip.SRTT <= 0 {
		t.Errorf("%+v", f)
	}
}

// A ledger that comes back is offered what waits at once.
func TestOutboxRetry(t *testing.T) {
	l := &offers{down: true}
	s, o := startOutbox(t, 1, l, time.Hour)
	eventually(t, "it is offered", func() bool { return l.count() == 1 })
	l.mu.Lock()
	l.down, l.commit = false, true
	l.mu.Unlock()
	o.Retry()
	eventually(t, "it is committed", func() bool { n, err := s.OutboxLen(); return err == nil && n == 0 })
}

func startOutbox(t *testing.T, receipts int, l *offers, initial time.Duration) (*Store, *Outbox) {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	fillOutbox(t, s, receipts)
	o := NewOutbox(s, l, slog.New(slog.DiscardHandler))
	impatient(o)
	o.timer.initial, o.timer.most = initial, max(initial, o.timer.most)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	Go("outbox", func() { done <- o.Serve(ctx) })
	t.Cleanup(func() { cancel(); <-done })
	return s, o
}
