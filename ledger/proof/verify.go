package proof

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cometbft/cometbft/types"
	cmttime "github.com/cometbft/cometbft/types/time"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

// ErrRefused says that a proof file does not prove its receipt.
var ErrRefused = errors.New("proof: refused")

// Verify checks a proof file from end to end, offline, and returns what it
// shows. Trust comes from outside the file: it is the SHA-256 of the ledger's
// genesis document.
//
// The validators are those of the genesis: a ledger whose validators change
// needs another version of the file.
func Verify(file []byte, genesisHash [32]byte) (*ledger.Evidence, error) {
	f, err := Parse(file)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(f.Genesis.File); got != genesisHash {
		return nil, fmt.Errorf("%w: the file is for the ledger with genesis %x, not %x", ErrRefused, got, genesisHash)
	}
	if f.Genesis, err = ParseGenesis(f.Genesis.File); err != nil {
		return nil, err
	}
	e := &ledger.Evidence{
		Receipt: &f.Receipt, GenesisHash: genesisHash, ChainID: f.Genesis.Doc.ChainID,
		Index: f.Index, Size: f.Size, Height: f.Header.Height,
	}
	if err := f.verifyReceipt(); err != nil {
		return nil, err
	}
	if err := f.complete(); err != nil {
		return nil, err
	}
	if err := f.verifyCommit(e); err != nil {
		return nil, err
	}
	return e, nil
}

// verifyReceipt checks that the receipt is one of this ledger's nodes'.
func (f *File) verifyReceipt() error {
	if f.Receipt.ChainID != f.Genesis.Doc.ChainID {
		return fmt.Errorf("%w: the receipt is for chain %s, the genesis for %s", ErrRefused, f.Receipt.ChainID, f.Genesis.Doc.ChainID)
	}
	if !f.Genesis.HasNode(f.Receipt.Node) {
		return fmt.Errorf("%w: the genesis does not name the receipt's node %x", ErrRefused, f.Receipt.Node)
	}
	if err := f.Receipt.Verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// complete computes what the file leaves out: from the receipt to the tree's
// root, to the application's hash, to the header's hash, to the commit.
func (f *File) complete() error {
	raw, err := f.Receipt.MarshalBinary()
	if err != nil {
		return err
	}
	root, err := equations.InclusionRoot(equations.MerkleLeaf(raw), f.Index, f.Size, f.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	app := AppHash(f.Size, root, f.Rest)
	validators := f.Genesis.Validators()
	f.Header.ChainID = f.Genesis.Doc.ChainID
	f.Header.AppHash = app[:]
	f.Header.ValidatorsHash = validators.Hash()
	f.Header.NextValidatorsHash = f.Header.ValidatorsHash
	if err := f.Header.ValidateBasic(); err != nil {
		return fmt.Errorf("%w: header: %w", ErrRefused, err)
	}
	f.Commit.Height = f.Header.Height
	f.Commit.BlockID.Hash = f.Header.Hash()
	if len(f.Commit.Signatures) != validators.Size() {
		return fmt.Errorf("%w: %d signatures for %d validators", ErrRefused, len(f.Commit.Signatures), validators.Size())
	}
	for i := range f.Commit.Signatures {
		if s := &f.Commit.Signatures[i]; s.BlockIDFlag != types.BlockIDFlagAbsent {
			s.ValidatorAddress = validators.Validators[i].Address
		}
	}
	if err := f.Commit.ValidateBasic(); err != nil {
		return fmt.Errorf("%w: commit: %w", ErrRefused, err)
	}
	return nil
}

// verifyCommit checks every signature under the header, and that they are of
// more than two thirds of the voting power.
func (f *File) verifyCommit(e *ledger.Evidence) error {
	validators := f.Genesis.Validators()
	if err := validators.VerifyCommit(e.ChainID, f.Commit.BlockID, f.Commit.Height, f.Commit); err != nil {
		return fmt.Errorf("%w: commit: %w", ErrRefused, err)
	}
	e.Validators, e.TotalPower = validators.Size(), validators.TotalVotingPower()
	var times []*cmttime.WeightedTime
	for i, s := range f.Commit.Signatures {
		if s.BlockIDFlag != types.BlockIDFlagCommit {
			continue
		}
		power := validators.Validators[i].VotingPower
		e.Signers++
		e.Power += power
		times = append(times, cmttime.NewWeightedTime(s.Timestamp, power))
	}
	if !equations.Quorum(uint64(e.Power), uint64(e.TotalPower)) {
		return fmt.Errorf("%w: commit: signed by %d of %d of the voting power", ErrRefused, e.Power, e.TotalPower)
	}
	e.Signed = cmttime.WeightedMedian(times, e.Power)
	return nil
}
