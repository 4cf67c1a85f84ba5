package chain

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
)

// errTree says that the ledger has no such tree, or the tree no such leaf.
var errTree = errors.New("ledger: no such tree")

// An Inclusion proof shows a leaf to be in the tree of the first Size receipts.
type Inclusion struct {
	Size uint64
	Root equations.Digest
	Path []equations.Digest
}

// ProveInclusion returns the proof for the leaf at index in the tree of the
// first size receipts; 0 means all of them.
func (n *Node) ProveInclusion(index, size uint64) (p Inclusion, err error) {
	err = n.store.view(func(v *view) error {
		if size, err = v.treeSize(size); err != nil {
			return err
		}
		if index >= size {
			return fmt.Errorf("%w: leaf %d of %d", errTree, index, size)
		}
		root, err := treeRoot(size, v)
		if err != nil {
			return err
		}
		path, err := tlog.ProveRecord(int64(size), int64(index), v)
		if err != nil {
			return err
		}
		if bound := equations.InclusionBound(size); len(path) > bound {
			return fmt.Errorf("ledger: the inclusion proof made has %d hashes, more than %d", len(path), bound)
		}
		p = Inclusion{Size: size, Root: root, Path: digests(path)}
		return nil
	})
	return p, err
}

// A Consistency proof shows that the tree of the first Second receipts begins
// with an earlier one.
type Consistency struct {
	Second                uint64
	FirstRoot, SecondRoot equations.Digest
	Path                  []equations.Digest
}

// ProveConsistency returns the proof between the trees of the first first and
// the first second receipts; a second of 0 means all of them.
func (n *Node) ProveConsistency(first, second uint64) (p Consistency, err error) {
	err = n.store.view(func(v *view) error {
		if second, err = v.treeSize(second); err != nil {
			return err
		}
		if first == 0 || first > second {
			return fmt.Errorf("%w: %d receipts, of %d", errTree, first, second)
		}
		firstRoot, err := treeRoot(first, v)
		if err != nil {
			return err
		}
		secondRoot, err := treeRoot(second, v)
		if err != nil {
			return err
		}
		path, err := tlog.ProveTree(int64(second), int64(first), v)
		if err != nil {
			return err
		}
		if bound := equations.ConsistencyBound(second); len(path) > bound {
			return fmt.Errorf("ledger: the consistency proof made has %d hashes, more than %d", len(path), bound)
		}
		p = Consistency{
			Second: second, FirstRoot: firstRoot, SecondRoot: secondRoot, Path: digests(path),
		}
		return nil
	})
	return p, err
}

// treeSize returns size, or that of the whole tree for 0.
func (v *view) treeSize(size uint64) (uint64, error) {
	current, _, err := v.states()
	if err != nil {
		return 0, err
	}
	if current == nil || current.size == 0 {
		return 0, fmt.Errorf("%w: there are no receipts", errTree)
	}
	if size > current.size {
		return 0, fmt.Errorf("%w: %d receipts, of %d", errTree, size, current.size)
	}
	if size == 0 {
		size = current.size
	}
	return size, nil
}

func digests(hashes []tlog.Hash) []equations.Digest {
	path := make([]equations.Digest, len(hashes))
	for i, h := range hashes {
		path[i] = equations.Digest(h)
	}
	return path
}
