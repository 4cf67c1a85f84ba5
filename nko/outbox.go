package nko

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/entroos/entroos/ledger"
)

// outboxWindow is how many receipts are offered to the ledger at a time: they
// share blocks.
const outboxWindow = 256

// Ledger is where receipts go; *ledger.Client is one.
type Ledger interface {
	Submit(ctx context.Context, receipt []byte) (ledger.Submission, error)
}

// Outbox offers the store's waiting receipts to the ledger, in order of their
// numbers, until it has committed them: what was not committed within the
// retransmission timeout (equation 68) is offered again. Only a commit takes a
// receipt out: not an answer that it is pending, and not a refusal.
type Outbox struct {
	store  *Store
	ledger Ledger
	logger *slog.Logger
	wake   chan struct{}
	retry  chan struct{}
	timer  retransmission

	mu      sync.Mutex
	refused string // why the ledger refuses the first waiting receipt, or ""
}

// NewOutbox makes an Outbox; receipts leave it while Serve runs.
func NewOutbox(store *Store, l Ledger, logger *slog.Logger) *Outbox {
	return &Outbox{
		store: store, ledger: l, logger: logger, timer: newRetransmission(),
		wake: make(chan struct{}, 1), retry: make(chan struct{}, 1),
	}
}

// Wake says that the store holds a new receipt.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // a look is due already
	}
}

// Retry says that the ledger has come back: what waits is offered at once.
func (o *Outbox) Retry() {
	select {
	case o.retry <- struct{}{}:
	default: // it will be
	}
}

// Problem says why receipts cannot leave, when the ledger refuses them; else
// it is empty.
func (o *Outbox) Problem() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

// offer is one waiting receipt within the window.
type offer struct {
	Waiting
	underWay bool
	attempts int       // that have ended without a commit
	sent     time.Time // when it was offered last
	next     time.Time // not offered before
}

type answer struct {
	sequence uint64
	ledger.Submission
	err error
	at  time.Time
}

// Serve offers receipts until ctx ends, or the store fails.
func (o *Outbox) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer)
	var running sync.WaitGroup
	// Those under way see ctx end and find nobody who waits for their answer.
	defer running.Wait()
	defer cancel()

	var window []*offer // by ascending number
	for {
		if err := o.fill(&window); err != nil {
			return err
		}
		wait := time.Duration(math.MaxInt64)
		now := time.Now()
		for _, w := range window {
			switch {
			case w.underWay:
			case w.next.After(now):
				wait = min(wait, w.next.Sub(now))
			default:
				w.underWay, w.sent = true, now
				running.Add(1)
				o.submit(ctx, w.Waiting, answers, running.Done)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-o.wake:
		case <-o.retry:
			for _, w := range window {
				w.next = time.Time{}
			}
		case <-timer.C:
		case a := <-answers:
			if err := o.take(&window, a, answers); err != nil {
				timer.Stop()
				return err
			}
		}
		timer.Stop()
	}
}

// fill adds waiting receipts to the window's end.
func (o *Outbox) fill(window *[]*offer) error {
	room := outboxWindow - len(*window)
	if room <= 0 {
		return nil
	}
	var from uint64
	if n := len(*window); n > 0 {
		from = (*window)[n-1].Sequence + 1
	}
	waiting, err := o.store.Outbox(from, room)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	for _, w := range waiting {
		*window = append(*window, &offer{Waiting: w})
	}
	return nil
}

func (o *Outbox) submit(ctx context.Context, w Waiting, answers chan<- answer, done func()) {
	Go(fmt.Sprintf("offer of receipt %d", w.Sequence), func() {
		defer done()
		a := answer{sequence: w.Sequence, err: errors.New("the offer ended without an answer")}
		defer func() {
			select {
			case answers <- a:
			case <-ctx.Done():
			}
		}()
		ctx, cancel := context.WithTimeout(ctx, o.timer.timeout())
		defer cancel()
		a.Submission, a.err = o.ledger.Submit(ctx, w.Receipt)
		a.at = time.Now()
	})
}

// take handles an answer and those that have come with it: a block answers many
// receipts at once, and they leave in one transaction.
func (o *Outbox) take(window *[]*offer, a answer, answers <-chan answer) error {
	batch := []answer{a}
	for more := true; more; {
		select {
		case a := <-answers:
			batch = append(batch, a)
		default:
			more = false
		}
	}
	var committed []uint64
	for _, a := range batch {
		if a.err != nil || a.Outcome != ledger.Committed {
			continue
		}
		committed = append(committed, a.sequence)
		if i := slices.IndexFunc(*window, func(w *offer) bool { return w.Sequence == a.sequence }); i >= 0 && (*window)[i].attempts == 0 {
			o.timer.measure(a.at.Sub((*window)[i].sent))
		}
	}
	if len(committed) > 0 {
		if err := o.store.Committed(committed); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
		*window = slices.DeleteFunc(*window, func(w *offer) bool { return slices.Contains(committed, w.Sequence) })
		o.setRefused("")
		// Those that came before their turn may have it now; more of them the
		// more were committed.
		for _, w := range (*window)[:min(len(*window), 2*len(committed))] {
			w.next = time.Time{}
		}
	}
	for _, a := range batch {
		i := slices.IndexFunc(*window, func(w *offer) bool { return w.Sequence == a.sequence })
		if i < 0 {
			continue
		}
		o.postpone((*window)[i], a, i == 0)
	}
	return nil
}

// postpone has a receipt wait for its next offer.
func (o *Outbox) postpone(w *offer, a answer, first bool) {
	w.underWay = false
	w.attempts++
	w.next = w.sent.Add(o.timer.timeout())
	if first {
		o.timer.expired(w.sent)
	}
	switch {
	case a.err != nil && first && w.attempts&(w.attempts-1) == 0:
		// ledgerd is away, or busy; it may be starting. Said ever more rarely.
		o.logger.Info("receipts not committed yet", "first", w.Sequence, "attempts", w.attempts, "error", a.err)
	case a.Outcome == ledger.Refused && first:
		// With a receipt before it, a refusal can come from the order of
		// arrival (a gap); of the first one it is the ledger's word.
		reason := fmt.Sprintf("the ledger refuses receipt %d: %s; receipts wait in the outbox", w.Sequence, a.Reason)
		o.setRefused(reason)
		o.logger.Error("receipt refused", "sequence", w.Sequence, "reason", a.Reason)
	}
}

func (o *Outbox) setRefused(reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused = reason
}

// Drained waits until the outbox is empty or ctx ends.
func (o *Outbox) Drained(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting, err := o.store.Outbox(0, 1)
		if err != nil || len(waiting) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
