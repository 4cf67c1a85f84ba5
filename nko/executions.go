package nko

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/equations"
)

// Executions is where the node's executions are, at one moment (equation 54).
type Executions struct {
	// Started counts those that have begun, ever; Running those of them that
	// have not ended.
	Started, Running uint64
	// Waiting are the receipts in the outbox, by number, rising; Last is the
	// newest receipt's number.
	Waiting []uint64
	Last    uint64
}

// ErrExecutionsMissing says that executions have left no receipt, or that there
// are receipts of none.
var ErrExecutionsMissing = errors.New("executions and receipts do not add up")

// Account says whether every execution that has begun is running, waits in the
// outbox or is among the receipts up to committed, which the ledger had after e
// was taken: equation 54. What is committed and has not left the outbox yet
// counts once.
func (e Executions) Account(committed uint64) error {
	if gap := equations.SequenceGap(committed, e.Waiting, e.Last); gap != 0 {
		return fmt.Errorf("%w: receipt %d of %d neither waits nor is in the ledger", ErrExecutionsMissing, gap, e.Last)
	}
	committed = min(committed, e.Last) // later ones began after e was taken
	if d := equations.ExecutionBalance(e.Started, e.Running, e.Last-committed, committed); d != 0 {
		return fmt.Errorf("%w: %d begun, %d running, %d receipts", ErrExecutionsMissing, e.Started, e.Running, e.Last)
	}
	return nil
}

// Executions tells where the node's executions are.
func (s *Store) Executions() (e Executions, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		if e.Started, err = started(tx); err != nil {
			return err
		}
		if e.Last, _, err = last(tx); err != nil {
			return err
		}
		err := bucketStarts.Each(tx, func(string, StartRecord) error {
			e.Running++
			return nil
		})
		if err != nil {
			return err
		}
		c := tx.Bucket(bucketOutbox).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if len(k) != 8 {
				return errors.New("the outbox is damaged")
			}
			e.Waiting = append(e.Waiting, binary.BigEndian.Uint64(k))
		}
		return nil
	})
	return e, err
}

var keyStarted = []byte("started")

// initStarted begins the count in a store that was made without it.
func initStarted(tx *bbolt.Tx) error {
	if tx.Bucket(bucketReceipts).Get(keyStarted) != nil {
		return nil
	}
	n, _, err := last(tx)
	if err != nil {
		return err
	}
	err = bucketStarts.Each(tx, func(string, StartRecord) error {
		n++
		return nil
	})
	return errors.Join(err, tx.Bucket(bucketReceipts).Put(keyStarted, sequenceKey(n)))
}

func started(tx *bbolt.Tx) (uint64, error) {
	raw := tx.Bucket(bucketReceipts).Get(keyStarted)
	if len(raw) != 8 {
		return 0, errors.New("the count of executions is damaged")
	}
	return binary.BigEndian.Uint64(raw), nil
}

func countStart(tx *bbolt.Tx) error {
	n, err := started(tx)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketReceipts).Put(keyStarted, sequenceKey(n+1))
}
