package chain

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/boltdb"
	"github.com/entroos/entroos/ledger/proof"
)

// A testApp is the application without CometBFT: blocks are made by hand.
type testApp struct {
	*application
	t    failer
	file *boltdb.File
	path string
}

type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func testGenesis(t failer, node [32]byte) *proof.Genesis {
	t.Helper()
	g, err := proof.NewGenesis(testChain, node, ed25519.GenPrivKeyFromSecret([]byte("validator")).PubKey())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func openApp(t failer, path string, node [32]byte) *testApp {
	t.Helper()
	file, err := boltdb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	g := testGenesis(t, node)
	s, current, err := openStore(file, g)
	if err != nil {
		t.Fatal(err)
	}
	return &testApp{newApplication(g, s, current), t, file, path}
}

func newTestApp(t *testing.T, node [32]byte) *testApp {
	t.Helper()
	a := openApp(t, filepath.Join(t.TempDir(), "app.db"), node)
	t.Cleanup(func() { a.close() })
	return a
}

func (a *testApp) close() {
	a.t.Helper()
	if err := a.file.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *testApp) reopen() *testApp {
	a.t.Helper()
	a.close()
	return openApp(a.t, a.path, a.genesis.Nodes[0])
}

// block executes and commits a block, and returns its transactions' codes.
func (a *testApp) block(txs ...[]byte) []uint32 {
	a.t.Helper()
	height := a.committed.height + 1
	res, err := a.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{
		Height: height, Time: time.Unix(height, 0), Txs: txs,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.Commit(context.Background(), nil); err != nil {
		a.t.Fatal(err)
	}
	if err := a.flush(); err != nil {
		a.t.Fatal(err)
	}
	if hash := a.committed.appHash(); string(hash[:]) != string(res.AppHash) {
		a.t.Fatal("FinalizeBlock and Commit do not agree")
	}
	codes := make([]uint32, len(txs))
	for i, r := range res.TxResults {
		codes[i] = r.Code
	}
	return codes
}

func (a *testApp) check(raw []byte) *abci.ResponseCheckTx {
	a.t.Helper()
	res, err := a.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw})
	if err != nil {
		a.t.Fatal(err)
	}
	return res
}

func TestRefusals(t *testing.T) {
	writer, stranger := newTestNode(1), newTestNode(2)
	a := newTestApp(t, writer.id())
	first := writer.next(t)
	a.block()
	a.block(first)

	second := writer.next(t)
	third := writer.next(t)
	other := func(change func(*ledger.Receipt)) []byte {
		var r ledger.Receipt
		if err := r.UnmarshalBinary(second); err != nil {
			t.Fatal(err)
		}
		change(&r)
		if err := r.Seal(writer.key); err != nil {
			t.Fatal(err)
		}
		raw, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	flipped := func(at int) []byte {
		b := []byte(string(second))
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		raw    []byte
		code   uint32
		reason string
	}{
		"malformed":       {second[:len(second)-1], codeMalformed, "malformed"},
		"empty":           {nil, codeMalformed, "malformed"},
		"another version": {flipped(1), codeMalformed, "version 0"},
		"wrong chain":     {other(func(r *ledger.Receipt) { r.ChainID = "entroos-elsewhere" }), codeWrongChain, "entroos-elsewhere"},
		"unknown node":    {stranger.next(t), codeUnknownNode, "not known"},
		"bad signature":   {flipped(ledger.ReceiptSize - 1), codeBadSignature, "signature"},
		"bad digest":      {flipped(400), codeBadSignature, "digests"},
		"identical":       {first, codeDuplicate, "already"},
		"other bytes under the same number": {
			other(func(r *ledger.Receipt) { r.Sequence, r.Previous = 1, [32]byte{} }), codeConflict,
			"another receipt of this node stands under number 1",
		},
		"gap":            {third, codeGap, "gap: receipt 3 of this node, but the next is 2"},
		"wrong previous": {other(func(r *ledger.Receipt) { r.Previous[0] ^= 1 }), codeWrongPrevious, "names"},
	} {
		if res := a.check(c.raw); res.Code != c.code || !strings.Contains(res.Log, c.reason) {
			t.Errorf("%s: code %d, %q", name, res.Code, res.Log)
		}
		if codes := a.block(c.raw); codes[0] != c.code {
			t.Errorf("%s in a block: code %d", name, codes[0])
		}
		res, err := a.ProcessProposal(t.Context(), &abci.RequestProcessProposal{Height: 99, Txs: [][]byte{c.raw}})
		if err != nil || res.IsAccepted() {
			t.Errorf("%s: a block with it is accepted, %v", name, err)
		}
	}
	if a.committed.size != 1 {
		t.Fatalf("%d receipts in the tree", a.committed.size)
	}
	if codes := a.block(second, third, second); codes[0] != codeOK || codes[1] != codeOK || codes[2] != codeDuplicate {
		t.Errorf("codes %v", codes)
	}
}

// A node may have many receipts waiting; what no longer fits after a block is
// refused, and says so to who waits.
func TestWaiting(t *testing.T) {
	writer := newTestNode(1)
	a := newTestApp(t, writer.id())
	var raws [][]byte
	for range 5 {
		raws = append(raws, writer.next(t))
	}
	for i, raw := range raws {
		if res := a.check(raw); res.Code != codeOK {
			t.Fatalf("receipt %d: %s", i+1, res.Log)
		}
		if res := a.check(raw); res.Code != codeOK {
			t.Fatalf("receipt %d again: %s", i+1, res.Log)
		}
	}
	a.block(raws[0], raws[1])
	for _, raw := range raws[2:] {
		res, err := a.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: raw, Type: abci.CheckTxType_Recheck})
		if err != nil || res.Code != codeOK {
			t.Fatalf("recheck: %v, %v", res, err)
		}
	}
	// Another history of the same node gets into a block first.
	fork := newTestNode(1)
	fork.sequence, fork.previous = 2, a.committed.nodes[fork.id()].proof
	rival := fork.next(t)
	rival = resealed(t, rival, fork)
	a.block(rival)
	res, err := a.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: raws[2], Type: abci.CheckTxType_Recheck})
	if err != nil || res.Code != codeConflict {
		t.Fatalf("recheck: %v, %v", res, err)
	}
}

