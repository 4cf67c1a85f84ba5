package appliance

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

const (
	// sampledReceipts are the newest ones, and as many from anywhere.
	sampledReceipts = 25
	// sampledProofs are those of inclusion, and of consistency.
	sampledProofs = 8
)

// ledgerTelemetry samples what the ledger serves.
func (b *Box) ledgerTelemetry(ctx context.Context, t *equations.Telemetry) error {
	if b.Ledger == nil || b.Store == nil {
		t.Conservation = nil // of the two, one is not there
		return nil
	}
	status, err := b.Ledger.Status(ctx)
	if err != nil {
		return err
	}
	if t.Conservation != nil {
		if t.Conservation.Committed, err = b.committed(status.GetLastSequence(), t.Conservation.Last); err != nil {
			return err
		}
	}
	f := &equations.LedgerFacts{
		Validators: int(status.GetValidators()), Tolerated: int(status.GetToleratedFaults()), FlipSeed: rand.Uint64(),
	}
	t.Ledger = f
	if status.GetSignedPower() > 0 {
		f.Commits = []equations.CommitFacts{{Height: status.GetHeight(), Power: status.GetSignedPower(), Total: status.GetTotalPower()}}
	}
	if status.GetServiceRate() > 0 && status.GetArrivalRate() > 0 { // both are known
		t.BackPressure = &equations.BackPressureFacts{
			ServiceRate: status.GetServiceRate(), ArrivalRate: status.GetArrivalRate(),
			Sojourn: seconds(status.GetSojournSeconds()), HeldBack: status.GetHeldBack(),
		}
	}
	size := status.GetTreeSize()
	if size == 0 {
		return nil
	}
	f.Size = size
	if f.Root, err = digestOf(status.GetTreeRoot()); err != nil {
		return err
	}
	if err := b.sampleReceipts(ctx, f, size); err != nil {
		return err
	}
	return b.sampleProofs(ctx, f, size)
}

// committed is the number of the node's last committed receipt, of those that
// had been made up to last. One that was made since is left out; one that was
// never made is not.
func (b *Box) committed(sequence, last uint64) (uint64, error) {
	if sequence <= last {
		return sequence, nil
	}
	now, _, err := b.Store.Last()
	if err != nil {
		return 0, err
	}
	if sequence > now {
		return sequence, nil
	}
	return last, nil
}

// sampleReceipts takes the newest receipts of a tree and some from anywhere,
// each once.
func (b *Box) sampleReceipts(ctx context.Context, f *equations.LedgerFacts, size uint64) error {
	taken := make(map[uint64]bool)
	from := []uint64{size}
	if size > 2*sampledReceipts {
		from = append(from, sampledReceipts+rand.Uint64N(size-2*sampledReceipts+1))
	}
	for _, before := range from {
		list, err := b.Ledger.List(ctx, sampledReceipts, before)
		if err != nil {
			return err
		}
		for _, l := range list.GetReceipts() {
			if taken[l.GetIndex()] {
				continue
			}
			taken[l.GetIndex()] = true
			r, err := receiptFacts(l.GetReceipt())
			if err != nil {
				return fmt.Errorf("receipt at leaf %d: %w", l.GetIndex(), err)
			}
			f.Receipts = append(f.Receipts, r)
		}
	}
	return nil
}

func receiptFacts(raw []byte) (equations.ReceiptFacts, error) {
	var r ledger.Receipt
	if err := r.UnmarshalBinary(raw); err != nil {
		return equations.ReceiptFacts{}, err
	}
	return equations.ReceiptFacts{
		Sequence: r.Sequence, Node: r.Node, Image: r.ImageDigest, Workload: r.WorkloadDigest, Nonce: r.Nonce,
		Stdout: r.StdoutDigest, Stderr: r.StderrDigest, Exit: r.ExitCode, Signal: r.Signal, OOM: r.OOMKilled,
		Usage: r.Usage.Vector(), ContainerID: r.ContainerID, State: r.ExecutionState, Proof: r.Proof,
	}, nil
}

// sampleProofs has the ledger prove leaves of its tree, the first, the last and
// some in between, and that its tree begins with smaller ones.
func (b *Box) sampleProofs(ctx context.Context, f *equations.LedgerFacts, size uint64) error {
	leaves := []uint64{0, size - 1}
	for len(leaves) < sampledProofs && uint64(len(leaves)) < size {
		leaves = append(leaves, rand.Uint64N(size))
	}
	for _, index := range leaves {
		inclusion, err := b.inclusion(ctx, index, size)
		if err != nil {
			return fmt.Errorf("inclusion of leaf %d of %d: %w", index, size, err)
		}
		f.Inclusions = append(f.Inclusions, inclusion)
		consistency, err := b.consistency(ctx, index+1, size)
		if err != nil {
			return fmt.Errorf("consistency of %d with %d receipts: %w", index+1, size, err)
		}
		f.Consistency = append(f.Consistency, consistency)
	}
	return nil
}

func (b *Box) inclusion(ctx context.Context, index, size uint64) (f equations.InclusionFacts, err error) {
	list, err := b.Ledger.List(ctx, 1, index+1)
	if err != nil {
		return f, err
	}
	if len(list.GetReceipts()) != 1 || list.GetReceipts()[0].GetIndex() != index {
		return f, fmt.Errorf("%w at that leaf", ledger.ErrNotFound)
	}
	p, err := b.Ledger.ProveInclusion(ctx, index, size)
	if err != nil {
		return f, err
	}
	f = equations.InclusionFacts{Leaf: equations.MerkleLeaf(list.GetReceipts()[0].GetReceipt()), Index: index, Size: size}
	if f.Root, err = digestOf(p.GetRoot()); err != nil {
		return f, err
	}
	f.Path, err = digestsOf(p.GetPath())
	return f, err
}

func (b *Box) consistency(ctx context.Context, first, second uint64) (f equations.ConsistencyFacts, err error) {
	p, err := b.Ledger.ProveConsistency(ctx, first, second)
	if err != nil {
		return f, err
	}
	f = equations.ConsistencyFacts{First: first, Second: second}
	if f.FirstRoot, err = digestOf(p.GetFirstRoot()); err != nil {
		return f, err
	}
	if f.SecondRoot, err = digestOf(p.GetSecondRoot()); err != nil {
		return f, err
	}
	f.Path, err = digestsOf(p.GetPath())
	return f, err
}

func digestsOf(list [][]byte) (path []equations.Digest, err error) {
	for _, raw := range list {
		d, err := digestOf(raw)
		if err != nil {
			return nil, err
		}
		path = append(path, d)
	}
	return path, nil
}
