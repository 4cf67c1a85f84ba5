package chain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/ledger/proof"
)

const (
	// applicationVersion stands in block headers.
	applicationVersion = 1
	// keepBlocks is how many of the newest blocks are kept.
	keepBlocks = 1000
	// pruneEvery is how many blocks are dropped at a time.
	pruneEvery = 10
)

// application is the ledger's ABCI application. Transactions are encoded
// receipts. CometBFT calls it through one mutex, so its methods do not run
// at once; notices has a lock of its own.
type application struct {
	abci.BaseApplication
	genesis *proof.Genesis
	rules   *rules
	store   *store
	load    load
	notices *notices
	keep    int64 // blocks

	committed *state   // after the last block
	executed  *overlay // the block finalized and not yet committed
	unsynced  *overlay // the block committed and not yet on disk; guarded by mu
	mu        sync.Mutex
	checked   *waiting // what the mempool holds, on top of committed
}

// waiting is the state that receipts offered are judged against: the
// committed one and those that wait for a block.
type waiting struct {
	nodes    map[[32]byte]nodeState
	receipts map[waitingKey][32]byte // SHA-256 of the encoding
}

type waitingKey struct {
	node     [32]byte
	sequence uint64
}

func newApplication(g *proof.Genesis, s *store, current *state) *application {
	a := &application{
		genesis:   g,
		rules:     newRules(g.Doc.ChainID),
		store:     s,
		notices:   newNotices(),
		keep:      keepBlocks,
		committed: current,
	}
	a.resetChecked()
	return a
}

func (a *application) resetChecked() {
	a.checked = &waiting{nodes: a.committed.clone().nodes, receipts: make(map[waitingKey][32]byte)}
	a.notices.reset(a.committed.nodes)
}

// Info implements abci.Application.
func (a *application) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	res := &abci.ResponseInfo{
		Data:            "entroos",
		AppVersion:      applicationVersion,
		LastBlockHeight: a.committed.height,
	}
	if a.committed.height > 0 {
		hash := a.committed.appHash()
		res.LastBlockAppHash = hash[:]
	}
	return res, nil
}

// InitChain implements abci.Application. It writes nothing: the genesis is
// read at each start.
func (a *application) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	if req.ChainId != a.genesis.Doc.ChainID {
		return nil, fmt.Errorf("%w: chain is %s, not %s", ErrIdentity, req.ChainId, a.genesis.Doc.ChainID)
	}
	hash := a.committed.appHash()
	return &abci.ResponseInitChain{AppHash: hash[:]}, nil
}

// CheckTx implements abci.Application: it judges a receipt on top of all that
// wait, so a node may have several waiting.
func (a *application) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	key := sha256.Sum256(req.Tx)
	receipt, refused, err := a.rules.judge(req.Tx, a.checked.nodes, func(r *ledger.Receipt) (bool, error) {
		if got, ok := a.checked.receipts[waitingKey{r.Node, r.Sequence}]; ok {
			return got == key, nil
		}
		return a.holds(r, req.Tx)
	})
	if err != nil {
		return nil, err
	}
	if refused != nil && refused.code == codeDuplicate && a.isWaiting(req.Tx, key) {
		return &abci.ResponseCheckTx{Code: codeOK}, nil
	}
	if refused != nil {
		if req.Type == abci.CheckTxType_Recheck {
			a.notices.refused(key, refused.reason)
		}
		return &abci.ResponseCheckTx{Code: refused.code, Log: refused.reason}, nil
	}
	a.checked.nodes[receipt.Node] = nodeState{receipt.Sequence, receipt.Proof}
	a.checked.receipts[waitingKey{receipt.Node, receipt.Sequence}] = key
	a.notices.accepted(receipt.Node, receipt.Sequence)
	return &abci.ResponseCheckTx{Code: codeOK}, nil
}

func (a *application) isWaiting(raw []byte, key [32]byte) bool {
	r := new(ledger.Receipt)
	if err := r.UnmarshalBinary(raw); err != nil {
		return false
	}
	got, ok := a.checked.receipts[waitingKey{r.Node, r.Sequence}]
	return ok && got == key
}

