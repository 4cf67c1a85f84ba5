package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/chain"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/router/service"
)

// serveOn serves a handler on a unix socket until the test ends.
func serveOn(t *testing.T, socket string, handler http.Handler) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	done := make(chan error, 1)
	nko.Go("server", func() { done <- server.Serve(l) })
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// serveWhile runs a part of the box until the test ends.
func serveWhile(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	nko.Go("part", func() { done <- serve(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// newWholeBox is a test box with a real ledger and a real router.
func newWholeBox(t *testing.T) *testBox {
	t.Helper()
	b := newTestBox(t)
	logger := slog.New(slog.DiscardHandler)
	node, err := chain.Open(chain.Config{Home: t.TempDir(), ChainID: b.Store.ChainID, Node: b.Store.Node, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	sockets := t.TempDir()
	serveOn(t, filepath.Join(sockets, "ledger.sock"), node.Handler())
	b.Ledger = ledger.Dial(filepath.Join(sockets, "ledger.sock"))
	t.Cleanup(b.Ledger.Close)
	placement, err := service.New(logger)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, filepath.Join(sockets, "router.sock"), placement.Handler())
	facts := func() nko.NodeFacts {
		return nko.NodeFacts{Target: 0.2, Node: &entroosv1.RouterNode{
			Id: hex.EncodeToString(b.Store.Node[:]), Hostname: "cellar", CpuMilli: 4000, MemoryBytes: 1 << 30,
			EntropyHealth: entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY, Entropy: 0.9,
		}}
	}
	b.Router = nko.NewRouterLink(filepath.Join(sockets, "router.sock"), hex.EncodeToString(b.Store.Node[:]), facts, logger)
	b.Workloads.PlaceWith(b.Router)
	serveWhile(t, b.Router.Serve)
	b.Outbox = nko.NewOutbox(b.Store, b.Ledger, logger)
	serveWhile(t, b.Outbox.Serve)
	return b
}

// checks asks for the equations, by number.
func (b *testBox) checks(t *testing.T) map[uint32]*entroosv1.EquationCheck {
	t.Helper()
	res, err := b.admin.CheckEquations(t.Context(), connect.NewRequest(new(entroosv1.CheckEquationsRequest)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(res.Msg.GetChecks()); n != 70 {
		t.Fatalf("%d checks", n)
	}
	all := make(map[uint32]*entroosv1.EquationCheck)
	for _, c := range res.Msg.GetChecks() {
		all[c.GetNumber()] = c
	}
	return all
}

// The rows of a box's own receipts, proofs and placements hold; those of what
// this machine does not have are not applicable; none fails.
func TestEquationsOfABox(t *testing.T) {
	b := newWholeBox(t)
	deadline := time.Now().Add(time.Minute)
	for {
		if _, answers := b.Router.Away(); answers {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the router does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i := range 6 {
		stream := b.admin.Run(t.Context())
		if err := stream.Send(start("sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))); err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(input(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_CloseStdin{CloseStdin: true}})); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); err != nil {
			t.Fatal(err)
		}
		finish(t, stream)
		b.Outbox.Wake()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Outbox.Drained(ctx); err != nil {
		t.Fatal(err)
	}
	b.Runtime = nil // there is none on this machine
	all := b.checks(t)
	for _, n := range []uint32{13, 14, 15, 23, 31, 38, 41, 42, 43, 44, 46, 47, 48, 49, 50, 54, 68} {
		if c := all[n]; c.GetState() != entroosv1.EquationCheck_STATE_PASS {
			t.Errorf("row %d: %v, %s", n, c.GetState(), c.GetSeen())
		}
	}
	for n, c := range all {
		if c.GetState() == entroosv1.EquationCheck_STATE_FAIL {
			t.Errorf("row %d fails: %s", n, c.GetSeen())
		}
	}
	if want := "true for 6, false for 1000 with a bit flipped"; all[42].GetSeen() != want {
		t.Errorf("row 42: %q", all[42].GetSeen())
	}
	for n, want := range map[uint32]string{40: "the CPU counts no energy (RAPL)", 20: "one node only", 55: "nothing is stored compressed"} {
		if c := all[n]; c.GetState() != entroosv1.EquationCheck_STATE_NOT_APPLICABLE || c.GetSeen() != want {
			t.Errorf("row %d: %v, %s", n, c.GetState(), c.GetSeen())
		}
	}

	// One that runs is accounted for; a receipt that is lost is missed.
	running := &entroosv1.Container{Id: strings.Repeat("ab", 32)}
	if err := b.Store.Begin(nko.StartRecord{Container: running.GetId()}, running); err != nil {
		t.Fatal(err)
	}
	if c := b.checks(t)[54]; c.GetState() != entroosv1.EquationCheck_STATE_PASS {
		t.Errorf("row 54 with one that runs: %v, %s", c.GetState(), c.GetSeen())
	}
	r := &ledger.Receipt{Outcome: ledger.OutcomeInterrupted}
	if err := errors.Join(b.Store.End(r, running), b.Store.Committed([]uint64{r.Sequence})); err != nil {
		t.Fatal(err)
	}
	if c := b.checks(t)[54]; c.GetState() != entroosv1.EquationCheck_STATE_FAIL || c.GetSeen() != "receipt 7 of 7 is neither waiting nor committed" {
		t.Errorf("row 54 with a lost receipt: %v, %s", c.GetState(), c.GetSeen())
	}
	st := new(entroosv1.GetStatusResponse)
	b.ledgerStatus(t.Context(), st)
	if !slices.ContainsFunc(st.GetProblems(), func(p string) bool { return strings.Contains(p, "receipt 7 of 7 neither waits nor is in the ledger") }) {
		t.Errorf("problems %q", st.GetProblems())
	}
}

// What cannot be asked is told, and not taken for absent.
func TestEquationsOfADeafBox(t *testing.T) {
	b := newTestBox(t)
	b.Runtime = nil
	_, err := b.admin.CheckEquations(t.Context(), connect.NewRequest(new(entroosv1.CheckEquationsRequest)))
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("got %v", err)
	}
}
