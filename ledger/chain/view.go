package chain

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

// A view is the application's store at one moment.
type view struct{ bucket *bbolt.Bucket }

// states returns the state after the last block and after the one before it;
// both are nil before the first block.
func (v *view) states() (current, previous *state, err error) {
	enc := v.bucket.Get(keyState)
	if enc == nil {
		return nil, nil, nil
	}
	if current, err = decodeState(enc); err != nil {
		return nil, nil, err
	}
	previous, err = decodeState(v.bucket.Get(keyPrevious))
	return current, previous, err
}

// receipt returns the encoding of the receipt at a leaf.
func (v *view) receipt(index uint64) ([]byte, error) {
	b := v.bucket.Bucket(bucketReceipts).Get(be64(index))
	if len(b) < ledger.ReceiptSize {
		return nil, fmt.Errorf("receipt at leaf %d is not there", index)
	}
	return bytes.Clone(b[:ledger.ReceiptSize]), nil
}

// block returns the block that holds the leaf.
func (v *view) block(index uint64) (receiptBlock, error) {
	c := v.bucket.Bucket(bucketBlocks).Cursor()
	k, val := c.Seek(be64(index))
	if k == nil {
		k, val = c.Last()
	} else if !bytes.Equal(k, be64(index)) {
		k, val = c.Prev()
	}
	if len(k) != 8 || len(val) != 24 {
		return receiptBlock{}, fmt.Errorf("block of leaf %d is not there", index)
	}
	r := receiptBlock{
		height: int64(binary.BigEndian.Uint64(val)),
		first:  binary.BigEndian.Uint64(k),
		count:  binary.BigEndian.Uint64(val[8:]),
		time:   int64(binary.BigEndian.Uint64(val[16:])),
	}
	if index < r.first || index-r.first >= r.count {
		return receiptBlock{}, fmt.Errorf("block of leaf %d is not there", index)
	}
	return r, nil
}

// bySequence returns the leaf of a node's receipt.
func (v *view) bySequence(node [32]byte, sequence uint64) (index uint64, ok bool, err error) {
	err = v.candidates(bucketSequences, sequenceKey(node, sequence), func(i uint64, r *ledger.Receipt) bool {
		if r.Node == node && r.Sequence == sequence {
			index, ok = i, true
		}
		return !ok
	})
	return index, ok, err
}

// byProof calls fn with the leaves whose P begins with the hexadecimal digits
// until it returns false.
func (v *view) byProof(digits string, fn func(index uint64, r *ledger.Receipt) bool) error {
	prefix, err := hexPrefix(digits)
	if err != nil {
		return err
	}
	return v.candidates(bucketProofs, prefix, func(i uint64, r *ledger.Receipt) bool {
		if !hasHexPrefix(r.Proof, digits) {
			return true
		}
		return fn(i, r)
	})
}

// candidates goes through the entries of an index that begin with prefix. An
// index's key ends in the leaf's index.
func (v *view) candidates(bucket, prefix []byte, fn func(index uint64, r *ledger.Receipt) bool) error {
	c := v.bucket.Bucket(bucket).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		index := binary.BigEndian.Uint64(k[len(k)-8:])
		raw, err := v.receipt(index)
		if err != nil {
			return err
		}
		r := new(ledger.Receipt)
		if err := r.UnmarshalBinary(raw); err != nil {
			return fmt.Errorf("receipt at leaf %d: %w", index, err)
		}
		if !fn(index, r) {
			return nil
		}
	}
	return nil
}

// ReadHashes implements tlog.HashReader. A leaf's hash is made of its
// receipt; those above are stored with the receipt that completed them.
func (v *view) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	receipts := v.bucket.Bucket(bucketReceipts)
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		leaf := uint64(n+1)<<level - 1
		b := receipts.Get(be64(leaf))
		end := ledger.ReceiptSize + level*tlog.HashSize
		if len(b) < end {
			return nil, fmt.Errorf("tree hash %d at level %d is not there", n, level)
		}
		if level == 0 {
			out[i] = tlog.Hash(equations.MerkleLeaf(b[:ledger.ReceiptSize]))
		} else {
			out[i] = tlog.Hash(b[end-tlog.HashSize : end])
		}
	}
	return out, nil
}