// PrepareProposal implements abci.Application: it proposes, in their order,
// the waiting receipts that follow the rules and fit.
func (a *application) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	a.load.proposed(time.Now())
	o := newOverlay(a.committed, a.store, req.Height)
	refused, err := a.rules.execute(o, req.Txs, a.holds)
	if err != nil {
		return nil, err
	}
	res := new(abci.ResponsePrepareProposal)
	size := int64(0)
	for i, tx := range req.Txs {
		if refused[i] != nil {
			continue
		}
		if size += txSize(tx); size > req.MaxTxBytes {
			break
		}
		res.Txs = append(res.Txs, tx)
	}
	return res, nil
}

// txSize is how much of a block's data a transaction takes: itself, a field
// tag and its length.
func txSize(tx []byte) int64 {
	n := int64(len(tx)) + 2
	for l := len(tx); l >= 0x80; l >>= 7 {
		n++
	}
	return n
}

// ProcessProposal implements abci.Application: a block with a receipt that
// does not follow the rules is rejected.
func (a *application) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	o := newOverlay(a.committed, a.store, req.Height)
	refused, err := a.rules.execute(o, req.Txs, a.holds)
	if err != nil {
		return nil, err
	}
	for _, r := range refused {
		if r != nil {
			return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
		}
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock implements abci.Application. It changes nothing but the
// overlay, and depends on the block and the committed state alone.
func (a *application) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	if req.Height != a.committed.height+1 {
		return nil, fmt.Errorf("ledger: block %d does not follow block %d", req.Height, a.committed.height)
	}
	if err := a.flush(); err != nil {
		return nil, err
	}
	o := newOverlay(a.committed, a.store, req.Height)
	o.setTime(req.Time.UnixNano())
	refused, err := a.rules.execute(o, req.Txs, a.holds)
	if err != nil {
		return nil, err
	}
	res := &abci.ResponseFinalizeBlock{TxResults: make([]*abci.ExecTxResult, len(req.Txs))}
	for i, r := range refused {
		res.TxResults[i] = &abci.ExecTxResult{}
		if r != nil {
			res.TxResults[i].Code = r.code
		}
	}
	hash := o.appHash()
	res.AppHash = hash[:]
	a.executed = o
	return res, nil
}

// Commit implements abci.Application. The block is written by the transaction
// in which CometBFT saves its own state for it, right after this call: either
// both are on disk or neither, and then the block is executed again. Nobody is
// told of a receipt before.
func (a *application) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	o := a.executed
	if o == nil {
		return nil, errors.New("ledger: commit without a block")
	}
	previous := a.committed
	a.setUnsynced(o)
	a.store.join(previous, o, func() {
		a.setUnsynced(nil)
		a.load.committed(time.Now(), len(o.receipts))
		for _, rec := range o.receipts {
			a.notices.committed(sha256.Sum256(rec.raw), o.height)
		}
		a.notices.block()
	})
	committed := o.state
	a.committed, a.executed = &committed, nil
	a.resetChecked()
	res := new(abci.ResponseCommit)
	// Pruning writes twice, so it is not done at every block.
	if oldest := o.height - a.keep + 1; oldest > 1 && o.height%pruneEvery == 0 {
		res.RetainHeight = oldest
	}
	return res, nil
}

// flush writes a block whose transaction did not come: CometBFT replays blocks
// that way when the application is behind it.
func (a *application) flush() error { return a.store.file.Flush() }

func (a *application) setUnsynced(o *overlay) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsynced = o
}

// holds tells whether raw stands under the receipt's number, on disk or in
// the block that is being written.
func (a *application) holds(r *ledger.Receipt, raw []byte) (bool, error) {
	a.mu.Lock()
	o := a.unsynced
	a.mu.Unlock()
	if o != nil {
		if got := o.find(r); got != nil {
			return bytes.Equal(got, raw), nil
		}
	}
	return a.store.holds(r, raw)
}

// find returns the height of the block that holds raw, if one does.
func (s *store) find(raw []byte) (height int64, ok bool, err error) {
	r := new(ledger.Receipt)
	if r.UnmarshalBinary(raw) != nil {
		return 0, false, nil // the rules say what is wrong with it
	}
	err = s.view(func(v *view) error {
		index, found, err := v.bySequence(r.Node, r.Sequence)
		if err != nil || !found {
			return err
		}
		got, err := v.receipt(index)
		if err != nil || !bytes.Equal(got, raw) {
			return err
		}
		b, err := v.block(index)
		height, ok = b.height, err == nil
		return err
	})
	return height, ok, err
}

var _ abci.Application = (*application)(nil)
