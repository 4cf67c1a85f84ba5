package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/boltdb"
	"github.com/entroos/entroos/ledger/proof"
)

// The application's bucket and what is in it. Integers are big-endian.
var (
	bucketApplication = []byte("application")

	keyGenesis  = []byte("genesis")  // SHA-256 of the genesis file
	keyState    = []byte("state")    // state.encode after the last block
	keyPrevious = []byte("previous") // the same after the block before it

	bucketReceipts  = []byte("receipts")  // index(8) → receipt ‖ tree hashes above its leaf
	bucketProofs    = []byte("proofs")    // first 8 bytes of P ‖ index(8) → nothing
	bucketSequences = []byte("sequences") // node(8 bytes of its key) ‖ sequence(8) ‖ index(8) → nothing
	bucketBlocks    = []byte("blocks")    // index of a block's first receipt(8) → height(8) ‖ count(8) ‖ time(8)
)

// prefixLen is how much of a P or a node's key the indexes hold; the receipt
// itself tells for certain.
const prefixLen = 8

// A store keeps the application's state, the receipts and their tree in one
// bucket of the ledger's file. Each block is one transaction.
type store struct{ file *boltdb.File }

// openStore opens the application's store. It fails if the store belongs to
// another genesis.
func openStore(file *boltdb.File, g *proof.Genesis) (*store, *state, error) {
	s := &store{file}
	hash := g.Hash()
	current := genesisState(g)
	var old []byte
	err := file.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketApplication)
		if b == nil {
			return nil
		}
		old = bytes.Clone(b.Get(keyGenesis))
		if enc := b.Get(keyState); enc != nil {
			var err error
			current, err = decodeState(enc)
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errStore, err)
	case old == nil:
		err = file.Update(func(tx *bbolt.Tx) error { return createBuckets(tx, hash) })
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errStore, err)
		}
	case !bytes.Equal(old, hash[:]):
		return nil, nil, fmt.Errorf("%w: %s was begun with genesis %x, but the genesis document is %x", ErrIdentity, file.Path(), old, hash)
	}
	return s, current, nil
}

func createBuckets(tx *bbolt.Tx, genesis [32]byte) error {
	b, err := tx.CreateBucketIfNotExists(bucketApplication)
	if err != nil {
		return err
	}
	for _, name := range [][]byte{bucketReceipts, bucketProofs, bucketSequences, bucketBlocks} {
		if _, err := b.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return b.Put(keyGenesis, genesis[:])
}

// join leaves a block, the state with its height and all its records, to the
// next transaction of the file.
func (s *store) join(previous *state, o *overlay, done func()) {
	before := previous.encode()
	s.file.Join(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketApplication)
		if err := b.Put(keyPrevious, before); err != nil {
			return err
		}
		if err := b.Put(keyState, o.encode()); err != nil {
			return err
		}
		if err := putReceipts(b, o); err != nil {
			return err
		}
		return putBlock(b, o)
	}, done)
}

// putBlock notes the place of the block's receipts, or when those of the
// block before it were committed.
func putBlock(b *bbolt.Bucket, o *overlay) error {
	if o.last.count == 0 || o.last.height < o.height-1 {
		return nil
	}
	value := binary.BigEndian.AppendUint64(nil, uint64(o.last.height))
	value = binary.BigEndian.AppendUint64(value, o.last.count)
	value = binary.BigEndian.AppendUint64(value, uint64(o.last.time))
	return appending(b.Bucket(bucketBlocks)).Put(be64(o.last.first), value)
}

func putReceipts(b *bbolt.Bucket, o *overlay) error {
	receipts := appending(b.Bucket(bucketReceipts))
	sequences := appending(b.Bucket(bucketSequences))
	proofs := b.Bucket(bucketProofs)
	for i, rec := range o.receipts {
		index := be64(o.base + uint64(i))
		if err := receipts.Put(index, append(bytes.Clone(rec.raw), rec.upper...)); err != nil {
			return err
		}
		if err := proofs.Put(append(bytes.Clone(rec.receipt.Proof[:prefixLen]), index...), nil); err != nil {
			return err
		}
		if err := sequences.Put(append(sequenceKey(rec.receipt.Node, rec.receipt.Sequence), index...), nil); err != nil {
			return err
		}
	}
	return nil
}

// appending tells bbolt that keys only grow, so that full pages stay full.
func appending(b *bbolt.Bucket) *bbolt.Bucket {
	b.FillPercent = 1
	return b
}

func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func sequenceKey(node [32]byte, sequence uint64) []byte {
	return append(bytes.Clone(node[:prefixLen]), be64(sequence)...)
}

// holds tells whether the ledger holds raw under the receipt's number.
func (s *store) holds(r *ledger.Receipt, raw []byte) (held bool, err error) {
	err = s.view(func(v *view) error {
		index, ok, err := v.bySequence(r.Node, r.Sequence)
		if err != nil || !ok {
			return err
		}
		got, err := v.receipt(index)
		held = bytes.Equal(got, raw)
		return err
	})
	return held, err
}

// ReadHashes implements tlog.HashReader over the committed tree.
func (s *store) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	err = s.view(func(v *view) error {
		hashes, err = v.ReadHashes(indexes)
		return err
	})
	return hashes, err
}

func (s *store) view(fn func(*view) error) error {
	err := s.file.View(func(tx *bbolt.Tx) error {
		return fn(&view{tx.Bucket(bucketApplication)})
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return err // the store is well
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}
