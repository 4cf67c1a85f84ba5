package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/chunk"
)

// chunkSizes are those of blobs' chunks.
var chunkSizes = chunk.Parameters{Minimum: 16 << 10, K: 16, Maximum: 256 << 10}

func newChunker(r io.Reader) (*chunk.Chunker, error) {
	return chunk.New(r, chunkSizes.Minimum, chunkSizes.K, chunkSizes.Maximum)
}

// chunkRecord is what the file has of a chunk. A chunk's frame is one of
// package morphzip.
type chunkRecord struct {
	number     uint64 // its frame's
	references uint64
	size       uint32 // bytes
	stored     uint32 // of the frame
}

const chunkRecordSize = 8 + 8 + 4 + 4

func (r *chunkRecord) encode() []byte {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, chunkRecordSize), r.number)
	raw = binary.BigEndian.AppendUint64(raw, r.references)
	raw = binary.BigEndian.AppendUint32(raw, r.size)
	return binary.BigEndian.AppendUint32(raw, r.stored)
}

func parseChunkRecord(raw []byte) (r chunkRecord, ok bool, err error) {
	if raw == nil {
		return r, false, nil
	}
	if len(raw) != chunkRecordSize {
		return r, false, damaged("chunk record")
	}
	r.number, r.references = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	r.size, r.stored = binary.BigEndian.Uint32(raw[16:]), binary.BigEndian.Uint32(raw[20:])
	if r.references == 0 || r.size > uint32(chunkSizes.Maximum) || r.stored > r.size+maxFrameOverhead {
		return r, false, damaged("chunk record")
	}
	return r, true, nil
}

// maxFrameOverhead is how much longer than a chunk its frame may be, in bytes.
const maxFrameOverhead = 256

func chunkOf(tx *bbolt.Tx, d []byte) (chunkRecord, bool, error) {
	return parseChunkRecord(tx.Bucket(bucketChunks).Get(d))
}

func frameKey(number uint64, n int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(make([]byte, 0, 10), number), uint16(n))
}

