package chain

import (
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// guard returns the validator, with the write hook around its signatures if
// there is one: what it signs is on disk before the signature is used.
func (n *Node) guard(v *privval.FilePV) types.PrivValidator {
	if n.config.beforeWrite == nil {
		return v
	}
	return &guardedValidator{v, n.config.beforeWrite}
}

type guardedValidator struct {
	*privval.FilePV
	hook func(string)
}

func (v *guardedValidator) SignVote(chainID string, vote *cmtproto.Vote) error {
	v.hook("before vote")
	defer v.hook("after vote")
	return v.FilePV.SignVote(chainID, vote)
}

func (v *guardedValidator) SignProposal(chainID string, p *cmtproto.Proposal) error {
	v.hook("before proposal")
	defer v.hook("after proposal")
	return v.FilePV.SignProposal(chainID, p)
}
