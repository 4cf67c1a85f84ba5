package boltdb

import (
	"bytes"
	"errors"
	"fmt"

	dbm "github.com/cometbft/cometbft-db"
	"go.etcd.io/bbolt"
)

// Errors of misuse, as dbm.DB asks for them.
var (
	ErrKeyEmpty    = errors.New("boltdb: key is empty")
	ErrValueNil    = errors.New("boltdb: value is nil")
	ErrBatchClosed = errors.New("boltdb: batch has been written or closed")
)

// A Store is one bucket of a File as CometBFT's dbm.DB. Set and Delete are as
// durable as SetSync and DeleteSync.
type Store struct {
	file   *File
	bucket []byte
}

var _ dbm.DB = (*Store)(nil)

// Store returns the store of that name, and makes its bucket if need be.
func (f *File) Store(name string) (*Store, error) {
	s := &Store{file: f, bucket: []byte(name)}
	var exists bool
	err := f.View(func(tx *bbolt.Tx) error {
		exists = tx.Bucket(s.bucket) != nil
		return nil
	})
	if err == nil && !exists {
		err = f.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(s.bucket)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("boltdb: store %s: %w", name, err)
	}
	return s, nil
}

// Get implements dbm.DB. The value is the caller's.
func (s *Store) Get(key []byte) (value []byte, err error) {
	if len(key) == 0 {
		return nil, ErrKeyEmpty
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket(s.bucket).Get(key))
		return nil
	})
	return value, err
}

// Has implements dbm.DB.
func (s *Store) Has(key []byte) (has bool, err error) {
	if len(key) == 0 {
		return false, ErrKeyEmpty
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		has = tx.Bucket(s.bucket).Get(key) != nil
		return nil
	})
	return has, err
}

// Set implements dbm.DB.
func (s *Store) Set(key, value []byte) error {
	if err := checkPair(key, value); err != nil {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).Put(key, value)
	})
}

// SetSync implements dbm.DB.
func (s *Store) SetSync(key, value []byte) error { return s.Set(key, value) }

// Delete implements dbm.DB. Deleting what is not there writes nothing.
func (s *Store) Delete(key []byte) error {
	has, err := s.Has(key)
	if err != nil || !has {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).Delete(key)
	})
}

// DeleteSync implements dbm.DB.
func (s *Store) DeleteSync(key []byte) error { return s.Delete(key) }

// Iterator implements dbm.DB; see Iterator for what it sees of later writes.
func (s *Store) Iterator(start, end []byte) (dbm.Iterator, error) {
	return newIterator(s, start, end, false)
}

// ReverseIterator implements dbm.DB.
func (s *Store) ReverseIterator(start, end []byte) (dbm.Iterator, error) {
	return newIterator(s, start, end, true)
}

// Close implements dbm.DB. It does nothing: the file is shared, and closed by
// who opened it.
func (s *Store) Close() error { return nil }

// NewBatch implements dbm.DB.
func (s *Store) NewBatch() dbm.Batch { return &batch{store: s} }

// Print implements dbm.DB.
func (s *Store) Print() error {
	return s.file.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).ForEach(func(k, v []byte) error {
			fmt.Printf("[%X]:\t[%X]\n", k, v)
			return nil
		})
	})
}

// Stats implements dbm.DB.
func (s *Store) Stats() map[string]string {
	stats := make(map[string]string)
	err := s.file.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.bucket).Stats()
		stats["keys"] = fmt.Sprint(b.KeyN)
		stats["leaf-bytes-used"] = fmt.Sprint(b.LeafInuse)
		stats["leaf-bytes-allocated"] = fmt.Sprint(b.LeafAlloc)
		return nil
	})
	if err != nil {
		stats["error"] = err.Error()
	}
	return stats
}

// Compact implements dbm.DB. It does nothing: bbolt uses freed pages again.
func (s *Store) Compact(_, _ []byte) error { return nil }

func checkPair(key, value []byte) error {
	if len(key) == 0 {
		return ErrKeyEmpty
	}
	if value == nil {
		return ErrValueNil
	}
	return nil
}

// Join leaves a change to the store to the next transaction of its file; see
// File.Join.
func (s *Store) Join(change func(*bbolt.Bucket) error) {
	s.file.Join(func(tx *bbolt.Tx) error { return change(tx.Bucket(s.bucket)) }, func() {})
}
