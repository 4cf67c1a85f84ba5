package chain

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/ledger"
)

const (
	defaultList = 50
	maxList     = 1000
	// exportWait bounds the wait for the block that proves a new receipt.
	exportWait = 10 * time.Second
)

// Handler serves LedgerService over Connect.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(entroosv1connect.NewLedgerServiceHandler(ledgerService{n}, connect.WithReadMaxBytes(1<<20)))
	return mux
}

// ledgerService maps the API to the node.
type ledgerService struct{ node *Node }

var _ entroosv1connect.LedgerServiceHandler = ledgerService{}

// Submit implements LedgerServiceHandler.
func (s ledgerService) Submit(ctx context.Context, req *connect.Request[entroosv1.SubmitRequest]) (*connect.Response[entroosv1.SubmitResponse], error) {
	got, err := s.node.Submit(ctx, req.Msg.GetReceipt())
	if err != nil {
		return nil, apiError(err)
	}
	res := &entroosv1.SubmitResponse{Height: got.Height, Reason: got.Reason}
	switch got.Outcome {
	case ledger.Committed:
		res.Outcome = entroosv1.SubmitResponse_OUTCOME_COMMITTED
	case ledger.Refused:
		res.Outcome = entroosv1.SubmitResponse_OUTCOME_REFUSED
	case ledger.Pending:
		res.Outcome = entroosv1.SubmitResponse_OUTCOME_PENDING
	}
	return connect.NewResponse(res), nil
}

// ListReceipts implements LedgerServiceHandler.
func (s ledgerService) ListReceipts(_ context.Context, req *connect.Request[entroosv1.ListReceiptsRequest]) (*connect.Response[entroosv1.ListReceiptsResponse], error) {
	limit := int(req.Msg.GetLimit())
	if limit == 0 {
		limit = defaultList
	}
	list, size, err := s.node.List(min(limit, maxList), req.Msg.GetBeforeIndex())
	if err != nil {
		return nil, apiError(err)
	}
	res := &entroosv1.ListReceiptsResponse{TreeSize: size}
	for _, c := range list {
		res.Receipts = append(res.Receipts, c.message())
	}
	return connect.NewResponse(res), nil
}

// GetReceipt implements LedgerServiceHandler.
func (s ledgerService) GetReceipt(_ context.Context, req *connect.Request[entroosv1.GetReceiptRequest]) (*connect.Response[entroosv1.GetReceiptResponse], error) {
	c, err := s.node.Get(req.Msg.GetId())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.GetReceiptResponse{Receipt: c.message()}), nil
}

// ExportReceipt implements LedgerServiceHandler.
func (s ledgerService) ExportReceipt(ctx context.Context, req *connect.Request[entroosv1.ExportReceiptRequest]) (*connect.Response[entroosv1.ExportReceiptResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, exportWait)
	defer cancel()
	file, err := s.node.Export(ctx, req.Msg.GetId())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.ExportReceiptResponse{Proof: file}), nil
}

// ProveInclusion implements LedgerServiceHandler.
func (s ledgerService) ProveInclusion(_ context.Context, req *connect.Request[entroosv1.ProveInclusionRequest]) (*connect.Response[entroosv1.ProveInclusionResponse], error) {
	p, err := s.node.ProveInclusion(req.Msg.GetIndex(), req.Msg.GetSize())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.ProveInclusionResponse{Size: p.Size, Root: p.Root[:], Path: byteSlices(p.Path)}), nil
}

// ProveConsistency implements LedgerServiceHandler.
func (s ledgerService) ProveConsistency(_ context.Context, req *connect.Request[entroosv1.ProveConsistencyRequest]) (*connect.Response[entroosv1.ProveConsistencyResponse], error) {
	p, err := s.node.ProveConsistency(req.Msg.GetFirst(), req.Msg.GetSecond())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.ProveConsistencyResponse{
		Second: p.Second, FirstRoot: p.FirstRoot[:], SecondRoot: p.SecondRoot[:], Path: byteSlices(p.Path),
	}), nil
}

func byteSlices(path []equations.Digest) [][]byte {
	slices := make([][]byte, len(path))
	for i := range path {
		slices[i] = path[i][:]
	}
	return slices
}

// LedgerStatus implements LedgerServiceHandler.
func (s ledgerService) LedgerStatus(context.Context, *connect.Request[entroosv1.LedgerStatusRequest]) (*connect.Response[entroosv1.LedgerStatusResponse], error) {
	st, err := s.node.Status()
	if err != nil {
		return nil, apiError(err)
	}
	res := &entroosv1.LedgerStatusResponse{
		ChainId:             st.ChainID,
		GenesisHash:         hex.EncodeToString(st.GenesisHash[:]),
		Height:              st.Height,
		TreeSize:            st.TreeSize,
		TreeRoot:            st.TreeRoot[:],
		AppHash:             st.AppHash[:],
		LastSequence:        st.LastSequence,
		LastP:               st.LastP[:],
		EarliestBlockHeight: st.EarliestHeight,
		ArrivalRate:         st.Load.ArrivalRate,
		ServiceRate:         st.Load.ServiceRate,
		SojournSeconds:      st.Load.Sojourn.Seconds(),
		HeldBack:            st.Load.HeldBack,
		Validators:          uint32(st.Validators),
		ToleratedFaults:     uint32(st.Tolerated),
		SignedPower:         st.SignedPower,
		TotalPower:          st.TotalPower,
	}
	return connect.NewResponse(res), nil
}

func (c Committed) message() *entroosv1.LedgerReceipt {
	return &entroosv1.LedgerReceipt{Receipt: c.Receipt, Index: c.Index, Height: c.Height, BlockTimeUnixNano: c.UnixNano}
}

func apiError(err error) error {
	code := connect.CodeInternal
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		code = connect.CodeNotFound
	case errors.Is(err, errID), errors.Is(err, errTree):
		code = connect.CodeInvalidArgument
	case errors.Is(err, errStopped), errors.Is(err, errNotProved):
		code = connect.CodeUnavailable
	}
	return connect.NewError(code, err)
}
