package proof_test

import (
	"bytes"
	stded25519 "crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

const testChain = "entroos-0123456789abcdef"

var (
	nodeKey    = stded25519.NewKeyFromSeed(make([]byte, 32))
	signedAt   = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)
	receiptsIn = 11
)

// A vote is what a validator does about the block.
type vote = types.BlockIDFlag

// fixture is a proof file as a ledger with these votes would export it.
type fixture struct {
	genesis *proof.Genesis
	file    *proof.File
	keys    map[string]ed25519.PrivKey // by address
}

func makeGenesis(t testing.TB, validators []types.GenesisValidator, nodes ...[32]byte) *proof.Genesis {
	t.Helper()
	var hexNodes []string
	for _, n := range nodes {
		hexNodes = append(hexNodes, fmt.Sprintf("%x", n))
	}
	state, err := json.Marshal(map[string]any{"nodes": hexNodes})
	if err != nil {
		t.Fatal(err)
	}
	doc := &types.GenesisDoc{
		GenesisTime: time.Unix(0, 0).UTC(), ChainID: testChain, InitialHeight: 1,
		ConsensusParams: types.DefaultConsensusParams(), Validators: validators, AppState: state,
	}
	b, err := cmtjson.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	g, err := proof.ParseGenesis(append(b, '\n'))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func nodeID() [32]byte { return [32]byte(nodeKey.Public().(stded25519.PublicKey)) }

func makeReceipt(t testing.TB, sequence int) *ledger.Receipt {
	t.Helper()
	r := &ledger.Receipt{ChainID: testChain, Node: nodeID(), Sequence: uint64(sequence), Outcome: ledger.OutcomeExited}
	if err := r.Seal(nodeKey); err != nil {
		t.Fatal(err)
	}
	return r
}

func newFixture(t testing.TB, votes ...vote) *fixture {
	t.Helper()
	f := &fixture{keys: make(map[string]ed25519.PrivKey)}
	var validators []types.GenesisValidator
	for i := range votes {
		key := ed25519.GenPrivKeyFromSecret([]byte{byte(i)})
		f.keys[key.PubKey().Address().String()] = key
		validators = append(validators, types.GenesisValidator{Address: key.PubKey().Address(), PubKey: key.PubKey(), Power: 1})
	}
	f.genesis = makeGenesis(t, validators, nodeID())

	// The tree, and the receipt's place in it.
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(x []int64) (out []tlog.Hash, err error) {
		for _, i := range x {
			out = append(out, stored[i])
		}
		return out, nil
	})
	const index = 5
	for i := range receiptsIn {
		raw, err := makeReceipt(t, i+1).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := tlog.StoredHashes(int64(i), raw, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	path, err := tlog.ProveRecord(int64(receiptsIn), index, reader)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(int64(receiptsIn), reader)
	if err != nil {
		t.Fatal(err)
	}
	f.file = &proof.File{Receipt: *makeReceipt(t, index+1), Index: index, Size: uint64(receiptsIn), Rest: sha256.Sum256([]byte("rest")), Genesis: f.genesis}
	for _, h := range path {
		f.file.Path = append(f.file.Path, equations.Digest(h))
	}
	f.file.Header = f.header(proof.AppHash(f.file.Size, root, f.file.Rest))
	f.file.Commit = f.commit(t, f.file.Header, votes)
	return f
}

func (f *fixture) header(app [32]byte) *types.Header {
	hash := func(s string) []byte {
		d := sha256.Sum256([]byte(s))
		return d[:]
	}
	validators := f.genesis.Validators()
	return &types.Header{
		Version: cmtversion.Consensus{Block: 11, App: 1}, ChainID: testChain, Height: 1234, Time: signedAt.Add(-time.Second),
		LastBlockID:    types.BlockID{Hash: hash("last"), PartSetHeader: types.PartSetHeader{Total: 1, Hash: hash("parts")}},
		LastCommitHash: hash("commit"), DataHash: hash("data"), ConsensusHash: hash("consensus"), LastResultsHash: hash("results"),
		EvidenceHash: hash("evidence"), ProposerAddress: validators.Validators[0].Address,
		ValidatorsHash: validators.Hash(), NextValidatorsHash: validators.Hash(), AppHash: app[:],
	}
}

func (f *fixture) commit(t testing.TB, h *types.Header, votes []vote) *types.Commit {
	t.Helper()
	parts := sha256.Sum256([]byte("part set"))
	c := &types.Commit{Height: h.Height, Round: 2, BlockID: types.BlockID{Hash: h.Hash(), PartSetHeader: types.PartSetHeader{Total: 3, Hash: parts[:]}}}
	for i, v := range f.genesis.Validators().Validators {
		s := types.CommitSig{BlockIDFlag: votes[i]}
		if votes[i] != types.BlockIDFlagAbsent {
			s.ValidatorAddress, s.Timestamp = v.Address, signedAt
		}
		c.Signatures = append(c.Signatures, s)
	}
	for i := range c.Signatures {
		if votes[i] == types.BlockIDFlagAbsent {
			continue
		}
		key := f.keys[c.Signatures[i].ValidatorAddress.String()]
		signature, err := key.Sign(c.VoteSignBytes(testChain, int32(i)))
		if err != nil {
			t.Fatal(err)
		}
		c.Signatures[i].Signature = signature
	}
	return c
}

func (f *fixture) encode(t testing.TB) []byte {
	t.Helper()
	b, err := f.file.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerify(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit)
	e, err := proof.Verify(f.encode(t), f.genesis.Hash())
	if err != nil {
		t.Fatal(err)
	}
	if e.Receipt.Sequence != 6 || e.Index != 5 || e.Size != 11 || e.Height != 1234 || !e.Signed.Equal(signedAt) ||
		e.ChainID != testChain || e.Signers != 1 || e.Validators != 1 || e.Power != 1 || e.TotalPower != 1 {
		t.Errorf("got %+v", e)
	}
	shown, not := strings.Join(e.Shown(), "\n"), strings.Join(e.NotShown(), "\n")
	for _, want := range []string{"its number 6", "leaf 5 of the ledger's 11", "block 1234", "2026-11-22T12:00:00Z", "1 of 1 validators"} {
		if !strings.Contains(shown, want) {
			t.Errorf("what is shown does not say %q:\n%s", want, shown)
		}
	}
	for _, want := range []string{"told the truth", "one validator, which could sign another history"} {
		if !strings.Contains(not, want) {
			t.Errorf("what is not shown does not say %q:\n%s", want, not)
		}
	}
}

// Every bit of the file is held by something.
func TestEveryBitFlipIsRefused(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit)
	flipEveryBit(t, f, 0, len(f.encode(t)))
}

// So is every bit of a commit with votes for the block, for none, and missing.
func TestEveryBitFlipOfCommitIsRefused(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit, types.BlockIDFlagNil, types.BlockIDFlagCommit, types.BlockIDFlagCommit,
		types.BlockIDFlagAbsent, types.BlockIDFlagCommit, types.BlockIDFlagCommit)
	end := len(f.encode(t)) - len(f.genesis.File)
	signature := f.file.Commit.Signatures[0].Signature
	begin := bytes.Index(f.encode(t), signature) - 60 // before the round
	flipEveryBit(t, f, begin, end)
}

