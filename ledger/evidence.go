package ledger

import (
	"fmt"
	"time"
)

// Evidence is what a proof file that verifies shows.
type Evidence struct {
	// Receipt as the node signed it.
	Receipt *Receipt
	// GenesisHash is the trust that was given.
	GenesisHash [32]byte
	// ChainID names the ledger.
	ChainID string
	// Index is the receipt's leaf, of Size leaves.
	Index, Size uint64
	// Height of the block whose header commits to the tree, and when the
	// validators signed that header: the power-weighted median of their clocks.
	Height int64
	Signed time.Time
	// Validators that signed, of all, and their voting power.
	Signers, Validators int
	Power, TotalPower   int64
}

// Shown says, in sentences, what the file proves.
func (e *Evidence) Shown() []string {
	return []string{
		fmt.Sprintf("node %x signed this receipt, its number %d, for chain %s", e.Receipt.Node, e.Receipt.Sequence, e.ChainID),
		"its digests c_id, E_s and P recompute from its fields",
		fmt.Sprintf("it is leaf %d of the ledger's %d receipts, fixed by block %d or before", e.Index, e.Size, e.Height),
		fmt.Sprintf("%d of %d validators, with %d of %d of the voting power, signed that block, at %s by their clocks",
			e.Signers, e.Validators, e.Power, e.TotalPower, e.Signed.UTC().Format(time.RFC3339)),
		"node and validators are those of the genesis document that is trusted",
	}
}

// NotShown says, in sentences, what the file does not prove.
func (e *Evidence) NotShown() []string {
	not := []string{
		"that the node told the truth: it alone measured and signed",
		"that the clocks of node and validators were right",
		"that these are still the ledger's validators: they are taken to be the genesis document's",
	}
	if e.Validators == 1 {
		not = append(not, "that history was not rewritten: there is one validator, which could sign another history")
	} else {
		not = append(not, "that more than two thirds of the voting power did not together sign another history")
	}
	return not
}
