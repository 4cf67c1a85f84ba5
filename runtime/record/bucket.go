// Package record keeps typed records in buckets of a bbolt file.
package record

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"
)

// Bucket names a top-level bucket whose values are T, encoded as JSON. It
// exists once Create has committed; the other methods need it to.
type Bucket[T any] string

// Create makes the bucket if it is not there.
func (b Bucket[T]) Create(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
		return fmt.Errorf("bucket %s: %w", string(b), err)
	}
	return nil
}

// Get gives the record under key, and whether there is one.
func (b Bucket[T]) Get(tx *bbolt.Tx, key string) (value T, ok bool, err error) {
	bucket, err := b.bucket(tx)
	if err != nil {
		return value, false, err
	}
	raw := bucket.Get([]byte(key))
	if raw == nil {
		return value, false, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, false, fmt.Errorf("record %s/%s: %w", string(b), key, err)
	}
	return value, true, nil
}

// Put writes the record under key.
func (b Bucket[T]) Put(tx *bbolt.Tx, key string, value T) error {
	bucket, err := b.bucket(tx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("record %s/%s: %w", string(b), key, err)
	}
	return bucket.Put([]byte(key), raw)
}

// Delete removes the record under key, if there is one.
func (b Bucket[T]) Delete(tx *bbolt.Tx, key string) error {
	bucket, err := b.bucket(tx)
	if err != nil {
		return err
	}
	return bucket.Delete([]byte(key))
}

// Each calls visit for every record, by ascending key, until it fails. Visit
// must not change the bucket.
func (b Bucket[T]) Each(tx *bbolt.Tx, visit func(key string, value T) error) error {
	bucket, err := b.bucket(tx)
	if err != nil {
		return err
	}
	return bucket.ForEach(func(k, raw []byte) error {
		var value T
		if err := json.Unmarshal(raw, &value); err != nil {
			return fmt.Errorf("record %s/%s: %w", string(b), k, err)
		}
		return visit(string(k), value)
	})
}

func (b Bucket[T]) bucket(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	bucket := tx.Bucket([]byte(b))
	if bucket == nil {
		return nil, fmt.Errorf("bucket %s is missing", string(b))
	}
	return bucket, nil
}
