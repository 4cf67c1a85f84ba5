package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Entry is a piece of a stream.
type Entry struct {
	// Sequence numbers an entry within its stream, from 1 on. Append gives it.
	Sequence uint64
	// Time is kept to the microsecond.
	Time time.Time
	// Kind is 1 for standard output and 2 for standard error; others are free.
	Kind uint8
	// Data is what was written, any bytes, at most 64 KiB; not necessarily a
	// line.
	Data []byte
}

// The kinds of entries that the store itself knows: what it has to say of a
// stream is an entry of standard error.
const (
	Stdout uint8 = 1
	Stderr uint8 = 2
)

// Retention bounds a stream. The oldest is dropped, in whole blocks.
type Retention struct {
	// MaxBytes is how many bytes the stream may take in the file, compressed; 0
	// is the store's own bound, below 0 none.
	MaxBytes int64
	// MaxAge is how old entries become; 0 is any age.
	MaxAge time.Duration
}

// streamRecord is what the file has of a stream, beside its entries.
type streamRecord struct {
	id        uint32
	retention Retention
	last      uint64 // at least the last sequence number of what was dropped
}

const streamRecordSize = 4 + 8 + 8 + 8

func (r streamRecord) encode() []byte {
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, streamRecordSize), r.id)
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.retention.MaxBytes))
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.retention.MaxAge))
	return binary.BigEndian.AppendUint64(raw, r.last)
}

func parseStreamRecord(raw []byte) (r streamRecord, err error) {
	if len(raw) != streamRecordSize {
		return r, damaged("stream record")
	}
	r.id = binary.BigEndian.Uint32(raw)
	r.retention.MaxBytes = int64(binary.BigEndian.Uint64(raw[4:]))
	r.retention.MaxAge = time.Duration(binary.BigEndian.Uint64(raw[12:]))
	r.last = binary.BigEndian.Uint64(raw[20:])
	return r, nil
}

// ErrStream is returned for a stream's name that is empty or too long.
var ErrStream = errors.New("a stream's name has 1 to 255 bytes")

// stream is what memory has of a stream: its newest entries. Its fields under
// mu; mu is taken after Store.mu where both are.
type stream struct {
	name string
	id   uint32

	mu sync.Mutex
	// next is the next entry's sequence number; all before durable+1 are on
	// disk or dropped.
	next, durable uint64
	// flying are being committed, pending come after them. Both are seen by
	// readers.
	flying, pending []pendingEntry
	held            int           // bytes of both
	queued          bool          // it is in Store.dirty
	changed         chan struct{} // closed when a reader that waits may go on; nil is that none waits
	waiters         []waiter
	appenders       int
	appended        bool  // there was an appender
	ended           error // the store is closed or the stream removed
	midLine         bool  // the last entry did not end with a newline
	failed          error // why the last commit failed
	retry           time.Time
	delay           time.Duration

	tail, blocks totals          // of the tail's batches, and of the blocks
	young        int             // blocks that are not dense
	damaged      map[uint64]bool // by first sequence number, blocks that cannot be decoded
	dictionary   dictionary      // that batches are coded with
	sealed       int             // blocks made since it was learned
	retention    Retention
}

// totals are of units.
type totals struct {
	units            int
	original, stored uint64 // bytes
}

func (t *totals) add(h *header) {
	t.units++
	t.original += h.data
	t.stored += h.stored()
}

func (t *totals) remove(h *header) {
	t.units--
	t.original -= h.data
	t.stored -= h.stored()
}

type pendingEntry struct {
	Entry
	// fleeting is dropped when it cannot be written: who appended it is told,
	// and may try again.
	fleeting bool
}

// waiter waits until all up to a sequence number is on disk.
type waiter struct {
	last uint64
	done chan error // with room for one
}

// stream gives a stream, and makes it where create is set; it is nil where
// there is none.
func (s *Store) stream(name string, create bool) (*stream, error) {
	if name == "" || len(name) > 255 {
		return nil, ErrStream
	}
	s.mu.Lock()
	st, closed := s.streams[name], s.closed
	s.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if st != nil {
		return st, nil
	}
	var record streamRecord
	var loaded stream
	found := false
	load := func(tx *bbolt.Tx) (err error) {
		raw := tx.Bucket(bucketStreams).Get([]byte(name))
		if found = raw != nil; !found {
			return nil
		}
		if record, err = parseStreamRecord(raw); err != nil {
			return err
		}
		return loaded.load(tx, record)
	}
	err := s.view(load)
	if err == nil && !found {
		if !create {
			return nil, nil
		}
		err = s.update(func(tx *bbolt.Tx) error {
			if err := load(tx); err != nil || found {
				return err
			}
			names := tx.Bucket(bucketStreams)
			id, err := names.NextSequence()
			if err != nil {
				return err
			}
			if id > 1<<32-1 {
				return errors.New("the store has had as many streams as it can")
			}
			record = streamRecord{id: uint32(id)}
			loaded.id = record.id
			return names.Put([]byte(name), record.encode())
		})
	}
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[name]; st != nil {
		return st, nil
	}
	if s.closed {
		return nil, errClosed
	}
	st = &stream{
		name: name, id: loaded.id, next: loaded.durable + 1, durable: loaded.durable, tail: loaded.tail, blocks: loaded.blocks, young: loaded.young,
		dictionary: loaded.dictionary, retention: loaded.retention,
	}
	s.streams[name] = st
	return st, nil
}

// load reads what the file has of a stream.
func (st *stream) load(tx *bbolt.Tx, record streamRecord) (err error) {
	st.id, st.durable, st.retention = record.id, record.last, record.retention
	for _, bucket := range unitBuckets {
		err = eachHeader(tx, bucket, st.id, 0, func(h *header) bool {
			st.totals(h).add(h)
			st.young += h.young()
			st.durable = max(st.durable, h.last)
			return true
		})
		if err != nil {
			return err
		}
	}
	st.dictionary = lastDictionary(tx, st.id)
	return nil
}

// removed says whether the stream is removed, or is about to be.
func (st *stream) removed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return errors.Is(st.ended, errRemoved)
}

// announce has the readers that wait look again. It is called with mu.
func (st *stream) announce() {
	if st.changed != nil {
		close(st.changed)
		st.changed = nil
	}
}

// wait gives a channel that is closed when there is something new. It is called
// with mu.
func (st *stream) wait() <-chan struct{} {
	if st.changed == nil {
		st.changed = make(chan struct{})
	}
	return st.changed
}

// end has readers, appenders and those who wait give up.
func (st *stream) end(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ended = err
	for _, w := range st.waiters {
		w.done <- err
	}
	st.waiters = nil
	st.announce()
}
