//go:build !guest

package nko

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/ledger"
)

// faultyLedger is a ledger over the real protocol that keeps the rules of the
// chain (each number once, in order) and answers with faults drawn by the test.
type faultyLedger struct {
	entroosv1connect.UnimplementedLedgerServiceHandler

	mu        sync.Mutex
	committed [][]byte
	fault     func(sequence uint64) fault
	offers    int
}

type fault int

const (
	none             fault = iota
	pending                // it is in the mempool, and committed later
	lost                   // not taken, an error
	cut                    // taken, and the connection ends before the answer
	hang                   // nothing until the caller gives up
	refuseGap              // said to come too early
	refuseForReasons       // for good
)

func (l *faultyLedger) Submit(ctx context.Context, r *connect.Request[entroosv1.SubmitRequest]) (*connect.Response[entroosv1.SubmitResponse], error) {
	receipt := new(ledger.Receipt)
	if err := receipt.UnmarshalBinary(r.Msg.GetReceipt()); err != nil {
		return refusal(err.Error()), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offers++
	next := uint64(len(l.committed)) + 1
	f := none
	if l.fault != nil {
		f = l.fault(receipt.Sequence)
	}
	switch f {
	case lost:
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("down"))
	case refuseForReasons:
		return refusal("this node is not known"), nil
	case refuseGap:
		return refusal("gap"), nil
	case hang:
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return nil, ctx.Err()
	}
	switch {
	case receipt.Sequence < next:
		if !bytes.Equal(l.committed[receipt.Sequence-1], r.Msg.GetReceipt()) {
			return refusal("another receipt"), nil
		}
	case receipt.Sequence > next:
		return refusal("gap"), nil
	default:
		l.committed = append(l.committed, bytes.Clone(r.Msg.GetReceipt()))
	}
	switch f {
	case cut:
		panic(http.ErrAbortHandler)
	case pending:
		return connect.NewResponse(&entroosv1.SubmitResponse{Outcome: entroosv1.SubmitResponse_OUTCOME_PENDING}), nil
	}
	return connect.NewResponse(&entroosv1.SubmitResponse{Outcome: entroosv1.SubmitResponse_OUTCOME_COMMITTED, Height: int64(receipt.Sequence)}), nil
}

func refusal(reason string) *connect.Response[entroosv1.SubmitResponse] {
	return connect.NewResponse(&entroosv1.SubmitResponse{Outcome: entroosv1.SubmitResponse_OUTCOME_REFUSED, Reason: reason})
}

// serve starts the ledger on a socket.
func (l *faultyLedger) serve(t testing.TB, socket string) (stop func()) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(entroosv1connect.NewLedgerServiceHandler(l))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	return func() { server.Close(); <-done }
}

// fill puts n receipts into a store's outbox.
func fillOutbox(t testing.TB, s *Store, n int) {
	t.Helper()
	s.db.NoSync = true // no power fails here
	for i := range n {
		c := &entroosv1.Container{Id: fmt.Sprint(i)}
		start := StartRecord{Container: c.Id, Nonce: [32]byte{byte(i), byte(i >> 8)}, At: time.Now()}
		if err := s.Begin(start, c); err != nil {
			t.Fatal(err)
		}
		if err := s.End(start.receipt(ledger.OutcomeExited), c); err != nil {
			t.Fatal(err)
		}
	}
}

