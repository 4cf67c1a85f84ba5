package chain

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	"github.com/google/renameio/v2"

	"github.com/entroos/entroos/ledger/proof"
)

// ErrIdentity says that a home folder belongs to another ledger or node.
var ErrIdentity = errors.New("ledger: this home folder is another ledger's")

// Files in the home folder.
const (
	genesisFile   = "genesis.json"
	validatorFile = "validator_key.json"
	signedFile    = "validator_state.json"
	databaseFile  = "ledger.db"
	walFolder     = "wal"
)

// loadIdentity returns the ledger's genesis and the validator that signs its
// blocks. At the first start it makes them: the validator's files first and
// the genesis last, each durably, so that a genesis means that all are there.
func loadIdentity(home, chainID string, node [32]byte) (*proof.Genesis, *privval.FilePV, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, nil, fmt.Errorf("ledger: home folder: %w", err)
	}
	file, err := os.ReadFile(filepath.Join(home, genesisFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeIdentity(home, chainID, node)
	case err != nil:
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	g, err := proof.ParseGenesis(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(home, genesisFile), err)
	}
	if g.Doc.ChainID != chainID {
		return nil, nil, fmt.Errorf("%w: %s is for chain %s, not %s", ErrIdentity, filepath.Join(home, genesisFile), g.Doc.ChainID, chainID)
	}
	if !g.HasNode(node) {
		return nil, nil, fmt.Errorf("%w: %s does not name node %x", ErrIdentity, filepath.Join(home, genesisFile), node)
	}
	validator, err := loadValidator(home)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range g.Doc.Validators {
		if v.PubKey.Equals(validator.Key.PubKey) {
			return g, validator, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: %s does not name the validator in %s", ErrIdentity, filepath.Join(home, genesisFile), validatorFile)
}

func makeIdentity(home, chainID string, node [32]byte) (*proof.Genesis, *privval.FilePV, error) {
	if _, err := os.Stat(filepath.Join(home, databaseFile)); err == nil {
		return nil, nil, fmt.Errorf("ledger: %s is there, but its %s is missing", filepath.Join(home, databaseFile), genesisFile)
	}
	key := privval.FilePVKey{PrivKey: ed25519.GenPrivKey()}
	switch old, err := loadValidatorKey(home); {
	case err == nil:
		key.PrivKey = old // a first start that was cut short
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	key.PubKey = key.PrivKey.PubKey()
	key.Address = key.PubKey.Address()
	g, err := proof.NewGenesis(chainID, node, key.PubKey)
	if err != nil {
		return nil, nil, err
	}
	signed, err := cmtjson.MarshalIndent(privval.FilePVLastSignState{}, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	keyJSON, err := cmtjson.MarshalIndent(key, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{signedFile, signed}, {validatorFile, keyJSON}, {genesisFile, g.File}} {
		if err := writeDurably(filepath.Join(home, f.name), f.data); err != nil {
			return nil, nil, err
		}
	}
	validator, err := loadValidator(home)
	return g, validator, err
}

// writeDurably replaces a file: after a power cut, it is the old or the new.
func writeDurably(path string, data []byte) error {
	if err := renameio.WriteFile(path, data, 0o600, renameio.WithStaticPermissions(0o600)); err != nil {
		return fmt.Errorf("ledger: write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("ledger: sync %s: %w", dir.Name(), err)
	}
	return nil
}

// loadValidator reads the validator's key and what it signed last. CometBFT's
// own loader ends the process when a file does not parse, so they are read
// here before.
func loadValidator(home string) (*privval.FilePV, error) {
	if _, err := loadValidatorKey(home); err != nil {
		return nil, err
	}
	path := filepath.Join(home, signedFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: what the validator signed last is not known: %w", err)
	}
	var signed privval.FilePVLastSignState
	if err := cmtjson.Unmarshal(b, &signed); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", path, err)
	}
	return privval.LoadFilePV(filepath.Join(home, validatorFile), path), nil
}

func loadValidatorKey(home string) (crypto.PrivKey, error) {
	path := filepath.Join(home, validatorFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: validator's key: %w", err)
	}
	var key privval.FilePVKey
	if err := cmtjson.Unmarshal(b, &key); err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", path, err)
	}
	priv, ok := key.PrivKey.(ed25519.PrivKey)
	if !ok || len(priv) != ed25519.PrivateKeySize || !bytes.Equal(priv.PubKey().Bytes(), priv[32:]) {
		return nil, fmt.Errorf("ledger: %s holds no Ed25519 key", path)
	}
	return priv, nil
}
