package nko

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime/record"
)

// Buckets of the store and the form of their records.
var (
	// identity: "seed" -> the Ed25519 seed, 32 bytes; "chain" -> the chain id.
	bucketIdentity = []byte("nko/identity")
	// containers: id -> entroosv1.Container.
	bucketContainers = []byte("nko/containers")
	// stopped: id -> empty, of the containers stopped by an operator.
	bucketStopped = []byte("nko/stopped")
	// starts: id -> StartRecord, of the executions that have not ended.
	bucketStarts = record.Bucket[StartRecord]("nko/starts")
	// outbox: sequence (8 bytes, big-endian) -> the receipt's encoding.
	bucketOutbox = []byte("nko/outbox")
	// receipts: "last" -> sequence (8 bytes, big-endian) and P (32 bytes) of
	// the node's last receipt; "started" -> how many executions have begun, 8
	// bytes, big-endian.
	bucketReceipts = []byte("nko/receipts")
)

var (
	keySeed  = []byte("seed")
	keyChain = []byte("chain")
	keyLast  = []byte("last")
)

// Store is the operator's part of the box's bbolt file: who the node is, its
// containers, the executions under way, and the receipts that the ledger has
// not committed yet. What a method has returned from without an error is on
// the disk.
//
// Invariants, kept by each transaction: the receipts' sequence has no gap; P
// of the last receipt is the next one's Previous; an execution has either a
// start record or a receipt, never both and never neither.
type Store struct {
	db  *bbolt.DB
	key ed25519.PrivateKey

	// Node is the node's Ed25519 public key.
	Node [32]byte
	// ChainID is "entroos-" and 16 hexadecimal digits, chosen at the first boot.
	ChainID string
}

// StartRecord says that an execution is about to begin.
type StartRecord struct {
	Container      string    `json:"container"`
	Nonce          [32]byte  `json:"nonce"`
	ImageDigest    [32]byte  `json:"image_digest"`
	WorkloadDigest [32]byte  `json:"workload_digest"`
	At             time.Time `json:"at"`
}

// OpenStore opens or makes the file, and the node's identity when it has none.
func OpenStore(path string) (store *Store, err error) {
	// A file with bad sectors faults, a garbled one makes bbolt panic; either
	// is an error of this box's disk, not of this program.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			LogPanic("open store", r)
			store, err = nil, fmt.Errorf("open %s: the file is damaged: %v", path, r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Store{db: db}
	if err := s.init(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), record.Close(db))
	}
	return s, nil
}

func (s *Store) init() error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketIdentity, bucketContainers, bucketStopped, bucketOutbox, bucketReceipts} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if err := errors.Join(bucketStarts.Create(tx), bucketNoise.Create(tx)); err != nil {
			return err
		}
		if err := initStarted(tx); err != nil {
			return err
		}
		identity := tx.Bucket(bucketIdentity)
		seed, chain := identity.Get(keySeed), identity.Get(keyChain)
		if (seed == nil) != (chain == nil) || seed != nil && len(seed) != ed25519.SeedSize {
			return errors.New("the node's identity is damaged")
		}
		if seed == nil {
			seed = make([]byte, ed25519.SeedSize)
			rand.Read(seed) // never fails
			var id [8]byte
			rand.Read(id[:])
			chain = []byte("entroos-" + hex.EncodeToString(id[:]))
			if err := errors.Join(identity.Put(keySeed, seed), identity.Put(keyChain, chain)); err != nil {
				return err
			}
		}
		s.key = ed25519.NewKeyFromSeed(seed)
		copy(s.Node[:], s.key.Public().(ed25519.PublicKey))
		s.ChainID = string(chain)
		return nil
	})
}

// DB is the bbolt file, for the records of other packages. Their buckets' names
// do not begin with "nko/".
func (s *Store) DB() *bbolt.DB { return s.db }

// Close closes the file. Transactions under way end first.
func (s *Store) Close() error { return record.Close(s.db) }

// Damage gives the error by which a bad sector or a garbled page of the file was
// met, or nil. From then on the file is closed: each method gives that error.
func (s *Store) Damage() error { return record.Damage(s.db) }

// Size is the file's size in bytes.
func (s *Store) Size() (int64, error) {
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (s *Store) view(f func(*bbolt.Tx) error) error   { return record.View(s.db, f) }
func (s *Store) update(f func(*bbolt.Tx) error) error { return record.Update(s.db, f) }

// Containers gives every container and whether an operator has stopped it.
func (s *Store) Containers() (containers []*entroosv1.Container, stopped map[string]bool, err error) {
	stopped = make(map[string]bool)
	err = s.view(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketContainers).ForEach(func(id, raw []byte) error {
			c := new(entroosv1.Container)
			if err := proto.Unmarshal(raw, c); err != nil {
				return fmt.Errorf("container %s: %w", id, err)
			}
			containers = append(containers, c)
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(bucketStopped).ForEach(func(id, _ []byte) error {
			stopped[string(id)] = true
			return nil
		})
	})
	return containers, stopped, err
}

// PutContainer keeps a container as it is now.
func (s *Store) PutContainer(c *entroosv1.Container) error {
	return s.update(func(tx *bbolt.Tx) error { return putContainer(tx, c) })
}

func putContainer(tx *bbolt.Tx, c *entroosv1.Container) error {
	raw, err := proto.Marshal(c)
	if err != nil {
		return fmt.Errorf("container %s: %w", c.GetId(), err)
	}
	return tx.Bucket(bucketContainers).Put([]byte(c.GetId()), raw)
}

// SetStopped notes whether an operator wants the container stopped.
func (s *Store) SetStopped(id string, stopped bool) error {
	return s.update(func(tx *bbolt.Tx) error {
		if stopped {
			return tx.Bucket(bucketStopped).Put([]byte(id), nil)
		}
		return tx.Bucket(bucketStopped).Delete([]byte(id))
	})
}

// DeleteContainer forgets a container that is not running.
func (s *Store) DeleteContainer(id string) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, running, err := bucketStarts.Get(tx, id); err != nil || running {
			return errors.Join(err, fmt.Errorf("container %s is running", id))
		}
		return errors.Join(tx.Bucket(bucketContainers).Delete([]byte(id)), tx.Bucket(bucketStopped).Delete([]byte(id)))
	})
}

