package chain

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

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

func mustProve(t testing.TB, n *Node, id string) *proof.Evidence {
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

func TestSubmitRefuses(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	first := writer.next(t)
	mustCommit(t, n, first)
	second, third := writer.next(t), writer.next(t)
	fork := newTestNode(1)
	for name, c := range map[string]struct {
		raw    []byte
		reason string
	}{
		"malformed":    {second[:100], "malformed"},
		"empty":        {nil, "malformed"},
		"unknown node": {newTestNode(2).next(t), "not known"},
		"flipped":      {append(bytes.Clone(second[:len(second)-1]), second[len(second)-1]^1), "signature"},
		"conflict":     {resealed(t, fork.next(t), fork), "another receipt of this node stands under number 1"},
		"gap":          {third, "gap: receipt 3 of this node, but the next is 2"},
	} {
		if s := submit(t, n, c.raw); s.Outcome != ledger.Refused || !strings.Contains(s.Reason, c.reason) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	mustCommit(t, n, second)
	mustCommit(t, n, third)
}

// Receipts offered at once, in any order, share blocks.
func TestSubmitMany(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	const count = 200
	heights := make(map[int64]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var raws [][]byte
	for range count {
		raws = append(raws, writer.next(t))
	}
	for i := range raws {
		wg.Go(func() {
			s := submit(t, n, raws[count-1-i])
			if s.Outcome != ledger.Committed {
				t.Errorf("receipt %d: %+v", count-i, s)
			}
			mu.Lock()
			defer mu.Unlock()
			heights[s.Height]++
		})
	}
	wg.Wait()
	if len(heights) > count/10 {
		t.Errorf("%d receipts took %d blocks", count, len(heights))
	}
	list, size, err := n.List(count+1, 0)
	if err != nil || size != count || len(list) != count {
		t.Fatalf("%d of %d receipts, %v", len(list), size, err)
	}
	for i, c := range list {
		if want := count - 1 - i; c.Index != uint64(want) || !bytes.Equal(c.Receipt, raws[want]) {
			t.Fatalf("receipt %d is not in its place", want+1)
		}
	}
	for _, id := range []string{"#1", "#100", "#200"} {
		mustProve(t, n, id)
	}
}

// While no block can be written, a submission is pending when its deadline is
// near, whether it waits for the block or cannot even get into the mempool.
func TestPending(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	mustCommit(t, n, writer.next(t))
	mustProve(t, n, "#1")
	release, held := make(chan struct{}), make(chan struct{})
	var stuck sync.WaitGroup
	stuck.Go(func() {
		err := n.file.Update(func(*bbolt.Tx) error {
			close(held)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	raw := writer.next(t)
	for _, locked := range []bool{false, true} {
		if locked {
			n.offering.Lock()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := n.Submit(ctx, raw)
		if err != nil || s.Outcome != ledger.Pending || ctx.Err() != nil {
			t.Errorf("got %+v, %v, %v", s, err, ctx.Err())
		}
		cancel()
		if locked {
			n.offering.Unlock()
		}
	}
	close(release)
	stuck.Wait()
	mustCommit(t, n, raw)
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

func TestWALSweep(t *testing.T) {
	dir := t.TempDir()
	head := filepath.Join(dir, "wal")
	left := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	touch := func(names ...string) {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := newWALSweeper(head, slog.New(slog.DiscardHandler))
	touch("wal", "wal.000", "wal.001", "wal.CORRUPTED", "wal.notes")
	for _, step := range []struct {
		height int64
		left   string
	}{
		{10, "wal wal.000 wal.001 wal.CORRUPTED wal.notes"},
		{11, "wal wal.000 wal.001 wal.CORRUPTED wal.notes"},
		{12, "wal wal.notes"},
	} {
		w.sweep(step.height)
		if got := left(); got != step.left {
			t.Errorf("at height %d: %s, want %s", step.height, got, step.left)
		}
	}
	touch("wal.002")
	w.sweep(12)
	w.sweep(13)
	if got := left(); got != "wal wal.002 wal.notes" {
		t.Errorf("got %s", got)
	}
}

func TestFind(t *testing.T) {
	writer := newTestNode(1)
	n := openNode(t, testConfig(t.TempDir(), writer.id()))
	var ps []string
	for range 20 {
		mustCommit(t, n, writer.next(t))
		ps = append(ps, hex.EncodeToString(writer.previous[:]))
	}
	unique := func(i, digits int) bool {
		for j, p := range ps {
			if j != i && p[:digits] == ps[i][:digits] {
				return false
			}
		}
		return true
	}
	for i, p := range ps {
		for _, id := range []string{p, strings.ToUpper(p), p[:40], p[:17], p[:7], fmt.Sprintf("#%d", i+1)} {
			c, err := n.Get(id)
			if len(id) == 7 && !unique(i, 7) {
				continue
			}
			if err != nil || c.Index != uint64(i) {
				t.Errorf("%s: leaf %d, %v", id, c.Index, err)
			}
		}
	}
	absent := "0000"
	for _, id := range []string{absent, "#21", "#0"} {
		if _, err := n.Get(id); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", "abc", "xyzt", "#", "#-1", "#x", ps[0] + "0", "12 34"} {
		if _, err := n.Get(id); !errors.Is(err, errID) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := n.Export(t.Context(), id); !errors.Is(err, errID) {
			t.Errorf("export %q: %v", id, err)
		}
	}
	list, _, err := n.List(3, 10)
	if err != nil || len(list) != 3 || list[0].Index != 9 || list[2].Index != 7 {
		t.Errorf("got %v, %v", list, err)
	}
}

// Two receipts whose P begin alike are told apart, or said to be ambiguous.
func TestAmbiguousPrefix(t *testing.T) {
	writer := newTestNode(1)
	a := newTestApp(t, writer.id())
	seen := make(map[string]bool)
	var txs [][]byte
	shared := ""
	for shared == "" {
		txs = append(txs, writer.next(t))
		prefix := hex.EncodeToString(writer.previous[:2])
		if seen[prefix] {
			shared = prefix
		}
		seen[prefix] = true
	}
	a.block(txs...)
	err := a.store.view(func(v *view) error {
		_, err := v.resolve(shared, writer.id())
		return err
	})
	if !errors.Is(err, errID) || !strings.Contains(err.Error(), "more than one") {
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

func TestIdentity(t *testing.T) {
	writer := newTestNode(1)
	home := filepath.Join(t.TempDir(), "not", "there", "yet")
	config := testConfig(home, writer.id())
	n, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	hash := n.Genesis().Hash()
	mustCommit(t, n, writer.next(t))
	closeNode(t, n)

	refused := func(name string, c Config, want error) {
		t.Helper()
		n, err := Open(c)
		if err == nil {
			closeNode(t, n)
		}
		if err == nil || (want != nil && !errors.Is(err, want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := config
	other.ChainID = "entroos-fedcba9876543210"
	refused("another chain", other, ErrIdentity)
	other = config
	other.Node = newTestNode(2).id()
	refused("another node", other, ErrIdentity)
	other = config
	other.ChainID = strings.Repeat("x", 33)
	other.Home = t.TempDir()
	refused("chain id too long", other, nil)

	// With any one of the files gone or garbled the ledger does not start, and
	// nothing is made anew behind its back.
	for _, name := range []string{genesisFile, validatorFile, signedFile, databaseFile} {
		path := filepath.Join(home, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string][]byte{"gone": nil, "garbled": []byte("{}garbled")} {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if bad != nil {
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			refused(name+" "+what, config, nil)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = openNode(t, config)
	if n.Genesis().Hash() != hash {
		t.Error("the genesis changed")
	}
	mustCommit(t, n, writer.next(t))
}

// A first start that was cut short anywhere goes on.
func TestFirstStartCutShort(t *testing.T) {
	writer := newTestNode(1)
	whole := t.TempDir()
	if _, _, err := loadIdentity(whole, testChain, writer.id()); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{}, {signedFile}, {signedFile, validatorFile}} {
		home := t.TempDir()
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(whole, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		first, _, err := loadIdentity(home, testChain, writer.id())
		if err != nil {
			t.Fatalf("with %v: %v", names, err)
		}
		again, _, err := loadIdentity(home, testChain, writer.id())
		if err != nil || again.Hash() != first.Hash() {
			t.Errorf("with %v: the second start finds another genesis, %v", names, err)
		}
	}
}
