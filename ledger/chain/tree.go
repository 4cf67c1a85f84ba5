package chain

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
)

// The tree is that of equation 46 (RFC 9162 §2.1). Its hashes are stored at
// tlog's indexes: each that a leaf completes behind that leaf's.

// completed returns the hashes that the leaf at index completes, its own first
// and then upwards: one above for each one bit at the end of its index.
func completed(index uint64, leaf equations.Digest, stored tlog.HashReader) ([]tlog.Hash, error) {
	hashes := []tlog.Hash{tlog.Hash(leaf)}
	levels := bits.TrailingZeros64(^index)
	lefts := make([]int64, levels)
	for level := range lefts {
		lefts[level] = tlog.StoredHashIndex(level, int64(index>>level)-1)
	}
	left, err := stored.ReadHashes(lefts)
	if err != nil {
		return nil, fmt.Errorf("ledger: tree: %w", err)
	}
	node := leaf
	for _, l := range left {
		node = equations.MerkleNode(equations.Digest(l), node)
		hashes = append(hashes, tlog.Hash(node))
	}
	return hashes, nil
}

// treeRoot returns the root of the tree of the first size leaves.
func treeRoot(size uint64, stored tlog.HashReader) (equations.Digest, error) {
	if size == 0 {
		return emptyRoot(), nil
	}
	// The largest complete trees that it is made of, from the left.
	var indexes []int64
	for rest := size; rest > 0; {
		level := bits.Len64(rest) - 1
		rest -= 1 << level
		indexes = append(indexes, tlog.StoredHashIndex(level, int64((size-rest)>>level)-1))
	}
	peaks, err := stored.ReadHashes(indexes)
	if err != nil {
		return equations.Digest{}, fmt.Errorf("ledger: tree: %w", err)
	}
	root := equations.Digest(peaks[len(peaks)-1])
	for i := len(peaks) - 2; i >= 0; i-- {
		root = equations.MerkleNode(equations.Digest(peaks[i]), root)
	}
	return root, nil
}
