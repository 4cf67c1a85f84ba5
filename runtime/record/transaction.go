package record

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is in the error of a transaction that met a page which the disk
// does not give, or which is not what bbolt has written.
var ErrDamaged = errors.New("the records file is damaged")

// damaged has the files, *bbolt.DB, that are closed for good. Its values are
// *damage.
var damaged sync.Map

// writers has a lock for each *bbolt.DB. Who waits for it can be told that the
// file is closed meanwhile; who waited for bbolt's could not.
var writers sync.Map

// damage is why a file is closed.
type damage struct {
	err   error
	stuck bool // a lock could not be given back: bbolt would wait for it for ever
}

// View runs read in a read-only transaction. bbolt maps its file and trusts
// its pages, so that a bad sector is a memory fault and a garbled page a panic:
// either is returned as an error that is ErrDamaged, and any other panic as an
// error too. After damage the file is closed: what is left of it cannot be
// trusted, and each transaction is refused with the error that told of it.
func View(db *bbolt.DB, read func(*bbolt.Tx) error) error { return transact(db, false, read) }

// Update runs write in a read-write transaction, which is on disk when Update
// returns nil. A panic is an error, as in View, and nothing is on disk then.
func Update(db *bbolt.DB, write func(*bbolt.Tx) error) error { return transact(db, true, write) }

// Damage gives the error by which a transaction has met damage, or nil.
func Damage(db *bbolt.DB) error {
	if d, ok := damaged.Load(db); ok {
		return d.(*damage).err
	}
	return nil
}

// Close closes the file when its transactions have ended, but does not wait
// for one that damage has left without an end.
func Close(db *bbolt.DB) error {
	if d, ok := damaged.Load(db); ok && d.(*damage).stuck {
		return fmt.Errorf("the records file is not closed: %w", d.(*damage).err)
	}
	if err := db.Close(); err != nil {
		return err
	}
	damaged.Delete(db)
	writers.Delete(db)
	return nil
}

// transact is bbolt's View and Update, but for the end after a panic: theirs
// reads the file's free pages again, which may panic once more and keep the
// lock.
func transact(db *bbolt.DB, writable bool, f func(*bbolt.Tx) error) (err error) {
	if writable {
		lock, _ := writers.LoadOrStore(db, new(sync.Mutex))
		lock.(*sync.Mutex).Lock()
		defer lock.(*sync.Mutex).Unlock()
	}
	if err := Damage(db); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var tx *bbolt.Tx
	defer func() {
		p := recover()
		if p != nil {
			err = failure(p)
		}
		stuck := p != nil && tx == nil // bbolt was at its headers, with its locks taken
		if tx != nil {
			var failed error
			stuck, failed = release(tx)
			if failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if stuck || errors.Is(err, ErrDamaged) {
			damaged.Store(db, &damage{err: err, stuck: stuck})
		}
	}()
	if tx, err = db.Begin(writable); err != nil {
		return err
	}
	if err := f(tx); err != nil || !writable {
		return err
	}
	return tx.Commit()
}

// release rolls back a transaction that has not ended; stuck says that its lock
// could not be given back.
func release(tx *bbolt.Tx) (stuck bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			stuck, err = true, failure(p)
		}
	}()
	if err := tx.Rollback(); !errors.Is(err, bolterrors.ErrTxClosed) {
		return false, err
	}
	return false, nil
}

// failure makes an error of a recovered panic, and logs its stack, as it may
// be a fault of this program. It is called by the deferred function.
func failure(p any) error {
	slog.Error("panic", "in", "records", "value", fmt.Sprint(p), "stack", string(debug.Stack()))
	cause, ok := p.(error)
	if !ok {
		cause = fmt.Errorf("%v", p)
	}
	var fault interface {
		error
		Addr() uintptr
	}
	switch {
	case errors.As(cause, &fault):
		return fmt.Errorf("%w: it cannot be read at %#x: %w", ErrDamaged, fault.Addr(), cause)
	case inBbolt():
		return fmt.Errorf("%w: %w", ErrDamaged, cause)
	}
	return fmt.Errorf("panic in a transaction: %w", cause)
}

// inBbolt says whether the panic now recovered was raised by bbolt, and not by
// a function that it called back.
func inBbolt() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for panicked := false; ; {
		frame, more := frames.Next()
		panicked = panicked || frame.Function == "runtime.gopanic"
		// The standard library's paths have no dot in their first part.
		if module, _, ok := strings.Cut(frame.Function, "/"); panicked && ok && strings.Contains(module, ".") {
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}
