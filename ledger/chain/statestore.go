package chain

import (
	"bytes"

	dbm "github.com/cometbft/cometbft-db"
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/ledger/boltdb"
)

// lastResponseKey is where CometBFT's state store keeps the application's
// answer to the newest block, for a crash that falls between the
// application's commit and its own.
var lastResponseKey = []byte("lastABCIResponseKey")

// stateStore is CometBFT's state store. Its transactions per block are joined
// into one: the answer to a block waits for the transaction that saves the
// state after it, as the application's commit between the two does. So there
// is no between on disk, and each block costs two synced writes less. Should
// CometBFT rename the key, the answer is written at once.
type stateStore struct{ *boltdb.Store }

var _ dbm.DB = stateStore{}

// SetSync implements dbm.DB.
func (s stateStore) SetSync(key, value []byte) error {
	if !bytes.Equal(key, lastResponseKey) {
		return s.Store.SetSync(key, value)
	}
	value = bytes.Clone(value)
	s.Join(func(b *bbolt.Bucket) error { return b.Put(lastResponseKey, value) })
	return nil
}