// resealed gives the receipt another nonce.
func resealed(t testing.TB, raw []byte, n *testNode) []byte {
	t.Helper()
	var r ledger.Receipt
	if err := r.UnmarshalBinary(raw); err != nil {
		t.Fatal(err)
	}
	r.Nonce[31] = 1
	if err := r.Seal(n.key); err != nil {
		t.Fatal(err)
	}
	b, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPrepareProposal(t *testing.T) {
	writer := newTestNode(1)
	a := newTestApp(t, writer.id())
	var raws [][]byte
	for range 10 {
		raws = append(raws, writer.next(t))
	}
	offered := append([][]byte{raws[3], {1, 2, 3}}, raws...) // one too early, one malformed
	res, err := a.PrepareProposal(t.Context(), &abci.RequestPrepareProposal{Height: 1, Txs: offered, MaxTxBytes: 5*txSize(raws[0]) + 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Txs) != 5 {
		t.Fatalf("%d transactions", len(res.Txs))
	}
	for i, tx := range res.Txs {
		if string(tx) != string(raws[i]) {
			t.Errorf("transaction %d is another", i)
		}
	}
	if accepted, err := a.ProcessProposal(t.Context(), &abci.RequestProcessProposal{Height: 1, Txs: res.Txs}); err != nil || !accepted.IsAccepted() {
		t.Errorf("own proposal is rejected: %v", err)
	}
}

// The same blocks give the same state and the same hash, whether the process
// lived through them, was stopped between them, or executed some twice.
func TestReplayGivesTheSameHash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		writer := newTestNode(1)
		var blocks [][][]byte
		for range rapid.IntRange(1, 6).Draw(rt, "blocks") {
			var txs [][]byte
			for range rapid.IntRange(0, 4).Draw(rt, "receipts") {
				txs = append(txs, writer.next(t))
			}
			if rapid.Bool().Draw(rt, "garbage") {
				txs = append(txs, rapid.SliceOf(rapid.Byte()).Draw(rt, "tx"))
			}
			blocks = append(blocks, txs)
		}
		dir := t.TempDir()
		a := openApp(rt, filepath.Join(dir, "a.db"), writer.id())
		b := openApp(rt, filepath.Join(dir, "b.db"), writer.id())
		for _, txs := range blocks {
			a.block(txs...)
			if rapid.Bool().Draw(rt, "execute twice") {
				if _, err := b.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{
					Height: b.committed.height + 1, Time: time.Unix(7, 0), Txs: txs,
				}); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.Bool().Draw(rt, "lose the commit") {
				height := b.committed.height + 1
				if _, err := b.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: height, Time: time.Unix(height, 0), Txs: txs}); err != nil {
					rt.Fatal(err)
				}
				if _, err := b.Commit(context.Background(), nil); err != nil {
					rt.Fatal(err)
				}
				b = b.reopen()
			}
			b.block(txs...)
			if rapid.Bool().Draw(rt, "restart") {
				b = b.reopen()
			}
			if a.committed.appHash() != b.committed.appHash() || string(a.committed.encode()) != string(b.committed.encode()) {
				rt.Fatalf("block %d: the states differ", a.committed.height)
			}
		}
		a.close()
		b.close()
	})
}