func flipEveryBit(t *testing.T, f *fixture, begin, end int) {
	t.Helper()
	file, trust := f.encode(t), f.genesis.Hash()
	if _, err := proof.Verify(file, trust); err != nil {
		t.Fatal(err)
	}
	for bit := 8 * begin; bit < 8*end; bit++ {
		file[bit/8] ^= 1 << (bit % 8)
		if _, err := proof.Verify(file, trust); err == nil {
			t.Errorf("bit %d of byte %d flipped, and it verifies", bit%8, bit/8)
		}
		file[bit/8] ^= 1 << (bit % 8)
	}
}

func TestOtherLengthIsRefused(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit)
	file, trust := f.encode(t), f.genesis.Hash()
	for n := range len(file) {
		if _, err := proof.Verify(file[:n], trust); !errors.Is(err, proof.ErrFormat) {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
	for _, more := range [][]byte{{0}, []byte("\n"), file} {
		if _, err := proof.Verify(append(bytes.Clone(file), more...), trust); !errors.Is(err, proof.ErrFormat) {
			t.Errorf("%d bytes more: %v", len(more), err)
		}
	}
}

func TestTrustComesFromOutside(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit)
	if _, err := proof.Verify(f.encode(t), sha256.Sum256([]byte("another"))); !errors.Is(err, proof.ErrRefused) {
		t.Errorf("got %v", err)
	}
	// A file that is right in itself, of a ledger that is not trusted.
	other := newFixture(t, types.BlockIDFlagCommit, types.BlockIDFlagCommit)
	if _, err := proof.Verify(other.encode(t), f.genesis.Hash()); !errors.Is(err, proof.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// More than two thirds of the voting power have to sign, and every signature
// that is there has to be good.
func TestQuorum(t *testing.T) {
	commit, absent, none := types.BlockIDFlagCommit, types.BlockIDFlagAbsent, types.BlockIDFlagNil
	for _, c := range []struct {
		votes []vote
		good  bool
	}{
		{[]vote{commit, commit, commit, absent}, true},
		{[]vote{commit, commit, commit, none}, true},
		{[]vote{commit, commit, absent}, false}, // two thirds are not more
		{[]vote{commit, commit, none, none}, false},
		{[]vote{absent}, false},
	} {
		f := newFixture(t, c.votes...)
		if _, err := proof.Verify(f.encode(t), f.genesis.Hash()); (err == nil) != c.good {
			t.Errorf("%v: %v", c.votes, err)
		}
	}
	// A bad signature beyond the quorum is refused as well.
	f := newFixture(t, commit, commit, commit, commit)
	f.file.Commit.Signatures[3].Signature[0] ^= 1
	if _, err := proof.Verify(f.encode(t), f.genesis.Hash()); !errors.Is(err, proof.ErrRefused) {
		t.Errorf("bad fourth signature: %v", err)
	}
}

// Files that are whole, but put together from parts that do not belong.
func TestForgeries(t *testing.T) {
	good := newFixture(t, types.BlockIDFlagCommit)
	for name, forge := range map[string]func(*fixture){
		"another receipt of the node": func(f *fixture) { f.file.Receipt = *makeReceipt(t, 7) },
		"unsigned receipt":            func(f *fixture) { f.file.Receipt.Signature = [64]byte{} },
		"another leaf":                func(f *fixture) { f.file.Index = 4 },
		"another size":                func(f *fixture) { f.file.Size = 12 },
		"path too long":               func(f *fixture) { f.file.Path = append(f.file.Path, equations.Digest{}) },
		"path too short":              func(f *fixture) { f.file.Path = f.file.Path[1:] },
		"leaf outside the tree":       func(f *fixture) { f.file.Index = 11 },
		"another height":              func(f *fixture) { f.file.Header.Height++ },
		"height 0":                    func(f *fixture) { f.file.Header.Height = 0 },
		"another round":               func(f *fixture) { f.file.Commit.Round++ },
		"no signature":                func(f *fixture) { f.file.Commit.Signatures = nil },
		"signature twice":             func(f *fixture) { f.file.Commit.Signatures = slices.Repeat(f.file.Commit.Signatures, 2) },
		"signed by another": func(f *fixture) {
			for a := range f.keys {
				f.keys[a] = ed25519.GenPrivKeyFromSecret([]byte("another"))
			}
			f.file.Commit = f.commit(t, f.file.Header, []vote{types.BlockIDFlagCommit})
		},
	} {
		f := newFixture(t, types.BlockIDFlagCommit)
		forge(f)
		if _, err := proof.Verify(f.encode(t), good.genesis.Hash()); !errors.Is(err, proof.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node that the genesis does not name proves nothing, whatever it signed.
func TestUnknownNode(t *testing.T) {
	f := newFixture(t, types.BlockIDFlagCommit)
	f.genesis = makeGenesis(t, f.genesis.Doc.Validators, sha256.Sum256([]byte("another node")))
	f.file.Genesis = f.genesis
	if _, err := proof.Verify(f.encode(t), f.genesis.Hash()); !errors.Is(err, proof.ErrRefused) || !strings.Contains(err.Error(), "does not name") {
		t.Errorf("got %v", err)
	}
}

func TestGenesis(t *testing.T) {
	key := ed25519.GenPrivKeyFromSecret([]byte("v")).PubKey()
	g, err := proof.NewGenesis(testChain, nodeID(), key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := proof.NewGenesis(testChain, nodeID(), key)
	if err != nil || !bytes.Equal(g.File, again.File) {
		t.Error("the genesis is not a function of its arguments")
	}
	if !g.HasNode(nodeID()) || g.HasNode([32]byte{}) || g.Hash() != sha256.Sum256(g.File) {
		t.Error("genesis and file do not agree")
	}
	for name, bad := range map[string][]byte{
		"empty":         nil,
		"not JSON":      []byte("genesis"),
		"space added":   append(bytes.Clone(g.File), ' '),
		"newline gone":  bytes.TrimSuffix(g.File, []byte("\n")),
		"unknown field": bytes.Replace(g.File, []byte(`"app_hash"`), []byte(`"more": 1, "app_hash"`), 1),
		"no validator":  bytes.Replace(g.File, []byte(`"validators"`), []byte(`"Validators"`), 1),
		"bad node":      bytes.Replace(g.File, []byte(fmt.Sprintf("%x", nodeID())), []byte("00"), 1),
		"unknown state": bytes.Replace(g.File, []byte(`"nodes"`), []byte(`"notes"`), 1),
	} {
		if _, err := proof.ParseGenesis(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 33)} {
		if _, err := proof.NewGenesis(id, nodeID(), key); err == nil {
			t.Errorf("chain id %q: no error", id)
		}
	}
}

func FuzzParseGenesis(f *testing.F) {
	good := newFixture(f, types.BlockIDFlagCommit).genesis.File
	f.Add(good)
	f.Add(bytes.Replace(good, []byte(`"validators"`), []byte(`"Validators"`), 1))
	f.Add([]byte(`{"validators":[{"pub_key":null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := proof.ParseGenesis(b)
		if err != nil {
			return
		}
		if !bytes.Equal(g.File, b) || len(g.Validators().Validators) == 0 {
			t.Fatal("another genesis was read")
		}
		for _, node := range g.Nodes {
			if !g.HasNode(node) {
				t.Fatal("a node is missing")
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	good := newFixture(f, types.BlockIDFlagCommit)
	file := good.encode(f)
	f.Add(file)
	f.Add(newFixture(f, types.BlockIDFlagCommit, types.BlockIDFlagNil, types.BlockIDFlagAbsent).encode(f))
	f.Add([]byte("entroos/proof/v1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := proof.Parse(b)
		if err == nil {
			if again, err := parsed.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("parsed, but encodes to something else: %v", err)
			}
		}
		if _, err := proof.Verify(b, good.genesis.Hash()); err == nil && !bytes.Equal(b, file) {
			t.Fatal("another file verifies")
		}
		// As if the file's own genesis were trusted: nothing may panic.
		if parsed != nil {
			_, _ = proof.Verify(b, sha256.Sum256(parsed.Genesis.File))
		}
	})
}

func BenchmarkVerifyFile(b *testing.B) {
	f := newFixture(b, types.BlockIDFlagCommit)
	file, trust := f.encode(b), f.genesis.Hash()
	for b.Loop() {
		if _, err := proof.Verify(file, trust); err != nil {
			b.Fatal(err)
		}
	}
}