// missing is how many bytes of a file are in chunks that are not stored.
func (s *Store) missing(ctx context.Context, file *spool) (bytes uint64, err error) {
	chunker, err := newChunker(contextReader{ctx, file.reader()})
	if err != nil {
		return 0, err
	}
	for {
		data, err := chunker.Next()
		if errors.Is(err, io.EOF) {
			return bytes, nil
		}
		if err != nil {
			return 0, err
		}
		sum := sha256.Sum256(data)
		err = s.view(func(tx *bbolt.Tx) error {
			_, ok, err := chunkOf(tx, sum[:])
			if !ok {
				bytes += uint64(len(data))
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
}

// chunkList is the chunks of a blob that is being put.
type chunkList struct {
	digests  []byte
	releases [][]byte // keys in releases
}

// newChunk is a chunk that is being put.
type newChunk struct {
	digest Digest
	size   int
	frame  []byte // nil where the store has it
}

// putStep is how many bytes of chunks are put in one transaction, about.
const putStep = 2 << 20

// putChunks stores the chunks of a file. It takes a reference to each; until
// finishPut they are in releases, so that they are given back if it does not
// come to that. counted says that they are to be told of.
func (s *Store) putChunks(ctx context.Context, file *spool, counted bool) (*chunkList, error) {
	list := new(chunkList)
	chunker, err := newChunker(contextReader{ctx, file.reader()})
	if err != nil {
		return list, err
	}
	encoder, err := morphzip.NewEncoder(morphzip.Options{Observe: s.facts.block})
	if err != nil {
		return list, err
	}
	var step []newChunk
	var count chunkCount
	size, end := 0, false
	for !end {
		data, err := chunker.Next()
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return list, err
		}
		if !end {
			size += len(data)
			c, err := s.newChunk(encoder, data)
			if err != nil {
				return list, err
			}
			step = append(step, c)
			count.add(data)
		}
		if size < putStep && !end || len(step) == 0 {
			continue
		}
		if err := s.putStep(list, step); err != nil {
			return list, err
		}
		step, size = nil, 0
	}
	if counted {
		s.facts.cut(count)
	}
	return list, nil
}

// newChunk codes a chunk, unless the store has it.
func (s *Store) newChunk(encoder *morphzip.Encoder, data []byte) (newChunk, error) {
	c := newChunk{digest: sha256.Sum256(data), size: len(data)}
	var ok bool
	err := s.view(func(tx *bbolt.Tx) (err error) {
		_, ok, err = chunkOf(tx, c.digest[:])
		return err
	})
	if err == nil && !ok {
		c.frame = encoder.Encode(nil, data)
	}
	return c, err
}

// putStep takes references to chunks, and stores those that are not there.
func (s *Store) putStep(list *chunkList, step []newChunk) error {
	var bytes int64
	for _, c := range step {
		bytes += int64(len(c.frame))
	}
	if err := s.spoolRoom(bytes); err != nil {
		return err
	}
	var digests, release []byte
	var change blobTotals
	err := s.updateThen(func(tx *bbolt.Tx) error {
		digests, change = nil, blobTotals{}
		for _, c := range step {
			if err := takeChunk(tx, c, &change); err != nil {
				return err
			}
			digests = append(digests, c.digest[:]...)
		}
		releases := tx.Bucket(bucketReleases)
		number, err := releases.NextSequence()
		if err != nil {
			return err
		}
		release = binary.BigEndian.AppendUint64(nil, number)
		return releases.Put(release, digests)
	}, func() { s.blobs.add(change) })
	if err != nil {
		return err
	}
	list.digests = append(list.digests, digests...)
	list.releases = append(list.releases, release)
	return nil
}

// takeChunk takes a reference to a chunk.
func takeChunk(tx *bbolt.Tx, c newChunk, change *blobTotals) error {
	chunks := tx.Bucket(bucketChunks)
	r, ok, err := chunkOf(tx, c.digest[:])
	if err != nil {
		return err
	}
	if !ok {
		if c.frame == nil {
			return errChanged // it was there a moment ago: the blob may be put again
		}
		number, err := chunks.NextSequence()
		if err != nil {
			return err
		}
		r = chunkRecord{number: number, size: uint32(c.size), stored: uint32(len(c.frame))}
		frames := tx.Bucket(bucketFrames)
		for n, rest := 0, c.frame; len(rest) > 0; n++ {
			size := min(len(rest), pieceSize)
			if err := frames.Put(frameKey(number, n), rest[:size]); err != nil {
				return err
			}
			rest = rest[size:]
		}
		change.unique += int64(r.size)
		change.stored += int64(r.stored) + int64(chunkOverhead)
	}
	r.references++
	change.logical += int64(r.size)
	return chunks.Put(c.digest[:], r.encode())
}

// giveBack gives back the references of a list that is no blob's.
func (s *Store) giveBack(list *chunkList) error {
	var err error
	for _, key := range list.releases {
		err = errors.Join(err, s.release(key))
	}
	return err
}

// releaseAll gives back all references that are to be given back.
func (s *Store) releaseAll() error {
	var keys [][]byte
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketReleases).ForEach(func(k, _ []byte) error {
			keys = append(keys, bytes.Clone(k))
			return nil
		})
	})
	for _, key := range keys {
		err = errors.Join(err, s.release(key))
	}
	return err
}

// release gives back the references of one entry of releases, and deletes the
// chunks that have no more.
func (s *Store) release(key []byte) error {
	var change blobTotals
	return s.updateThen(func(tx *bbolt.Tx) error {
		change = blobTotals{}
		releases := tx.Bucket(bucketReleases)
		digests := bytes.Clone(releases.Get(key))
		for ; len(digests) >= len(Digest{}); digests = digests[len(Digest{}):] {
			if err := dropChunk(tx, digests[:len(Digest{})], &change); err != nil {
				return err
			}
		}
		return releases.Delete(key)
	}, func() { s.blobs.add(change) })
}

// dropChunk gives back a reference to a chunk.
func dropChunk(tx *bbolt.Tx, d []byte, change *blobTotals) error {
	chunks := tx.Bucket(bucketChunks)
	r, ok, err := chunkOf(tx, d)
	if err != nil || !ok {
		return err
	}
	r.references--
	change.logical -= int64(r.size)
	if r.references > 0 {
		return chunks.Put(d, r.encode())
	}
	change.unique -= int64(r.size)
	change.stored -= int64(r.stored) + int64(chunkOverhead)
	frames := tx.Bucket(bucketFrames)
	for n := 0; n*pieceSize < int(r.stored); n++ {
		if err := frames.Delete(frameKey(r.number, n)); err != nil {
			return err
		}
	}
	return chunks.Delete(d)
}
