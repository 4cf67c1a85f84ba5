package chain

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

const testChain = "entroos-0123456789abcdef"

// A testNode writes receipts as one node does.
type testNode struct {
	key      ed25519.PrivateKey
	sequence uint64
	previous [32]byte
}

func newTestNode(seed byte) *testNode {
	b := make([]byte, ed25519.SeedSize)
	b[0] = seed
	return &testNode{key: ed25519.NewKeyFromSeed(b)}
}

func (n *testNode) id() [32]byte { return [32]byte(n.key.Public().(ed25519.PublicKey)) }

// next returns the encoding of the node's next receipt.
func (n *testNode) next(t testing.TB) []byte {
	t.Helper()
	r := &ledger.Receipt{
		ChainID: testChain, Node: n.id(), Sequence: n.sequence + 1, Previous: n.previous,
		Outcome: ledger.OutcomeExited, StartedUnixNano: 1, FinishedUnixNano: 2,
		Usage: ledger.Usage{CPUUserMicros: 7, WallMicros: ledger.NotMeasured},
	}
	r.Nonce[0] = byte(n.sequence)
	if err := r.Seal(n.key); err != nil {
		t.Fatal(err)
	}
	raw, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	n.sequence, n.previous = r.Sequence, r.Proof
	return raw
}

func openNode(t testing.TB, home string, node [32]byte) *Node {
	t.Helper()
	n, err := Open(Config{Home: home, ChainID: testChain, Node: node, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func submit(t testing.TB, n *Node, raw []byte) ledger.Submission {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := n.Submit(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommitAndProve(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, t.TempDir(), writer.id())
	raw := writer.next(t)
	s := submit(t, n, raw)
	if s.Outcome != ledger.Committed || s.Height < 1 {
		t.Fatalf("got %+v", s)
	}
	if again := submit(t, n, raw); again != s {
		t.Fatalf("identical receipt again: %+v, before %+v", again, s)
	}
	file, err := n.Export(t.Context(), "#1")
	if err != nil {
		t.Fatal(err)
	}
	e, err := proof.Verify(file, n.Genesis().Hash())
	if err != nil {
		t.Fatal(err)
	}
	if e.Receipt.Sequence != 1 || e.Size != 1 {
		t.Fatalf("got %+v", e)
	}
}
