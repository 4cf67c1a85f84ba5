package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/morphzip/delta"
)

// Digest names a blob: the SHA-256 of its bytes.
type Digest [sha256.Size]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ErrNoBlob is returned for a blob that is not there.
var ErrNoBlob = errors.New("there is no such blob")

// The buckets of blobs.
var (
	// bucketBlobs: digest -> blobRecord.
	bucketBlobs = []byte("blobs")
	// bucketLists: digest, number (4 bytes) -> a part of the blob's list of
	// chunks, digest by digest.
	bucketLists = []byte("lists")
	// bucketSketches: digest -> the blob's sketch.
	bucketSketches = []byte("sketches")
	// bucketChunks: digest -> chunkRecord.
	bucketChunks = []byte("chunks")
	// bucketFrames: number of the chunk (8 bytes), number of the piece (2
	// bytes) -> a part of the chunk's frame.
	bucketFrames = []byte("frames")
	// bucketReleases: number (8 bytes) -> chunks, digest by digest, of each of
	// which one reference is to be given back: those of a Put that has not
	// ended, and of blobs that were deleted.
	bucketReleases = []byte("releases")
)

var blobBuckets = [][]byte{bucketBlobs, bucketLists, bucketSketches, bucketChunks, bucketFrames, bucketReleases}

// blobRecord is what the file has of a blob. Its content is the chunks of its
// list: the blob's bytes, or a patch that makes them from another blob's.
type blobRecord struct {
	size    uint64 // of the blob
	content uint64 // bytes of the chunks
	depth   uint8  // how many patches it takes to make it
	hidden  bool   // it was deleted, but others are made from it
	users   uint32 // blobs that are made from it
	base    Digest // what it is made from, where depth is not 0
}

const blobRecordSize = 8 + 8 + 1 + 1 + 4 + len(Digest{})

func (r *blobRecord) encode() []byte {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, blobRecordSize), r.size)
	raw = binary.BigEndian.AppendUint64(raw, r.content)
	hidden := byte(0)
	if r.hidden {
		hidden = 1
	}
	raw = append(raw, r.depth, hidden)
	raw = binary.BigEndian.AppendUint32(raw, r.users)
	return append(raw, r.base[:]...)
}

// blob reads a blob's record, hidden or not; ok is false where there is none.
func blob(tx *bbolt.Tx, d Digest) (r blobRecord, ok bool, err error) {
	raw := tx.Bucket(bucketBlobs).Get(d[:])
	if raw == nil {
		return r, false, nil
	}
	if len(raw) != blobRecordSize || raw[16] > maxDepth || raw[17] > 1 {
		return r, false, damaged("blob record")
	}
	r.size, r.content = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	r.depth, r.hidden = raw[16], raw[17] == 1
	r.users = binary.BigEndian.Uint32(raw[18:])
	copy(r.base[:], raw[22:])
	return r, true, nil
}

const (
	// putAttempts is how often a Put begins again because what it was to share
	// was deleted meanwhile.
	putAttempts = 3
	// maxDepth bounds how many patches it takes to make a blob.
	maxDepth = 8
	// deltaSize is how large a blob is at least, in bytes, that is made from
	// another.
	deltaSize = 16 << 10
	// minSimilarity is from which similarity on, of 64, a delta is tried.
	minSimilarity = 2
)

// Put stores a blob and gives its digest. What the store holds already is not
// stored again: neither a blob, nor chunks of it, nor what it has in common
// with a similar one. It holds a bounded part of the blob in memory, and the
// whole in a file without a name beside the store's while it works. A blob is
// there when Put has returned, or not at all.
func (s *Store) Put(ctx context.Context, r io.Reader) (Digest, error) {
	hash := sha256.New()
	file, err := s.spool(io.TeeReader(contextReader{ctx, r}, hash))
	if err != nil {
		return Digest{}, fmt.Errorf("put: %w", err)
	}
	defer file.Close()
	d := Digest(hash.Sum(nil))
	err = s.put(ctx, d, file)
	for range putAttempts {
		if !errors.Is(err, errChanged) {
			break
		}
		err = s.put(ctx, d, file)
	}
	if err != nil {
		return Digest{}, fmt.Errorf("put %s: %w", d, err)
	}
	return d, nil
}

func (s *Store) put(ctx context.Context, d Digest, file *spool) error {
	there, err := s.unhide(d)
	if err != nil || there {
		return err
	}
	sketch, err := delta.NewSketch(file.reader())
	if err != nil {
		return err
	}
	record := blobRecord{size: uint64(file.size)}
	content := file
	if file.size >= deltaSize {
		patch, base, err := s.deltaOf(ctx, file, &sketch)
		if err != nil {
			return err
		}
		if patch != nil {
			defer patch.Close()
			content, record.base, record.depth = patch, base.digest, base.depth+1
		}
	}
	record.content = uint64(content.size)
	list, err := s.putChunks(ctx, content, record.depth == 0)
	if err != nil {
		return errors.Join(err, s.giveBack(list))
	}
	err = s.finishPut(d, record, list, &sketch)
	if errors.Is(err, errExists) {
		return s.giveBack(list) // another Put was faster
	}
	if err != nil {
		err = errors.Join(err, s.giveBack(list))
	}
	return err
}

