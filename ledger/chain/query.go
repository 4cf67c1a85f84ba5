package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/types"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger/proof"
)

// A Committed receipt and its place.
type Committed struct {
	// Receipt is the encoding, signature included.
	Receipt []byte
	// Index is the receipt's leaf in the Merkle tree, from 0.
	Index uint64
	// Height of the block that holds the receipt.
	Height int64
	// UnixNano is when the validators committed that block, by their clocks;
	// 0 for the moment until the next block says it.
	UnixNano int64
}

// List returns receipts, newest first: at most limit, and only those with an
// index below before when that is not 0. It also returns the tree's size.
func (n *Node) List(limit int, before uint64) (list []Committed, size uint64, err error) {
	err = n.store.view(func(v *view) error {
		current, _, err := v.states()
		if err != nil || current == nil {
			return err
		}
		size = current.size
		if before == 0 || before > size {
			before = size
		}
		for i := before; i > 0 && len(list) < limit; i-- {
			c, err := v.committed(i - 1)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, size, err
}

// Get returns the receipt that id names: P in hexadecimal, a unique prefix of
// it of at least four digits, or #N for this node's sequence number N.
func (n *Node) Get(id string) (c Committed, err error) {
	err = n.store.view(func(v *view) error {
		index, err := v.resolve(id, n.config.Node)
		if err != nil {
			return err
		}
		c, err = v.committed(index)
		return err
	})
	return c, err
}

func (v *view) committed(index uint64) (Committed, error) {
	raw, err := v.receipt(index)
	if err != nil {
		return Committed{}, err
	}
	b, err := v.block(index)
	if err != nil {
		return Committed{}, err
	}
	return Committed{Receipt: raw, Index: index, Height: b.height, UnixNano: b.time}, nil
}

// Export returns the proof file of the receipt that id names, against the
// newest header that commits to a tree with it. A receipt of the newest block
// is proved by the next one, which is waited for.
func (n *Node) Export(ctx context.Context, id string) ([]byte, error) {
	for {
		moved := n.app.notices.nextBlock()
		file, err := n.export(id)
		if !errors.Is(err, errNotProved) {
			return file, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("ledger: export: %w: %w", err, ctx.Err())
		case <-n.done:
			return nil, errStopped
		}
	}
}

var errNotProved = errors.New("the block that proves the receipt is not there yet")

func (n *Node) export(id string) ([]byte, error) {
	f := &proof.File{Genesis: n.genesis}
	var height int64
	err := n.store.view(func(v *view) error {
		index, err := v.resolve(id, n.config.Node)
		if err != nil {
			return err
		}
		// The newest block's header commits to the state before it.
		current, previous, err := v.states()
		if err != nil {
			return err
		}
		if index >= previous.size {
			return errNotProved
		}
		raw, err := v.receipt(index)
		if err != nil {
			return err
		}
		path, err := tlog.ProveRecord(int64(previous.size), int64(index), v)
		if err != nil {
			return err
		}
		for _, h := range path {
			f.Path = append(f.Path, h)
		}
		height = current.height
		f.Index, f.Size, f.Rest = index, previous.size, previous.rest()
		return f.Receipt.UnmarshalBinary(raw)
	})
	if err != nil {
		return nil, err
	}
	meta, commit := n.blocks.LoadBlockMeta(height), n.blocks.LoadSeenCommit(height)
	if meta == nil || commit == nil {
		return nil, fmt.Errorf("ledger: export: block %d is not in the store", height)
	}
	f.Header, f.Commit = &meta.Header, commit
	file, err := f.Encode()
	if err != nil {
		return nil, fmt.Errorf("ledger: export: %w", err)
	}
	if _, err := proof.Verify(file, n.genesis.Hash()); err != nil {
		return nil, fmt.Errorf("ledger: the proof made does not verify: %w", err)
	}
	return file, nil
}

// Status is the state of the ledger.
type Status struct {
	ChainID     string
	GenesisHash [32]byte
	// Height of the newest block, and of the oldest that is kept.
	Height, EarliestHeight int64
	// TreeSize counts the receipts; TreeRoot is their Merkle tree's.
	TreeSize uint64
	TreeRoot [32]byte
	// AppHash is what the next block's header will say.
	AppHash [32]byte
	// LastSequence and LastP are those of this box's newest receipt; 0 is none.
	LastSequence uint64
	LastP        [32]byte
	// Validators of the ledger, and how many of them may fail in any way
	// without harm.
	Validators, Tolerated int
	// SignedPower is the voting power that signed the newest block, of
	// TotalPower; 0 before the first.
	SignedPower, TotalPower uint64
	Load                    Load
}

// Status returns the state of the ledger.
func (n *Node) Status() (Status, error) {
	s := Status{ChainID: n.config.ChainID, GenesisHash: n.genesis.Hash(), EarliestHeight: n.blocks.Base()}
	err := n.store.view(func(v *view) error {
		current, _, err := v.states()
		if err != nil {
			return err
		}
		if current == nil {
			current = genesisState(n.genesis)
		}
		node := current.nodes[n.config.Node]
		s.Height, s.TreeSize, s.TreeRoot, s.AppHash = current.height, current.size, current.root, current.appHash()
		s.LastSequence, s.LastP = node.sequence, node.proof
		return nil
	})
	s.Load = n.app.load.now(time.Now())
	validators := n.genesis.Validators()
	s.Validators, s.Tolerated = validators.Size(), equations.ByzantineTolerance(validators.Size())
	s.TotalPower = uint64(validators.TotalVotingPower())
	if commit := n.blocks.LoadSeenCommit(n.blocks.Height()); commit != nil {
		for _, c := range commit.Signatures {
			if _, v := validators.GetByAddress(c.ValidatorAddress); v != nil && c.BlockIDFlag == types.BlockIDFlagCommit {
				s.SignedPower += uint64(v.VotingPower)
			}
		}
	}
	return s, err
}
