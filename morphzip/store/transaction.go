package store

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is in the errors that tell of a file, or a part of it, that the
// disk does not give, or that is not what was written.
var ErrDamaged = errors.New("the store's file is damaged; once it is moved away, a new one is made in its place")

// openFile opens the bbolt file. bbolt maps its file and trusts its pages, so
// that a bad sector is a memory fault and a garbled page a panic.
func openFile(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	for _, damage := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, damage) {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return db, err
}

// view runs read in a read-only transaction. A panic in it is an error that is
// ErrDamaged, and harms no other transaction.
func (s *Store) view(read func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var tx *bbolt.Tx
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		if tx != nil {
			if failed := rollback(tx); failed != nil {
				err = errors.Join(err, failed)
			}
		}
	}()
	if tx, err = s.db.Begin(false); err != nil {
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			err = errClosed
		}
		return err
	}
	return read(tx)
}

// update runs write in a read-write transaction, which is on disk when update
// returns nil. After a panic in it nothing is written any more, as bbolt's
// state is not known then.
func (s *Store) update(write func(*bbolt.Tx) error) error { return s.updateThen(write, func() {}) }

// updateThen is update, and calls done once all is on disk, before the next
// read-write transaction begins.
func (s *Store) updateThen(write func(*bbolt.Tx) error, done func()) (err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	err = s.damage
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var tx *bbolt.Tx
	defer func() {
		p := recover()
		if p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
			s.mu.Lock()
			s.damage = err
			s.mu.Unlock()
		}
		if tx != nil {
			if failed := rollback(tx); failed != nil {
				err = errors.Join(err, failed)
			}
		}
	}()
	if tx, err = s.db.Begin(true); err != nil {
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			err = errClosed
		}
		return err
	}
	if err := write(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	done()
	return nil
}

// rollback ends a transaction that has not ended.
func rollback(tx *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	if err := tx.Rollback(); !errors.Is(err, bolterrors.ErrTxClosed) {
		return err
	}
	return nil
}

// closeFile closes the file when its transactions have ended; a damaged one is
// left as it is, since bbolt might wait for a lock for ever.
func (s *Store) closeFile() error {
	s.mu.Lock()
	damage := s.damage
	s.mu.Unlock()
	if damage != nil {
		return fmt.Errorf("not closed: %w", damage)
	}
	return s.db.Close()
}
