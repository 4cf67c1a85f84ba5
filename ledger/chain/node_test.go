package chain

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

func TestMain(m *testing.M) {
	// CometBFT's write-ahead log never ends the goroutines that each file has:
	// one that passes SIGHUP on, and one that waits for it.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
		goleak.IgnoreTopFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"))
}

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
	r.Nonce[0], r.Nonce[1] = byte(n.sequence), byte(n.sequence>>8)
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

func testConfig(home string, node [32]byte) Config {
	return Config{Home: home, ChainID: testChain, Node: node, Logger: slog.New(slog.DiscardHandler)}
}

func openNode(t testing.TB, config Config) *Node {
	t.Helper()
	n, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func submit(t testing.TB, n *Node, raw []byte) ledger.Submission {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := n.Submit(ctx, raw)
	if err != nil {
		t.Error(err)
	}
	return s
}

func mustCommit(t testing.TB, n *Node, raw []byte) ledger.Submission {
	t.Helper()
	s := submit(t, n, raw)
	if s.Outcome != ledger.Committed || s.Height < 1 {
		t.Fatalf("got %+v", s)
	}
	return s
}

func status(t testing.TB, n *Node) Status {
	t.Helper()
	s, err := n.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustProve(t testing.TB, n *Node, id string) *ledger.Evidence {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	file, err := n.Export(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	e, err := proof.Verify(file, n.Genesis().Hash())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCommitAndProve(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	before := time.Now()
	raw := writer.next(t)
	s := mustCommit(t, n, raw)
	if again := submit(t, n, raw); again != s {
		t.Fatalf("identical receipt again: %+v, before %+v", again, s)
	}
	e := mustProve(t, n, "#1") // waits for the block that proves it
	if got, _ := e.Receipt.MarshalBinary(); !bytes.Equal(got, raw) {
		t.Error("another receipt is proved")
	}
	if e.Index != 0 || e.Size != 1 || e.Height <= s.Height || e.Signed.Before(before.Add(-time.Second)) || e.Power != 1 {
		t.Errorf("got %+v", e)
	}
	// The block's time is when it was committed, not what its header says,
	// which is when the block before it was.
	c, err := n.Get("#1")
	if err != nil || c.Height != s.Height || c.UnixNano < before.Add(-time.Second).UnixNano() {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestRestart(t *testing.T) {
	writer := newTestNode(1)
	config := testConfig(t.TempDir(), writer.id())
	var raws [][]byte
	var heights []int64
	for range 3 {
		n, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		for i, raw := range raws {
			if s := submit(t, n, raw); s.Outcome != ledger.Committed || s.Height != heights[i] {
				t.Errorf("receipt %d after a restart: %+v, before %d", i+1, s, heights[i])
			}
		}
		raw := writer.next(t)
		raws = append(raws, raw)
		heights = append(heights, mustCommit(t, n, raw).Height)
		closeNode(t, n)
	}
	n := openNode(t, config)
	for i := range raws {
		mustProve(t, n, fmt.Sprintf("#%d", i+1))
	}
	if s := status(t, n); s.TreeSize != 3 || s.LastSequence != 3 || s.LastP != writer.previous || s.EarliestHeight != 1 {
		t.Errorf("got %+v", s)
	}
}

// When the file fails, consensus stops, says so, and nothing is acknowledged.
func TestFailure(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	mustCommit(t, n, writer.next(t))
	mustProve(t, n, "#1")
	if err := n.file.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	raw := writer.next(t)
	if s, err := n.Submit(ctx, raw); err == nil {
		t.Errorf("got %+v", s)
	}
	if _, err := n.offer(ctx, raw); err != nil { // past the store, into a block
		t.Fatal(err)
	}
	select {
	case <-n.Done():
	case <-ctx.Done():
		t.Error("consensus goes on")
	}
	if _, err := n.Status(); !errors.Is(err, errStore) {
		t.Errorf("got %v", err)
	}
}

// Old blocks go, and every receipt is still proved.
func TestPruning(t *testing.T) {
	writer := newTestNode(1)
	config := testConfig(t.TempDir(), writer.id())
	config.keep = 20
	n := openNode(t, config)
	const count = 40
	for range count {
		mustCommit(t, n, writer.next(t))
	}
	s := status(t, n)
	if kept := s.Height - s.EarliestHeight + 1; kept < config.keep || kept >= config.keep+pruneEvery+1 {
		t.Errorf("%d blocks are kept, from %d to %d", kept, s.EarliestHeight, s.Height)
	}
	for h := range s.EarliestHeight {
		if meta := n.blocks.LoadBlockMeta(h); meta != nil {
			t.Fatalf("block %d is still there", h)
		}
	}
	for i := range count {
		if e := mustProve(t, n, fmt.Sprintf("#%d", i+1)); e.Height < s.EarliestHeight {
			t.Errorf("receipt %d is proved by a block that is gone", i+1)
		}
	}
	closeNode(t, n)
	n = openNode(t, config)
	mustProve(t, n, "#1")
	mustCommit(t, n, writer.next(t))
}

// All blocks of a ledger, executed once more by an application that has none
// of its state, give the hashes that the headers say.
func TestReplayFromBlocks(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	for range 6 {
		mustCommit(t, n, writer.next(t))
	}
	mustProve(t, n, "#6")
	fresh := openApp(t, filepath.Join(t.TempDir(), "app.db"), writer.id())
	defer fresh.close()
	fresh.genesis = n.genesis
	height := status(t, n).Height
	for h := int64(1); h <= height; h++ {
		b := n.blocks.LoadBlock(h)
		if hash := fresh.committed.appHash(); !bytes.Equal(hash[:], b.AppHash) {
			t.Fatalf("block %d says %X, replay gives %X", h, b.AppHash, hash)
		}
		fresh.replay(b)
	}
	if fresh.committed.appHash() != status(t, n).AppHash {
		t.Error("the last hash differs")
	}
}

// Proofs between the ledger's trees hold by RFC 9162, against the roots that
// the ledger says; there are none of trees that it does not have.
func TestProve(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	if _, err := n.ProveInclusion(0, 0); !errors.Is(err, errTree) {
		t.Errorf("inclusion in an empty ledger: %v", err)
	}
	const receipts = 5
	roots := []equations.Digest{emptyRoot()}
	var leaves []equations.Digest
	for range receipts {
		raw := writer.next(t)
		mustCommit(t, n, raw)
		leaves = append(leaves, equations.MerkleLeaf(raw))
		roots = append(roots, status(t, n).TreeRoot)
	}
	for size := uint64(1); size <= receipts; size++ {
		for index := range size {
			p, err := n.ProveInclusion(index, size)
			if err != nil {
				t.Fatal(err)
			}
			root, err := equations.InclusionRoot(leaves[index], index, size, p.Path)
			if err != nil || root != roots[size] || p.Root != root || p.Size != size {
				t.Errorf("leaf %d of %d: root %x, %v; want %x", index, size, root, err, roots[size])
			}
		}
		p, err := n.ProveConsistency(size, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.Second != receipts || p.FirstRoot != roots[size] || p.SecondRoot != roots[receipts] {
			t.Errorf("%d to %d: other roots", size, p.Second)
		}
		if err := equations.Consistent(size, receipts, roots[size], roots[receipts], p.Path); err != nil {
			t.Errorf("%d to %d: %v", size, receipts, err)
		}
	}
	for _, err := range []error{
		second(n.ProveInclusion(receipts, 0)), second(n.ProveInclusion(0, receipts+1)),
		second(n.ProveConsistency(0, 0)), second(n.ProveConsistency(3, 2)), second(n.ProveConsistency(1, receipts+1)),
	} {
		if !errors.Is(err, errTree) {
			t.Errorf("a tree that is not there: %v", err)
		}
	}
	s := status(t, n)
	if s.Validators != 1 || s.Tolerated != 0 || s.SignedPower != 1 || s.TotalPower != 1 {
		t.Errorf("%d validators, %d tolerated, signed by %d of %d", s.Validators, s.Tolerated, s.SignedPower, s.TotalPower)
	}
}

func second[T any](_ T, err error) error { return err }
