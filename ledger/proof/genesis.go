package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"

	"github.com/entroos/entroos/ledger"
)

// A Genesis is what a ledger begins with: its name, its validators and the
// nodes whose receipts it takes. Its file's SHA-256 is what one who verifies
// a receipt trusts.
type Genesis struct {
	// Doc is the document as CometBFT takes it.
	Doc *types.GenesisDoc
	// Nodes are the Ed25519 public keys of the nodes.
	Nodes [][32]byte
	// File is the document's canonical encoding.
	File []byte
}

// appState is the part of the genesis document that is the application's.
type appState struct {
	// Nodes are public keys in hexadecimal.
	Nodes []string `json:"nodes"`
}

// Limits of a ledger's blocks. MaxBlockBytes is ten block parts, the most
// that CometBFT stores in one transaction: about 1,200 receipts.
const (
	MaxBlockBytes = 10 * int64(types.BlockPartSizeBytes)

	evidenceBlocks   = 10
	evidenceDuration = time.Millisecond
)

// NewGenesis makes the genesis of a ledger with one validator and one node.
// It is a function of its arguments alone: its time is the epoch, since a box
// may have no clock when it starts its ledger.
func NewGenesis(chainID string, node [32]byte, validator crypto.PubKey) (*Genesis, error) {
	if len(chainID) == 0 || len(chainID) > ledger.MaxChainID {
		return nil, fmt.Errorf("ledger: chain id %q: must have 1 to %d characters", chainID, ledger.MaxChainID)
	}
	state, err := json.Marshal(appState{Nodes: []string{hex.EncodeToString(node[:])}})
	if err != nil {
		return nil, err
	}
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes = MaxBlockBytes
	// Evidence against a validator has to be younger than the oldest block
	// kept: CometBFT otherwise keeps the headers of pruned blocks for ever.
	params.Evidence.MaxAgeNumBlocks = evidenceBlocks
	params.Evidence.MaxAgeDuration = evidenceDuration
	params.Evidence.MaxBytes = MaxBlockBytes / 10
	doc := &types.GenesisDoc{
		GenesisTime:     time.Unix(0, 0).UTC(),
		ChainID:         chainID,
		InitialHeight:   1,
		ConsensusParams: params,
		Validators: []types.GenesisValidator{{
			Address: validator.Address(), PubKey: validator, Power: 1,
		}},
		AppState: state,
	}
	file, err := encodeGenesis(doc)
	if err != nil {
		return nil, err
	}
	return ParseGenesis(file)
}

// ParseGenesis reads a genesis file. Only a canonical file is taken: one that
// encodes to itself.
func ParseGenesis(file []byte) (*Genesis, error) {
	doc := new(types.GenesisDoc)
	if err := cmtjson.Unmarshal(file, doc); err != nil {
		return nil, fmt.Errorf("ledger: genesis document: %w", err)
	}
	for _, v := range doc.Validators { // CometBFT panics when one has no key
		if key, ok := v.PubKey.(ed25519.PubKey); !ok || len(key) != ed25519.PubKeySize {
			return nil, fmt.Errorf("ledger: genesis document: validator %v has no Ed25519 key", v.Address)
		}
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return nil, fmt.Errorf("ledger: genesis document: %w", err)
	}
	again, err := encodeGenesis(doc)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, file) {
		return nil, errors.New("ledger: genesis document is not in its canonical form")
	}
	if len(doc.Validators) == 0 {
		return nil, errors.New("ledger: genesis document names no validator")
	}
	var power int64
	seen := make(map[string]bool)
	for _, v := range doc.Validators {
		if seen[v.Address.String()] {
			return nil, fmt.Errorf("ledger: genesis document names validator %v twice", v.Address)
		}
		seen[v.Address.String()] = true
		if v.Power < 0 || v.Power > types.MaxTotalVotingPower-power {
			return nil, fmt.Errorf("ledger: genesis document: voting power of validator %v", v.Address)
		}
		power += v.Power
	}
	var state appState
	dec := json.NewDecoder(bytes.NewReader(doc.AppState))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&state); err != nil {
		return nil, fmt.Errorf("ledger: genesis document: app_state: %w", err)
	}
	g := &Genesis{Doc: doc, File: bytes.Clone(file)}
	for _, s := range state.Nodes {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("ledger: genesis document: node %q is not an Ed25519 public key in hexadecimal", s)
		}
		g.Nodes = append(g.Nodes, [32]byte(b))
	}
	return g, nil
}

// Hash returns the SHA-256 of the genesis file.
func (g *Genesis) Hash() [32]byte { return sha256.Sum256(g.File) }

// HasNode tells whether the genesis names the node.
func (g *Genesis) HasNode(node [32]byte) bool {
	for _, n := range g.Nodes {
		if n == node {
			return true
		}
	}
	return false
}

// Validators returns the validator set that the genesis names.
func (g *Genesis) Validators() *types.ValidatorSet {
	vals := make([]*types.Validator, len(g.Doc.Validators))
	for i, v := range g.Doc.Validators {
		vals[i] = types.NewValidator(v.PubKey, v.Power)
	}
	return types.NewValidatorSet(vals)
}

func encodeGenesis(doc *types.GenesisDoc) ([]byte, error) {
	b, err := cmtjson.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("ledger: genesis document: %w", err)
	}
	return append(b, '\n'), nil
}
