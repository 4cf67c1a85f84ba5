package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// StreamInfo tells of a stream.
type StreamInfo struct {
	Name        string
	First, Last uint64 // sequence numbers of what is kept; Last is before First where nothing is
	// Since and Until are the earliest and the latest time.
	Since, Until time.Time
	Entries      uint64
	Lines        uint64 // newlines
	Original     uint64 // bytes of data
	Stored       uint64 // bytes that they take, compressed
	Retention    Retention
}

// Streams tells of all streams, by name. What is not on disk yet is not counted.
func (s *Store) Streams() ([]StreamInfo, error) {
	type named struct {
		name   string
		record streamRecord
	}
	var all []named
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStreams).ForEach(func(name, raw []byte) error {
			record, err := parseStreamRecord(raw)
			all = append(all, named{string(name), record})
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	infos := make([]StreamInfo, 0, len(all))
	for _, n := range all {
		info := StreamInfo{Name: n.name, First: n.record.last + 1, Last: n.record.last, Retention: s.effective(n.record.retention)}
		err := s.eachUnit(n.record.id, info.count)
		if err != nil {
			return nil, fmt.Errorf("stream %q: %w", n.name, err)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (i *StreamInfo) count(h *header) {
	if h.broken {
		return
	}
	since, until := timeOf(h.since), timeOf(h.until)
	if i.Entries == 0 {
		i.First, i.Since, i.Until = h.first, since, until
	}
	if since.Before(i.Since) {
		i.Since = since
	}
	if until.After(i.Until) {
		i.Until = until
	}
	i.Last = h.last
	i.Entries += h.entries
	i.Lines += h.newlines
	i.Original += h.data
	i.Stored += h.stored()
}

// stored is what a unit takes in the file, without bbolt's own.
func (h *header) stored() uint64 { return uint64(h.size) + h.payload }

// eachUnit visits the headers of a stream's units, in order.
func (s *Store) eachUnit(id uint32, visit func(*header)) error {
	return s.view(func(tx *bbolt.Tx) error {
		for _, bucket := range unitBuckets {
			if err := eachHeader(tx, bucket, id, 0, func(h *header) bool {
				visit(h)
				return true
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// effective is the retention that holds where one is set.
func (s *Store) effective(r Retention) Retention {
	if r.MaxBytes == 0 {
		r.MaxBytes = s.options.Retention.MaxBytes
	}
	if r.MaxAge == 0 {
		r.MaxAge = s.options.Retention.MaxAge
	}
	return r
}

// SetRetention bounds a stream, which is made if it is not there.
func (s *Store) SetRetention(stream string, r Retention) error {
	st, err := s.stream(stream, true)
	if err != nil {
		return err
	}
	st.mu.Lock()
	same := st.retention == r
	st.mu.Unlock()
	if same {
		return nil // as at most boots, for which the disk need not be written
	}
	err = s.changeRecord(st, func(record *streamRecord) { record.retention = r })
	if err != nil {
		return fmt.Errorf("stream %q: %w", stream, err)
	}
	st.mu.Lock()
	st.retention = r
	st.mu.Unlock()
	poke(s.work)
	return nil
}

// changeRecord changes a stream's record.
func (s *Store) changeRecord(st *stream, change func(*streamRecord)) error {
	return s.update(func(tx *bbolt.Tx) error { return changeRecord(tx, st, change) })
}

func changeRecord(tx *bbolt.Tx, st *stream, change func(*streamRecord)) error {
	names := tx.Bucket(bucketStreams)
	raw := names.Get([]byte(st.name))
	if raw == nil || st.removed() {
		return errRemoved
	}
	record, err := parseStreamRecord(raw)
	if err != nil {
		return err
	}
	change(&record)
	return names.Put([]byte(st.name), record.encode())
}

// errRemoved is returned to those who use a stream while it is removed.
var errRemoved = errors.New("the stream was removed")

// removeStep is how many values are freed at most in one transaction.
const removeStep = 256

// Remove removes a stream and all that is in it. Its readers and appenders end.
// A stream that is not there is no error. A power cut leaves it whole, or
// removed.
func (s *Store) Remove(stream string) error {
	st, err := s.stream(stream, false)
	if err != nil || st == nil {
		return err
	}
	st.mu.Lock()
	st.ended = errRemoved
	st.mu.Unlock()
	err = s.update(func(tx *bbolt.Tx) error {
		names := tx.Bucket(bucketStreams)
		if names.Get([]byte(stream)) == nil {
			return nil
		}
		if err := names.Delete([]byte(stream)); err != nil {
			return err
		}
		return tx.Bucket(bucketRemoved).Put(key(st.id, 0)[:4], nil)
	})
	if err != nil {
		st.mu.Lock()
		st.ended = nil
		st.mu.Unlock()
		return fmt.Errorf("remove stream %q: %w", stream, err)
	}
	s.mu.Lock()
	delete(s.streams, stream)
	s.mu.Unlock()
	st.end(errRemoved)
	if err := s.free(st.id); err != nil {
		return fmt.Errorf("remove stream %q: %w", stream, err)
	}
	return nil
}

// freeRemoved frees what removed streams have left.
func (s *Store) freeRemoved() error {
	var ids []uint32
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketRemoved).ForEach(func(k, _ []byte) error {
			if len(k) == 4 {
				ids = append(ids, binary.BigEndian.Uint32(k))
			}
			return nil
		})
	})
	for _, id := range ids {
		err = errors.Join(err, s.free(id))
	}
	return err
}

// free deletes all of a removed stream, in several transactions.
func (s *Store) free(id uint32) error {
	prefix := key(id, 0)[:4]
	for more := true; more; {
		err := s.update(func(tx *bbolt.Tx) error {
			left := removeStep
			for _, bucket := range [][]byte{bucketTail, bucketBlocks, bucketPieces, bucketDictionaries} {
				c := tx.Bucket(bucket).Cursor()
				for k, _ := c.Seek(prefix); len(k) >= 4 && string(k[:4]) == string(prefix); k, _ = c.Seek(prefix) {
					if left--; left < 0 {
						return nil
					}
					if err := c.Delete(); err != nil {
						return err
					}
				}
			}
			more = false
			return tx.Bucket(bucketRemoved).Delete(prefix)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