// errExists says that a blob was put meanwhile.
var errExists = errors.New("the blob is there")

// unhide says whether a blob is there; one that was deleted is there again.
func (s *Store) unhide(d Digest) (there bool, err error) {
	var r blobRecord
	err = s.view(func(tx *bbolt.Tx) error {
		r, there, err = blob(tx, d)
		return err
	})
	if err != nil || !there || !r.hidden {
		return there, err
	}
	err = s.updateThen(func(tx *bbolt.Tx) error {
		if r, there, err = blob(tx, d); err != nil || !there {
			return err
		}
		r.hidden = false
		return tx.Bucket(bucketBlobs).Put(d[:], r.encode())
	}, func() {
		if there {
			s.blobs.count(1, r.size)
		}
	})
	return there, err
}

// finishPut has the blob be there, which has the chunks that are in releases
// until then.
func (s *Store) finishPut(d Digest, r blobRecord, list *chunkList, sketch *delta.Sketch) error {
	return s.updateThen(func(tx *bbolt.Tx) error {
		if _, there, err := blob(tx, d); err != nil || there {
			return errors.Join(err, errExists)
		}
		if r.depth > 0 {
			base, ok, err := blob(tx, r.base)
			if err != nil {
				return err
			}
			if !ok {
				return errChanged
			}
			base.users++
			if err := tx.Bucket(bucketBlobs).Put(r.base[:], base.encode()); err != nil {
				return err
			}
		}
		releases := tx.Bucket(bucketReleases)
		for _, key := range list.releases {
			if err := releases.Delete(key); err != nil {
				return err
			}
		}
		for n, rest := 0, list.digests; len(rest) > 0; n++ {
			size := min(len(rest), listPiece)
			if err := tx.Bucket(bucketLists).Put(listKey(d, n), rest[:size]); err != nil {
				return err
			}
			rest = rest[size:]
		}
		raw := make([]byte, 0, 4*len(sketch))
		for _, x := range sketch {
			raw = binary.BigEndian.AppendUint32(raw, x)
		}
		if err := tx.Bucket(bucketSketches).Put(d[:], raw); err != nil {
			return err
		}
		return tx.Bucket(bucketBlobs).Put(d[:], r.encode())
	}, func() {
		s.blobs.count(1, r.size)
		s.blobs.add(blobTotals{stored: int64(blobOverhead)})
	})
}

// listPiece is how long the parts of a list are, in bytes.
const listPiece = 100 * len(Digest{})

func listKey(d Digest, n int) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, len(d)+4), d[:]...), uint32(n))
}

// similar is a stored blob that a new one may be made from.
type similar struct {
	digest     Digest
	depth      uint8
	similarity int
}

// deltaOf gives a patch that makes the file from a stored blob, where there is
// a similar one and that is much shorter than what else would be stored.
func (s *Store) deltaOf(ctx context.Context, file *spool, sketch *delta.Sketch) (patch *spool, base similar, err error) {
	if base, err = s.mostSimilar(sketch); err != nil || base.similarity < minSimilarity {
		return nil, base, err
	}
	missing, err := s.missing(ctx, file)
	if err != nil || missing < deltaSize {
		return nil, base, err // nearly all chunks are there
	}
	old, err := s.restore(ctx, base.digest)
	if err != nil {
		// It is stored without the other.
		s.options.Warn(fmt.Errorf("blob %s: %w", base.digest, err))
		return nil, base, ctx.Err()
	}
	defer old.Close()
	if patch, err = s.newSpool(); err != nil {
		return nil, base, err
	}
	err = delta.Encode(patch, old, old.size, file, file.size)
	if err == nil && uint64(patch.size) < missing/4 {
		return patch, base, nil
	}
	patch.Close()
	if errors.Is(err, delta.ErrTooLarge) {
		err = nil
	}
	return nil, base, err
}

// mostSimilar gives the blob that is most similar to a sketch; of those alike,
// that which takes the fewest patches.
func (s *Store) mostSimilar(sketch *delta.Sketch) (best similar, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSketches).ForEach(func(k, raw []byte) error {
			var other delta.Sketch
			if len(k) != len(best.digest) || len(raw) != 4*len(other) {
				return damaged("sketch")
			}
			for i := range other {
				other[i] = binary.BigEndian.Uint32(raw[4*i:])
			}
			n := sketch.Similarity(&other)
			if n < best.similarity {
				return nil
			}
			r, ok, err := blob(tx, Digest(k))
			if err != nil || !ok || r.depth >= maxDepth || r.size < deltaSize || n == best.similarity && r.depth >= best.depth {
				return err
			}
			best = similar{Digest(k), r.depth, n}
			return nil
		})
	})
	return best, err
}
