package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/morphzip/delta"
)

// Delete deletes a blob. What others have in common with it stays. A blob that
// is not there is no error.
func (s *Store) Delete(d Digest) error {
	var releases [][]byte
	var deleted blobRecord
	var gone bool
	var unlinked int64
	err := s.updateThen(func(tx *bbolt.Tx) error {
		releases, gone, unlinked = nil, false, 0
		r, ok, err := blob(tx, d)
		if err != nil || !ok || r.hidden {
			return err
		}
		deleted, gone = r, true
		if r.users > 0 {
			r.hidden = true
			return tx.Bucket(bucketBlobs).Put(d[:], r.encode())
		}
		for d := d; ; {
			keys, err := unlink(tx, d)
			if err != nil {
				return err
			}
			releases = append(releases, keys...)
			unlinked++
			if r.depth == 0 {
				return nil
			}
			// Its base is not needed any more where it was deleted before.
			d = r.base
			if r, ok, err = blob(tx, d); err != nil || !ok || r.users == 0 {
				return err
			}
			if r.users--; r.users > 0 || !r.hidden {
				return tx.Bucket(bucketBlobs).Put(d[:], r.encode())
			}
		}
	}, func() {
		if gone {
			s.blobs.count(-1, deleted.size)
			s.blobs.add(blobTotals{stored: -unlinked * int64(blobOverhead)})
		}
	})
	for _, key := range releases {
		if err != nil {
			break
		}
		err = s.release(key)
	}
	if err != nil {
		return fmt.Errorf("delete blob %s: %w", d, err)
	}
	return nil
}

// unlink deletes a blob's record, and has its chunks' references be given back.
func unlink(tx *bbolt.Tx, d Digest) (keys [][]byte, err error) {
	releases := tx.Bucket(bucketReleases)
	c := tx.Bucket(bucketLists).Cursor()
	for k, list := c.Seek(d[:]); bytes.HasPrefix(k, d[:]); k, list = c.Seek(d[:]) {
		number, err := releases.NextSequence()
		if err != nil {
			return nil, err
		}
		key := binary.BigEndian.AppendUint64(nil, number)
		if err := releases.Put(key, bytes.Clone(list)); err != nil {
			return nil, err
		}
		keys = append(keys, key)
		if err := c.Delete(); err != nil {
			return nil, err
		}
	}
	if err := tx.Bucket(bucketSketches).Delete(d[:]); err != nil {
		return nil, err
	}
	return keys, tx.Bucket(bucketBlobs).Delete(d[:])
}

// BlobInfo tells of the blobs.
type BlobInfo struct {
	Count    int
	Original uint64 // bytes of all blobs
	Logical  uint64 // bytes of all chunks that they are of, each as often as it is used
	Unique   uint64 // the same, each once
	Stored   uint64 // bytes that the chunks take, compressed
}

// blobTotals are what memory knows of the blobs.
type blobTotals struct {
	blobs, original, logical, unique, stored int64
}

type blobFacts struct {
	mu sync.Mutex
	blobTotals
}

func (f *blobFacts) add(t blobTotals) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs += t.blobs
	f.original += t.original
	f.logical += t.logical
	f.unique += t.unique
	f.stored += t.stored
}

// count adds n blobs of a size.
func (f *blobFacts) count(n int64, size uint64) {
	f.add(blobTotals{blobs: n, original: n * int64(size)})
}

const (
	// blobOverhead is what a blob takes beside its chunks, in bytes: its record,
	// its sketch, its list's key, and their keys; chunkOverhead what a chunk
	// takes beside its frame, with its first entry in a list.
	blobOverhead  = blobRecordSize + len(Digest{}) + 4*len(delta.Sketch{}) + len(Digest{}) + len(Digest{}) + 4
	chunkOverhead = chunkRecordSize + len(Digest{}) + len(Digest{})
)

// Blobs tells of the blobs.
func (s *Store) Blobs() BlobInfo {
	f := &s.blobs
	f.mu.Lock()
	defer f.mu.Unlock()
	return BlobInfo{
		Count: int(f.blobs), Original: uint64(f.original), Logical: uint64(f.logical), Unique: uint64(f.unique), Stored: uint64(f.stored),
	}
}

// loadBlobs counts what the file has.
func (s *Store) loadBlobs(tx *bbolt.Tx) error {
	var t blobTotals
	err := tx.Bucket(bucketBlobs).ForEach(func(k, _ []byte) error {
		if len(k) != len(Digest{}) {
			return damaged("blob")
		}
		t.stored += int64(blobOverhead)
		r, _, err := blob(tx, Digest(k))
		if err == nil && !r.hidden {
			t.blobs++
			t.original += int64(r.size)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(bucketChunks).ForEach(func(_, raw []byte) error {
		r, _, err := parseChunkRecord(raw)
		t.logical += int64(r.references) * int64(r.size)
		t.unique += int64(r.size)
		t.stored += int64(r.stored) + int64(chunkOverhead)
		return err
	})
	s.blobs.add(t)
	return err
}
