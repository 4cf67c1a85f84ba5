package chain

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/entroos/entroos/ledger"
)

// Codes of the application's answers to a transaction, which is a receipt.
const (
	codeOK uint32 = iota
	codeMalformed
	codeWrongChain
	codeUnknownNode
	codeBadSignature
	codeConflict
	codeDuplicate
	codeGap
	codeWrongPrevious
)

// A refusal says why a receipt cannot be taken.
type refusal struct {
	code   uint32
	reason string
}

func refuse(code uint32, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// rules judge receipts. Whether a receipt is well formed and signed is a pure
// function of its bytes, so the answer is kept: a receipt is verified once,
// not again when it is proposed, judged and executed.
type rules struct {
	chainID string

	mu       sync.Mutex
	verified map[[32]byte]struct{} // by SHA-256 of the encoding
}

// maxVerified bounds the receipts whose verification is remembered.
const maxVerified = 4096

func newRules(chainID string) *rules {
	return &rules{chainID: chainID, verified: make(map[[32]byte]struct{})}
}

// judge decides whether raw may come next after nodes. identical tells
// whether these very bytes stand under that node's sequence number already.
func (r *rules) judge(raw []byte, nodes map[[32]byte]nodeState, identical func(*ledger.Receipt) (bool, error)) (*ledger.Receipt, *refusal, error) {
	receipt := new(ledger.Receipt)
	if err := receipt.UnmarshalBinary(raw); err != nil {
		return nil, refuse(codeMalformed, "%v", err), nil
	}
	if receipt.ChainID != r.chainID {
		return nil, refuse(codeWrongChain, "the receipt is for chain %s, this is %s", receipt.ChainID, r.chainID), nil
	}
	node, ok := nodes[receipt.Node]
	if !ok {
		return nil, refuse(codeUnknownNode, "node %x is not known to this ledger", receipt.Node), nil
	}
	if err := r.verify(receipt, raw); err != nil {
		return nil, refuse(codeBadSignature, "%v", err), nil
	}
	switch {
	case receipt.Sequence <= node.sequence:
		same, err := identical(receipt)
		if err != nil {
			return nil, nil, err
		}
		if same {
			return nil, refuse(codeDuplicate, "receipt %d of this node is already in the ledger", receipt.Sequence), nil
		}
		return nil, refuse(codeConflict, "another receipt of this node stands under number %d", receipt.Sequence), nil
	case receipt.Sequence > node.sequence+1:
		return nil, refuse(codeGap, "gap: receipt %d of this node, but the next is %d", receipt.Sequence, node.sequence+1), nil
	case receipt.Previous != node.proof:
		return nil, refuse(codeWrongPrevious, "receipt %d names %x as the one before it, which is %x", receipt.Sequence, receipt.Previous, node.proof), nil
	}
	return receipt, nil, nil
}

func (r *rules) verify(receipt *ledger.Receipt, raw []byte) error {
	key := sha256.Sum256(raw)
	r.mu.Lock()
	_, known := r.verified[key]
	r.mu.Unlock()
	if known {
		return nil
	}
	if err := receipt.Verify(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.verified) >= maxVerified {
		clear(r.verified)
	}
	r.verified[key] = struct{}{}
	return nil
}

// execute adds the transactions that follow the rules to the block, in their
// order, and answers each.
func (r *rules) execute(o *overlay, txs [][]byte, holds func(*ledger.Receipt, []byte) (bool, error)) ([]*refusal, error) {
	out := make([]*refusal, len(txs))
	for i, raw := range txs {
		receipt, refused, err := r.judge(raw, o.nodes, func(rc *ledger.Receipt) (bool, error) {
			if got := o.find(rc); got != nil {
				return bytes.Equal(got, raw), nil
			}
			return holds(rc, raw)
		})
		if err != nil {
			return nil, err
		}
		if out[i] = refused; refused != nil {
			continue
		}
		if err := o.add(receipt, bytes.Clone(raw)); err != nil {
			return nil, err
		}
	}
	return out, o.finish()
}

// errStore marks a failure of the store, which no block can be executed after.
var errStore = errors.New("ledger: application store")
