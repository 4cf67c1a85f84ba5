package chain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"

	"github.com/entroos/entroos/ledger"
)

const (
	// answerMargin is left of the caller's deadline for the answer's way back.
	answerMargin = 100 * time.Millisecond
	// reorderWindow is how long a receipt waits for those before it, which
	// may have been offered at the same time and come later.
	reorderWindow = time.Second
	// retryPause is waited when the mempool is busy with a block.
	retryPause = 5 * time.Millisecond
)

// Submit offers an encoded receipt and waits until its block is committed,
// until it is refused, or until shortly before ctx's deadline; the last gives
// ledger.Pending. That a receipt waits for a block is never an answer.
func (n *Node) Submit(ctx context.Context, raw []byte) (ledger.Submission, error) {
	if deadline, ok := ctx.Deadline(); ok {
		margin := min(answerMargin, time.Until(deadline)/4)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	key := sha256.Sum256(raw)
	// Wait first and look then, so that no commit falls in between.
	answer, stop := n.app.notices.wait(key)
	defer stop()
	height, ok, err := n.store.find(raw)
	if err != nil {
		return ledger.Submission{}, err
	}
	if ok {
		return ledger.Submission{Outcome: ledger.Committed, Height: height}, nil
	}
	// The mempool does not know deadlines: it is closed while a block commits.
	offered := make(chan offer, 1)
	go func() {
		refused, err := n.offer(ctx, raw)
		offered <- offer{refused, err}
	}()
	select {
	case o := <-offered:
		if o.err != nil {
			return ledger.Submission{}, o.err
		}
		if o.refused != nil {
			return ledger.Submission{Outcome: ledger.Refused, Reason: o.refused.reason}, nil
		}
	case <-ctx.Done():
		return ledger.Submission{Outcome: ledger.Pending}, nil
	}
	select {
	case a := <-answer:
		if a.reason != "" {
			return ledger.Submission{Outcome: ledger.Refused, Reason: a.reason}, nil
		}
		return ledger.Submission{Outcome: ledger.Committed, Height: a.height}, nil
	case <-ctx.Done():
		return ledger.Submission{Outcome: ledger.Pending}, nil
	case <-n.done:
		return ledger.Submission{}, errStopped
	}
}

var errStopped = errors.New("ledger: stopped")

// offer is what became of putting a receipt in the mempool.
type offer struct {
	refused *refusal
	err     error
}

// offer puts the receipt in the mempool, and returns nil once it is there (or
// ctx is done), or why it is refused. A receipt that follows one not seen yet
// waits for its turn as long as the node's receipts keep coming, and is refused
// for the gap once they do not.
func (n *Node) offer(ctx context.Context, raw []byte) (*refusal, error) {
	receipt := new(ledger.Receipt)
	if err := receipt.UnmarshalBinary(raw); err != nil {
		return refuse(codeMalformed, "%v", err), nil
	}
	key := waitingKey{receipt.Node, receipt.Sequence}
	defer n.app.notices.offer(key)()
	n.hold(ctx)
	last, _ := n.app.notices.stuck(receipt.Node, 0)
	window := time.NewTicker(reorderWindow)
	defer window.Stop()
	for {
		turn, stop := n.app.notices.turn(key)
		refused, err := n.check(ctx, raw)
		if err != nil || refused == nil || refused.code != codeGap {
			stop()
			return refused, err
		}
		for waiting := true; waiting; {
			select {
			case <-turn:
				waiting = false
			case <-window.C:
				var stuck bool
				if last, stuck = n.app.notices.stuck(receipt.Node, last); stuck {
					stop()
					return refused, nil
				}
			case <-ctx.Done():
				stop()
				return refused, nil
			case <-n.done:
				stop()
				return nil, errStopped
			}
		}
		stop()
	}
}

// check asks the mempool, again while it is busy with a block, and returns
// why it refuses the receipt, or nil if it holds it (or ctx is done).
func (n *Node) check(ctx context.Context, raw []byte) (*refusal, error) {
	for {
		refused, busy, err := n.checkOnce(raw)
		if !busy {
			return refused, err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, nil
		case <-n.done:
			return nil, errStopped
		}
	}
}

// checkOnce asks the mempool once. Busy means that it is to be asked again.
func (n *Node) checkOnce(raw []byte) (refused *refusal, busy bool, err error) {
	// The mempool judges transactions one after the other, but queues them
	// after that: were two offered at once, they could swap places.
	n.offering.Lock()
	defer n.offering.Unlock()
	var res *abci.ResponseCheckTx
	err = n.mempool.CheckTx(raw, func(r *abci.ResponseCheckTx) { res = r }, mempool.TxInfo{})
	var full mempool.ErrMempoolIsFull
	switch {
	case errors.Is(err, mempool.ErrTxInCache):
		return nil, false, nil // waits already, or was committed just now
	case errors.Is(err, mempool.ErrRecheckFull), errors.As(err, &full):
		return nil, true, nil
	case err != nil:
		return nil, false, fmt.Errorf("ledger: mempool: %w", err)
	case res == nil:
		return nil, true, nil
	case res.Code != codeOK:
		return &refusal{res.Code, res.Log}, false, nil
	}
	return nil, false, nil
}
