// Package boltdb keeps several CometBFT stores, and whatever else belongs
// with them, in one bbolt file: each Store is one top-level bucket behind
// CometBFT's dbm.DB.
//
// Two things set it apart from CometBFT's own bbolt backend. No transaction
// stays open under an iterator, so a goroutine may write while it iterates
// (as CometBFT's evidence pool does). And all of its writes, synced or not in
// name, are on disk when they return.
package boltdb

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged says that the file's contents could not be read: it is torn,
// overwritten or its disk fails.
var ErrDamaged = errors.New("boltdb: damaged file")

// lockTimeout bounds the wait for another process that has the file open.
const lockTimeout = 3 * time.Second

// A File is one bbolt file that holds many stores. Its methods may be called
// by many goroutines. A page that cannot be read (bbolt maps its file, so a
// bad sector is a fault) is an error that wraps ErrDamaged, not a crash; from
// then on every transaction is refused with that error: bbolt may hold a lock
// for ever, and what is left of the file cannot be trusted.
type File struct {
	db      *bbolt.DB
	path    string
	commits atomic.Uint64

	damage  atomic.Pointer[error] // nil: none was met
	damaged chan struct{}         // closed when some was

	writer sync.Mutex // held while a transaction writes
	mu     sync.Mutex // guards joined
	joined []join
}

// join is a change that waits for the next transaction.
type join struct {
	change func(*bbolt.Tx) error
	done   func()
}

// Open opens the file at path, or makes it.
func Open(path string) (f *File, err error) {
	defer catchFault(path, &err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      lockTimeout,
		FreelistType: bbolt.FreelistMapType,
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("boltdb: %s is in use by another process", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	case err != nil && !isPathError(err):
		return nil, fmt.Errorf("boltdb: %s: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("boltdb: %w", err)
	}
	return &File{db: db, path: path, damaged: make(chan struct{})}, nil
}

// Damaged is closed when a transaction has met damage; Damage then says what.
func (f *File) Damaged() <-chan struct{} { return f.damaged }

// Damage gives the error, an ErrDamaged, with which a transaction has met
// damage, or nil.
func (f *File) Damage() error {
	if err := f.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// caught notes damage that the transaction which ends has met. It is called
// after catchFault's.
func (f *File) caught(err *error) {
	if met := *err; errors.Is(met, ErrDamaged) && f.damage.CompareAndSwap(nil, &met) {
		close(f.damaged)
	}
}

// Path returns the path the file was opened by.
func (f *File) Path() string { return f.path }

// Close closes the file after the transactions that run. All stores of the
// file fail from then on. A damaged file is left to the process's end.
func (f *File) Close() error {
	if err := f.Damage(); err != nil {
		return err
	}
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("boltdb: %s: %w", f.path, err)
	}
	return nil
}

// View runs fn in a read-only transaction. Slices read in it are only valid
// until fn returns.
func (f *File) View(fn func(*bbolt.Tx) error) (err error) {
	if err := f.Damage(); err != nil {
		return err
	}
	defer f.caught(&err)
	defer catchFault(f.path, &err)()
	return f.db.View(fn)
}

// Update runs fn in a read-write transaction, after the changes that joined
// it. When it returns nil, all that was changed is on disk; when it returns an
// error, nothing is, and the joined changes wait for the next transaction.
func (f *File) Update(fn func(*bbolt.Tx) error) error {
	joined, err := f.update(fn)
	if err != nil {
		return err
	}
	for _, j := range joined {
		j.done()
	}
	return nil
}

func (f *File) update(fn func(*bbolt.Tx) error) (joined []join, err error) {
	f.writer.Lock()
	defer f.writer.Unlock()
	if err := f.Damage(); err != nil {
		return nil, err
	}
	defer f.caught(&err)
	defer catchFault(f.path, &err)()
	f.mu.Lock()
	joined = f.joined
	f.mu.Unlock()
	err = f.db.Update(func(tx *bbolt.Tx) error {
		for _, j := range joined {
			if err := j.change(tx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
	if err != nil {
		return nil, err
	}
	f.commits.Add(1)
	f.mu.Lock()
	f.joined = f.joined[len(joined):]
	f.mu.Unlock()
	return joined, nil
}

// Join leaves a change to the next transaction, whoever makes it: it is on
// disk no later than any change made after it, and together with the first
// of them. The caller may acknowledge it to no one before done is called.
func (f *File) Join(change func(*bbolt.Tx) error, done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined = append(f.joined, join{change, done})
}

// Flush commits the changes that have joined no transaction yet.
func (f *File) Flush() error {
	f.mu.Lock()
	waiting := len(f.joined)
	f.mu.Unlock()
	if waiting == 0 {
		return nil
	}
	return f.Update(func(*bbolt.Tx) error { return nil })
}

// Commits returns the number of transactions committed since Open. Each costs
// two fdatasync calls: its pages, then the meta page that points to them.
func (f *File) Commits() uint64 { return f.commits.Load() }

// Size returns the file's length in bytes.
func (f *File) Size() (int64, error) {
	var size int64
	err := f.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size, err
}

func isPathError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}
