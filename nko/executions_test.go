package nko

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
)

// Executions add up at every moment of their lives; one that vanishes, with or
// without a receipt, is missed.
func TestExecutionsAddUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entroos.db")
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	account := func(committed uint64) error {
		t.Helper()
		e, err := s.Executions()
		if err != nil {
			t.Fatal(err)
		}
		return e.Account(committed)
	}
	well := func(committed uint64) {
		t.Helper()
		if err := account(committed); err != nil {
			t.Fatal(err)
		}
	}
	well(0)
	for i := range 6 {
		c := &entroosv1.Container{Id: fmt.Sprintf("%064x", i)}
		if err := s.Begin(StartRecord{Container: c.GetId()}, c); err != nil {
			t.Fatal(err)
		}
		well(0)
		if i == 5 {
			break // it goes on running
		}
		if err := s.End(StartRecord{Container: c.GetId()}.receipt(ledger.OutcomeExited), c); err != nil {
			t.Fatal(err)
		}
		well(0)
	}
	well(2) // committed, and in the outbox still
	if err := s.Committed([]uint64{1, 2}); err != nil {
		t.Fatal(err)
	}
	well(2)
	well(4)
	well(7) // asked for after two more
	if err := account(1); !errors.Is(err, ErrExecutionsMissing) {
		t.Errorf("receipt 2 is nowhere: %v", err)
	}
	if err := s.Committed([]uint64{4}); err != nil {
		t.Fatal(err)
	}
	if err := account(3); !errors.Is(err, ErrExecutionsMissing) {
		t.Errorf("receipt 4 is nowhere: %v", err)
	}

	// A store of a version that did not count begins to.
	if err := s.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketReceipts).Delete(keyStarted) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenStore(path); err != nil {
		t.Fatal(err)
	}
	well(5)
	e, err := s.Executions()
	if err != nil || e.Started != 6 || e.Running != 1 || e.Last != 5 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := s.update(func(tx *bbolt.Tx) error { return bucketStarts.Delete(tx, fmt.Sprintf("%064x", 5)) }); err != nil {
		t.Fatal(err)
	}
	if err := account(5); !errors.Is(err, ErrExecutionsMissing) {
		t.Errorf("the running execution is gone: %v", err)
	}
}
