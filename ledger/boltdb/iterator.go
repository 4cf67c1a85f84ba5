package boltdb

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Bounds of what an iterator reads in one transaction. One pair is always
// read, however large.
const (
	pageKeys  = 64
	pageBytes = 64 << 10
)

// An Iterator goes through a range of keys without holding a transaction
// open: it reads some pairs at a time, in a transaction of its own, and goes
// on behind the last key it gave. A write during the iteration is therefore
// seen if it is to a key ahead of those read, and no key is given twice.
type Iterator struct {
	store      *Store
	start, end []byte
	reverse    bool

	page []pair // read and not yet given; the first is the current one
	last bool   // there is nothing behind page
	err  error
}

type pair struct{ key, value []byte }

func newIterator(s *Store, start, end []byte, reverse bool) (*Iterator, error) {
	if (start != nil && len(start) == 0) || (end != nil && len(end) == 0) {
		return nil, ErrKeyEmpty
	}
	it := &Iterator{store: s, start: start, end: end, reverse: reverse}
	it.fill(nil)
	return it, it.err
}

// Domain implements dbm.Iterator.
func (it *Iterator) Domain() (start, end []byte) { return it.start, it.end }

// Valid implements dbm.Iterator.
func (it *Iterator) Valid() bool { return len(it.page) > 0 && it.err == nil }

// Next implements dbm.Iterator.
func (it *Iterator) Next() {
	it.mustBeValid()
	at := it.page[0].key
	it.page = it.page[1:]
	if len(it.page) == 0 && !it.last {
		it.fill(at)
	}
}

// Key implements dbm.Iterator. The slice is the caller's.
func (it *Iterator) Key() []byte {
	it.mustBeValid()
	return it.page[0].key
}

// Value implements dbm.Iterator. The slice is the caller's.
func (it *Iterator) Value() []byte {
	it.mustBeValid()
	return it.page[0].value
}

// Error implements dbm.Iterator.
func (it *Iterator) Error() error { return it.err }

// Close implements dbm.Iterator.
func (it *Iterator) Close() error {
	it.page, it.last = nil, true
	return nil
}

func (it *Iterator) mustBeValid() {
	if !it.Valid() {
		panic("boltdb: iterator is not valid")
	}
}

// fill reads the pairs that follow the key at, or the first of the range if
// at is nil.
func (it *Iterator) fill(at []byte) {
	it.page = nil
	it.err = it.store.file.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(it.store.bucket).Cursor()
		size := 0
		k, v := it.seek(c, at)
		for ; k != nil && it.inRange(k); k, v = it.step(c) {
			if len(it.page) == pageKeys || (len(it.page) > 0 && size+len(k)+len(v) > pageBytes) {
				return nil
			}
			size += len(k) + len(v)
			it.page = append(it.page, pair{bytes.Clone(k), bytes.Clone(v)})
		}
		it.last = true
		return nil
	})
}

func (it *Iterator) step(c *bbolt.Cursor) (k, v []byte) {
	if it.reverse {
		return c.Prev()
	}
	return c.Next()
}

// seek puts the cursor on the first pair behind at.
func (it *Iterator) seek(c *bbolt.Cursor, at []byte) (k, v []byte) {
	if !it.reverse {
		if at != nil {
			if k, v = c.Seek(at); bytes.Equal(k, at) {
				return c.Next()
			}
			return k, v
		}
		if it.start == nil {
			return c.First()
		}
		return c.Seek(it.start)
	}
	bound := at // exclusive
	if bound == nil {
		bound = it.end
	}
	if bound == nil {
		return c.Last()
	}
	if k, _ := c.Seek(bound); k == nil {
		return c.Last() // every key is before the bound
	}
	return c.Prev()
}

func (it *Iterator) inRange(k []byte) bool {
	if it.reverse {
		return it.start == nil || bytes.Compare(k, it.start) >= 0
	}
	return it.end == nil || bytes.Compare(k, it.end) < 0
}
