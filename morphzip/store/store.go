package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Options are a Store's; the zero value is usable.
type Options struct {
	// Go starts a goroutine of the store's; nil is the go statement. It must
	// return at once.
	Go func(name string, f func())
	// Warn is told what went wrong in the background; nil is nobody.
	Warn func(error)
	// Room gives how many bytes more may be written to the disk, or why none;
	// nil is that the disk itself says when it is full.
	Room func() (int64, error)
	// BlockSize is how many bytes of a stream make a block; 0 is 1 MiB. It is
	// brought into 4 KiB to 8 MiB.
	BlockSize int
	// CompactionShare is the part of one CPU that compaction takes at most, in
	// (0,1]; 0 is 0.05, and below 0 nothing is compacted.
	CompactionShare float64
	// CompactAfter is how old a block is before it is coded densely, as that
	// takes as long to read as to write; 0 is an hour.
	CompactAfter time.Duration
	// FlushDelay is how long what an Appender has may wait to be written
	// together with what comes later; 0 is a second.
	FlushDelay time.Duration
	// Retention is that of streams for which nothing else was set; where
	// MaxBytes is 0, it is 32 MiB.
	Retention Retention
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

const (
	defaultBlockSize       = 1 << 20
	defaultCompactionShare = 0.05
	defaultMaxBytes        = 32 << 20
	defaultFlushDelay      = time.Second
)

// Store is an open store. Its methods may be called concurrently.
//
// The file's invariants, kept by every transaction: a stream's blocks and the
// batches of its tail have rising sequence numbers and do not overlap, blocks
// before batches; every block's pieces are there.
type Store struct {
	options Options
	db      *bbolt.DB

	// writing is held by the one read-write transaction under way.
	writing sync.Mutex

	mu      sync.Mutex
	streams map[string]*stream
	dirty   []*stream     // have entries that are not on disk
	urgent  bool          // somebody waits for them
	since   time.Time     // when the first of them came
	held    int           // bytes of data that are not on disk, in all streams
	freed   chan struct{} // closed and replaced when held falls; nil is that nobody waits
	damage  error         // why the file is not written any more
	closed  bool

	wake    chan struct{} // tells the committer of dirty and urgent
	work    chan struct{} // tells the worker that there may be something to seal or to drop
	ripen   chan struct{} // tells compaction of new blocks
	stop    chan struct{} // closed by Close
	running sync.WaitGroup

	codec codec
	room  int64 // bytes that may be written before Room is asked again; the committer's
	facts facts
	blobs blobFacts
}

// The buckets.
var (
	// bucketSchema: "version" -> 1 byte.
	bucketSchema = []byte("morphzip/store")
	// bucketStreams: name -> streamRecord.
	bucketStreams = []byte("streams")
	// bucketTail: stream (4 bytes), first sequence number (8 bytes) -> the
	// header of a batch, and its payload where that is short.
	bucketTail = []byte("tail")
	// bucketBlocks: stream, first sequence number -> the same of a block.
	bucketBlocks = []byte("blocks")
	// bucketPieces: stream, first sequence number, number of the piece (2
	// bytes) -> a part of a unit's payload.
	bucketPieces = []byte("pieces")
	// bucketRemoved: stream -> empty, of removed streams that are not freed yet.
	bucketRemoved = []byte("removed")
	// bucketDictionaries: stream, number (4 bytes) -> a zstd dictionary.
	bucketDictionaries = []byte("dictionaries")
)

var keyVersion = []byte("version")

// schemaVersion is that of the file's layout.
const schemaVersion = 1

// ErrVersion is returned by Open for a file of a later version of the program.
var ErrVersion = errors.New("the store was written by a later version of this program, which has to be used to read it")

// Open opens the store in the file at path, and makes it if it is not there.
func Open(path string, o Options) (*Store, error) {
	s := &Store{
		options: withDefaults(o), streams: make(map[string]*stream),
		wake: make(chan struct{}, 1), work: make(chan struct{}, 1), ripen: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s.db = db
	if err = s.init(); err == nil {
		err = errors.Join(s.codec.init(), s.releaseAll())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.closeFile())
	}
	s.start("store commits", s.runCommits)
	s.start("store upkeep", s.runUpkeep)
	if s.options.CompactionShare > 0 {
		s.start("store compaction", s.runCompaction)
	}
	return s, nil
}

func withDefaults(o Options) Options {
	if o.Go == nil {
		o.Go = func(_ string, f func()) { go f() }
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.BlockSize == 0 {
		o.BlockSize = defaultBlockSize
	}
	o.BlockSize = min(max(o.BlockSize, 4<<10), maxUnitData)
	if o.CompactionShare == 0 {
		o.CompactionShare = defaultCompactionShare
	}
	o.CompactionShare = min(o.CompactionShare, 1)
	if o.CompactAfter == 0 {
		o.CompactAfter = time.Hour
	}
	if o.Retention.MaxBytes == 0 {
		o.Retention.MaxBytes = defaultMaxBytes
	}
	if o.FlushDelay == 0 {
		o.FlushDelay = defaultFlushDelay
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (s *Store) start(name string, f func()) {
	s.running.Add(1)
	s.options.Go(name, func() {
		defer s.running.Done()
		f()
	})
}

func (s *Store) init() error {
	return s.update(func(tx *bbolt.Tx) error {
		schema, err := tx.CreateBucketIfNotExists(bucketSchema)
		if err != nil {
			return err
		}
		switch version := schema.Get(keyVersion); {
		case version == nil:
			if err := schema.Put(keyVersion, []byte{schemaVersion}); err != nil {
				return err
			}
		case len(version) != 1 || version[0] > schemaVersion:
			return ErrVersion
		}
		for _, name := range append([][]byte{
			bucketStreams, bucketTail, bucketBlocks, bucketPieces, bucketRemoved, bucketDictionaries,
		}, blobBuckets...) {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return s.loadBlobs(tx)
	})
}

// Close writes what is not on disk yet, and closes the file. Reads that follow
// a stream end.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	streams := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	close(s.stop)
	s.running.Wait()
	for _, st := range streams {
		st.mu.Lock()
		st.ended = errClosed // nothing is added any more
		st.mu.Unlock()
	}
	err := s.commit()
	for _, st := range streams {
		st.end(errClosed)
	}
	return errors.Join(err, s.closeFile())
}

// errClosed is returned by the methods of a closed Store.
var errClosed = errors.New("the store is closed")

// key is the beginning of the keys of a stream's unit.
func key(id uint32, first uint64) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 14), id)
	return binary.BigEndian.AppendUint64(k, first)
}