// drain runs an outbox until it is empty.
func drainOutbox(t testing.TB, s *Store, socket string) *Outbox {
	t.Helper()
	client := ledger.Dial(socket)
	defer client.Close()
	o := NewOutbox(s, client, slog.New(slog.DiscardHandler))
	impatient(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	Go("outbox", func() { done <- o.Serve(ctx) })
	waitCtx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	if err := o.Drained(waitCtx); err != nil {
		t.Errorf("the outbox is not empty: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return o
}

// impatient has an outbox ask again soon.
func impatient(o *Outbox) {
	const soon = 2 * time.Millisecond
	o.timer.granularity, o.timer.initial, o.timer.least, o.timer.most = soon, soon, soon, 50*soon
}

// inOrder checks that the ledger has n receipts, one chain.
func (l *faultyLedger) inOrder(t testing.TB, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.committed) != n {
		t.Fatalf("%d receipts committed, want %d", len(l.committed), n)
	}
	var previous [32]byte
	for i, raw := range l.committed {
		r := new(ledger.Receipt)
		if err := r.UnmarshalBinary(raw); err != nil || r.Verify() != nil || r.Sequence != uint64(i+1) || r.Previous != previous {
			t.Fatalf("receipt %d: %+v, error %v", i+1, r, err)
		}
		previous = r.Proof
	}
}

func TestOutboxUnderFaults(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s, err := OpenStore(filepath.Join(dir, "db"))
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		n := rapid.IntRange(0, 20).Draw(rt, "receipts")
		fillOutbox(t, s, n)
		faults := rapid.SliceOfN(rapid.SampledFrom([]fault{none, none, pending, lost, cut, refuseGap}), 0, 12).Draw(rt, "faults")
		l := &faultyLedger{fault: func(uint64) fault {
			if len(faults) == 0 {
				return none
			}
			f := faults[0]
			faults = faults[1:]
			return f
		}}
		socket := filepath.Join(dir, "s")
		defer l.serve(t, socket)()
		drainOutbox(t, s, socket)
		l.inOrder(t, n)
	})
}

func TestOutboxWaitsForLedger(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fillOutbox(t, s, 5)
	l := new(faultyLedger)
	socket := filepath.Join(t.TempDir(), "s")
	served := make(chan func(), 1)
	timer := time.AfterFunc(300*time.Millisecond, func() { served <- l.serve(t, socket) })
	defer timer.Stop()
	drainOutbox(t, s, socket)
	(<-served)()
	l.inOrder(t, 5)
}

func TestOutboxOffersManyAtATime(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = outboxWindow + 50
	fillOutbox(t, s, n)
	// Nothing is answered until a window's worth has been offered.
	var l *faultyLedger
	seen := make(map[uint64]bool)
	l = &faultyLedger{fault: func(sequence uint64) fault {
		if seen[sequence] = true; len(seen) < outboxWindow {
			return lost
		}
		return none
	}}
	socket := filepath.Join(t.TempDir(), "s")
	defer l.serve(t, socket)()
	drainOutbox(t, s, socket)
	l.inOrder(t, n)
}

func TestOutboxKeepsRefusedReceipts(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fillOutbox(t, s, 3)
	var mu sync.Mutex
	refuse := true
	l := &faultyLedger{fault: func(uint64) fault {
		mu.Lock()
		defer mu.Unlock()
		if refuse {
			return refuseForReasons
		}
		return none
	}}
	socket := filepath.Join(t.TempDir(), "s")
	defer l.serve(t, socket)()
	client := ledger.Dial(socket)
	defer client.Close()
	o := NewOutbox(s, client, slog.New(slog.DiscardHandler))
	impatient(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	Go("outbox", func() { done <- o.Serve(ctx) })
	defer func() { cancel(); <-done }()
	eventually(t, "the refusal is told", func() bool {
		return o.Problem() == "the ledger refuses receipt 1: this node is not known; receipts wait in the outbox"
	})
	if n, err := s.OutboxLen(); err != nil || n != 3 {
		t.Fatalf("%d receipts wait, error %v", n, err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	eventually(t, "the outbox empties and the problem goes", func() bool {
		n, err := s.OutboxLen()
		return err == nil && n == 0 && o.Problem() == ""
	})
	l.inOrder(t, 3)
}

func TestOutboxTakesNewReceiptsAtOnce(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := new(faultyLedger)
	socket := filepath.Join(t.TempDir(), "s")
	defer l.serve(t, socket)()
	client := ledger.Dial(socket)
	defer client.Close()
	o := NewOutbox(s, client, slog.New(slog.DiscardHandler))
	impatient(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	Go("outbox", func() { done <- o.Serve(ctx) })
	defer func() { cancel(); <-done }()
	fillOutbox(t, s, 1)
	o.Wake()
	eventually(t, "it is committed", func() bool { n, err := s.OutboxLen(); return err == nil && n == 0 })
}
