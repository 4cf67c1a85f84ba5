package boltdb

import (
	"go.etcd.io/bbolt"
)

// batch implements dbm.Batch: all its changes are one transaction.
type batch struct {
	store   *Store
	changes []change
	closed  bool
}

// change is a Set, or a Delete if value is nil.
type change struct{ key, value []byte }

// Set implements dbm.Batch.
func (b *batch) Set(key, value []byte) error {
	if err := checkPair(key, value); err != nil {
		return err
	}
	return b.add(change{key, value})
}

// Delete implements dbm.Batch.
func (b *batch) Delete(key []byte) error {
	if len(key) == 0 {
		return ErrKeyEmpty
	}
	return b.add(change{key: key})
}

func (b *batch) add(c change) error {
	if b.closed {
		return ErrBatchClosed
	}
	b.changes = append(b.changes, c)
	return nil
}

// Write implements dbm.Batch. Either all changes are on disk when it returns,
// or it gives an error and none is.
func (b *batch) Write() error {
	if b.closed {
		return ErrBatchClosed
	}
	if len(b.changes) > 0 {
		err := b.store.file.Update(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(b.store.bucket)
			for _, c := range b.changes {
				if err := c.apply(bucket); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return b.Close()
}

// WriteSync implements dbm.Batch.
func (b *batch) WriteSync() error { return b.Write() }

// Close implements dbm.Batch.
func (b *batch) Close() error {
	b.closed, b.changes = true, nil
	return nil
}

func (c change) apply(bucket *bbolt.Bucket) error {
	if c.value == nil {
		return bucket.Delete(c.key)
	}
	return bucket.Put(c.key, c.value)
}
