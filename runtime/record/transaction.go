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

// lost has the files, *bbolt.DB, of which a lock could not be given back:
// bbolt would wait for it for ever. Its values are the errors that say why.
var lost sync.Map

// View runs read in a read-only transaction. bbolt maps its file and trusts
// its pages, so that a bad sector is a memory fault and a garbled page a panic:
// either is returned as an error that is ErrDamaged, and any other panic as an
// error too.
func View(db *bbolt.DB, read func(*bbolt.Tx) error) error { return transact(db, false, read) }

// Update runs write in a read-write transaction, which is on disk when Update
// returns nil. A panic is an error, as in View, and nothing is on disk then.
func Update(db *bbolt.DB, write func(*bbolt.Tx) error) error { return transact(db, true, write) }

// Close closes the file when its transactions have ended, but does not wait
// for one that damage has left without an end.
func Close(db *bbolt.DB) error {
	if err, ok := lost.Load(db); ok {
		return fmt.Errorf("the records file is not closed: %w", err.(error))
	}
	return db.Close()
}

// transact is bbolt's View and Update, but for the end after a panic: theirs
// reads the file's free pages again, which may panic once more and keep the
// lock.
func transact(db *bbolt.DB, writable bool, f func(*bbolt.Tx) error) (err error) {
	if err, ok := lost.Load(db); ok {
		return err.(error)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var tx *bbolt.Tx
	defer func() {
		p := recover()
		if p != nil {
			err = failure(p)
		}
		switch {
		case tx != nil:
			if failed := release(db, tx); failed != nil {
				err = errors.Join(err, failed)
			}
		case p != nil: // bbolt was at its headers, with its locks taken
			lost.Store(db, err)
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

// release rolls back a transaction that has not ended.
func release(db *bbolt.DB, tx *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = failure(p)
			lost.Store(db, err)
		}
	}()
	if err := tx.Rollback(); !errors.Is(err, bolterrors.ErrTxClosed) {
		return err
	}
	return nil
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