// Begin writes the start record of an execution, with its container as it is
// from now on.
func (s *Store) Begin(start StartRecord, c *entroosv1.Container) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, running, err := bucketStarts.Get(tx, start.Container); err != nil || running {
			return errors.Join(err, fmt.Errorf("container %s is running", start.Container))
		}
		return errors.Join(bucketStarts.Put(tx, start.Container, start), countStart(tx), putContainer(tx, c))
	})
}

// Starts gives the executions that have begun and not ended.
func (s *Store) Starts() (starts []StartRecord, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		return bucketStarts.Each(tx, func(_ string, start StartRecord) error {
			starts = append(starts, start)
			return nil
		})
	})
	return starts, err
}

// End completes an execution's receipt and keeps it: it sets ChainID, Node,
// Sequence and Previous, and seals it; in the same transaction the start
// record goes, the receipt enters the outbox, and the container is kept as it
// is after its end. On an error nothing has changed on the disk, and r and c
// are of no use.
func (s *Store) End(r *ledger.Receipt, c *entroosv1.Container) error {
	return s.update(func(tx *bbolt.Tx) error {
		_, running, err := bucketStarts.Get(tx, c.GetId())
		switch {
		case err != nil:
			return err
		case !running:
			return fmt.Errorf("container %s has no start record", c.GetId())
		}
		sequence, p, err := last(tx)
		if err != nil {
			return err
		}
		r.ChainID, r.Node = s.ChainID, s.Node
		r.Sequence, r.Previous = sequence+1, p
		if err := r.Seal(s.key); err != nil {
			return err
		}
		encoded, err := r.MarshalBinary()
		if err != nil {
			return err
		}
		c.ReceiptSequence = r.Sequence
		return errors.Join(
			bucketStarts.Delete(tx, c.GetId()),
			tx.Bucket(bucketOutbox).Put(sequenceKey(r.Sequence), encoded),
			tx.Bucket(bucketReceipts).Put(keyLast, append(sequenceKey(r.Sequence), r.Proof[:]...)),
			putContainer(tx, c),
		)
	})
}

// Last gives the sequence number and P of the node's last receipt; 0 is none.
func (s *Store) Last() (sequence uint64, p [32]byte, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		sequence, p, err = last(tx)
		return err
	})
	return sequence, p, err
}

func last(tx *bbolt.Tx) (sequence uint64, p [32]byte, err error) {
	raw := tx.Bucket(bucketReceipts).Get(keyLast)
	switch len(raw) {
	case 0:
		return 0, p, nil
	case 8 + len(p):
		copy(p[:], raw[8:])
		return binary.BigEndian.Uint64(raw), p, nil
	}
	return 0, p, errors.New("the record of the last receipt is damaged")
}

// Waiting is a receipt that the ledger has not committed yet.
type Waiting struct {
	Sequence uint64
	Receipt  []byte // its encoding
}

// Outbox gives the waiting receipts from a sequence number on, in order, at
// most limit of them.
func (s *Store) Outbox(from uint64, limit int) (waiting []Waiting, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketOutbox).Cursor()
		for k, v := c.Seek(sequenceKey(from)); k != nil && len(waiting) < limit; k, v = c.Next() {
			if len(k) != 8 {
				return errors.New("the outbox is damaged")
			}
			waiting = append(waiting, Waiting{Sequence: binary.BigEndian.Uint64(k), Receipt: append([]byte(nil), v...)})
		}
		return nil
	})
	return waiting, err
}

// OutboxLen is the number of receipts from the first waiting one to the last.
func (s *Store) OutboxLen() (n uint64, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketOutbox).Cursor()
		first, _ := b.First()
		if first == nil {
			return nil
		}
		end, _ := b.Last()
		if len(first) != 8 || len(end) != 8 {
			return errors.New("the outbox is damaged")
		}
		// They leave almost in order, so this is nearly how many wait; to
		// count them would read the whole bucket.
		n = binary.BigEndian.Uint64(end) - binary.BigEndian.Uint64(first) + 1
		return nil
	})
	return n, err
}

// Committed takes committed receipts out of the outbox.
func (s *Store) Committed(sequences []uint64) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, n := range sequences {
			if err := tx.Bucket(bucketOutbox).Delete(sequenceKey(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
