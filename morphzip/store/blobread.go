package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/delta"
)

// Get gives a blob's bytes and how many they are. The reader compares their
// digest at the end, and fails there if they are not what was put. It must be
// closed. A blob that is deleted while it is read ends in an error.
func (s *Store) Get(ctx context.Context, d Digest) (io.ReadCloser, int64, error) {
	r, err := s.visible(d)
	if err != nil {
		return nil, 0, fmt.Errorf("blob %s: %w", d, err)
	}
	if r.depth == 0 {
		return &blobReader{content: s.content(ctx, d), digest: d, sum: sha256.New()}, int64(r.size), nil
	}
	file, err := s.restore(ctx, d)
	if err != nil {
		return nil, 0, fmt.Errorf("blob %s: %w", d, err)
	}
	return &blobReader{content: contextReader{ctx, file.reader()}, digest: d, sum: sha256.New(), file: file}, file.size, nil
}

// visible gives the record of a blob that is not deleted.
func (s *Store) visible(d Digest) (r blobRecord, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		var ok bool
		if r, ok, err = blob(tx, d); err == nil && (!ok || r.hidden) {
			err = ErrNoBlob
		}
		return err
	})
	return r, err
}

// blobReader reads a blob and compares its digest.
type blobReader struct {
	content io.Reader
	digest  Digest
	sum     hash.Hash
	file    *spool // nil is none
}

// Read implements io.Reader.
func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.content.Read(p)
	r.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && Digest(r.sum.Sum(nil)) != r.digest {
		err = fmt.Errorf("blob %s: %w: its bytes are not those that were put", r.digest, ErrDamaged)
	}
	return n, err
}

// Close implements io.Closer.
func (r *blobReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// restore makes a blob, hidden or not, in a temporary file.
func (s *Store) restore(ctx context.Context, d Digest) (*spool, error) {
	var r blobRecord
	var ok bool
	err := s.view(func(tx *bbolt.Tx) (err error) {
		r, ok, err = blob(tx, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNoBlob
	}
	if r.depth == 0 {
		return s.spool(&blobReader{content: s.content(ctx, d), digest: d, sum: sha256.New()})
	}
	// The base's depth is less: finishPut has seen to it, and a damaged record
	// that says otherwise ends at maxDepth.
	base, err := s.restoreBase(ctx, r)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	file, err := s.newSpool()
	if err != nil {
		return nil, err
	}
	if err = delta.Decode(file, base, base.size, s.content(ctx, d)); err == nil {
		err = file.flush()
	}
	if err != nil {
		file.Close()
		if errors.Is(err, delta.ErrCorrupt) || errors.Is(err, delta.ErrWrongFile) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, err
	}
	return file, nil
}

// restoreBase makes what a blob is made from.
func (s *Store) restoreBase(ctx context.Context, r blobRecord) (*spool, error) {
	var base blobRecord
	err := s.view(func(tx *bbolt.Tx) (err error) {
		base, _, err = blob(tx, r.base)
		return err
	})
	if err == nil && base.depth >= r.depth {
		err = damaged("blob's base")
	}
	if err != nil {
		return nil, err
	}
	return s.restore(ctx, r.base)
}

// content reads the chunks of a blob's list.
func (s *Store) content(ctx context.Context, d Digest) io.Reader {
	return &chunkReader{ctx: ctx, store: s, blob: d}
}

type chunkReader struct {
	ctx   context.Context
	store *Store
	blob  Digest
	part  int    // of the list, the next
	list  []byte // what is left of a part
	data  []byte // what is left of a chunk
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// next reads the next chunk.
func (r *chunkReader) next() error {
	var record chunkRecord
	var frame []byte
	err := r.store.view(func(tx *bbolt.Tx) (err error) {
		if len(r.list) == 0 {
			r.list = bytes.Clone(tx.Bucket(bucketLists).Get(listKey(r.blob, r.part)))
			r.part++
		}
		if len(r.list) == 0 {
			return io.EOF
		}
		if len(r.list) < len(Digest{}) {
			return damaged("blob's list")
		}
		var ok bool
		if record, ok, err = chunkOf(tx, r.list[:len(Digest{})]); err != nil || !ok {
			return errors.Join(err, damaged("blob's chunk"))
		}
		frame = make([]byte, 0, record.stored)
		frames := tx.Bucket(bucketFrames)
		for n := 0; n*pieceSize < int(record.stored); n++ {
			frame = append(frame, frames.Get(frameKey(record.number, n))...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.list = r.list[len(Digest{}):]
	data, err := morphzip.Decode(nil, frame, int(record.size))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r.data = data
	return nil
}