// The tree is RFC 9162's over the receipts as they are encoded, and its hashes
// survive on disk.
func TestTree(t *testing.T) {
	writer := newTestNode(1)
	a := newTestApp(t, writer.id())
	var leaves []tlog.Hash
	for size := range 40 {
		var txs [][]byte
		for range size % 5 {
			raw := writer.next(t)
			txs = append(txs, raw)
			leaves = append(leaves, tlog.RecordHash(raw))
		}
		a.block(txs...)
		if want := merkleRoot(leaves); a.committed.root != want {
			t.Fatalf("%d leaves: root %x, want %x", len(leaves), a.committed.root, want)
		}
	}
	root, err := tlog.TreeHash(int64(len(leaves)), a.store)
	if err != nil || root != tlog.Hash(a.committed.root) {
		t.Fatalf("from disk: %x, %v", root, err)
	}
}

// merkleRoot is RFC 9162 §2.1.1 as it is written there.
func merkleRoot(leaves []tlog.Hash) [32]byte {
	switch len(leaves) {
	case 0:
		return emptyRoot()
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(merkleRoot(leaves[:k]), merkleRoot(leaves[k:]))
}

// All state is in the hash: the tree, what each node wrote last, and which
// block holds which receipts.
func TestAppHashCoversState(t *testing.T) {
	base := genesisState(testGenesis(t, newTestNode(1).id()))
	base.size, base.last = 3, receiptBlock{height: 4, first: 1, count: 2, time: 5}
	seen := map[[32]byte]string{base.appHash(): "base"}
	for name, change := range map[string]func(*state){
		"root":     func(s *state) { s.root[0]++ },
		"size":     func(s *state) { s.size++ },
		"blocks":   func(s *state) { s.blocks[0]++ },
		"height":   func(s *state) { s.last.height++ },
		"first":    func(s *state) { s.last.first++ },
		"count":    func(s *state) { s.last.count++ },
		"sequence": func(s *state) { s.nodes[newTestNode(1).id()] = nodeState{sequence: 1} },
		"proof":    func(s *state) { s.nodes[newTestNode(1).id()] = nodeState{proof: [32]byte{1}} },
		"node":     func(s *state) { s.nodes[newTestNode(2).id()] = nodeState{} },
	} {
		c := base.clone()
		change(c)
		if old, ok := seen[c.appHash()]; ok {
			t.Errorf("%s is not in the hash (as %s)", name, old)
		}
		seen[c.appHash()] = name
		again, err := decodeState(c.encode())
		if err != nil || again.appHash() != c.appHash() || string(again.encode()) != string(c.encode()) {
			t.Errorf("%s: does not survive the disk: %v", name, err)
		}
	}
	for n := range len(base.encode()) {
		if _, err := decodeState(base.encode()[:n]); err == nil {
			t.Errorf("decoded from %d bytes", n)
		}
	}
	// The height alone is not: a block without receipts needs no proof block.
	c := base.clone()
	c.height++
	if c.appHash() != base.appHash() {
		t.Error("an empty block changes the hash")
	}
}

func TestOtherGenesisIsRefused(t *testing.T) {
	a := newTestApp(t, newTestNode(1).id())
	if _, _, err := openStore(a.file, testGenesis(t, newTestNode(2).id())); err == nil || !strings.Contains(err.Error(), "genesis") {
		t.Errorf("got %v", err)
	}
}

// replay executes a block of a ledger.
func (a *testApp) replay(b *types.Block) {
	a.t.Helper()
	_, err := a.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: b.Height, Time: b.Time, Txs: b.Txs.ToSliceOfBytes()})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.Commit(context.Background(), nil); err != nil {
		a.t.Fatal(err)
	}
	if err := a.flush(); err != nil {
		a.t.Fatal(err)
	}
}
