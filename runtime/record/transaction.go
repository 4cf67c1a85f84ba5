package record

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// View runs read in a read-only transaction. bbolt maps its file, so that a
// bad sector is a memory fault: it is returned as an error.
func View(db *bbolt.DB, read func(*bbolt.Tx) error) error {
	return guard(func() error { return db.View(read) })
}

// Update runs write in a read-write transaction, which is on disk when Update
// returns nil. A memory fault is an error, as in View.
func Update(db *bbolt.DB, write func(*bbolt.Tx) error) error {
	return guard(func() error { return db.Update(write) })
}

func guard(transaction func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case interface {
			error
			Addr() uintptr
		}:
			err = fmt.Errorf("the database cannot be read at %#x: %w", p.Addr(), p)
		default:
			panic(p)
		}
	}()
	return transaction()
}
