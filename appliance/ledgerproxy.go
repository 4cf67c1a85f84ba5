package appliance

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
)

// ledgerProxy passes the reading part of the ledger's service on to ledgerd.
type ledgerProxy struct{ box *Box }

var _ entroosv1connect.LedgerServiceHandler = (*ledgerProxy)(nil)

// Submit is the node's own alone.
func (p *ledgerProxy) Submit(context.Context, *connect.Request[entroosv1.SubmitRequest]) (*connect.Response[entroosv1.SubmitResponse], error) {
	return nil, connect.NewError(connect.CodePermissionDenied, errors.New("receipts are submitted by the box itself alone"))
}

// ListReceipts implements LedgerService.
func (p *ledgerProxy) ListReceipts(ctx context.Context, r *connect.Request[entroosv1.ListReceiptsRequest]) (*connect.Response[entroosv1.ListReceiptsResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().ListReceipts)
}

// GetReceipt implements LedgerService.
func (p *ledgerProxy) GetReceipt(ctx context.Context, r *connect.Request[entroosv1.GetReceiptRequest]) (*connect.Response[entroosv1.GetReceiptResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().GetReceipt)
}

// ExportReceipt implements LedgerService.
func (p *ledgerProxy) ExportReceipt(ctx context.Context, r *connect.Request[entroosv1.ExportReceiptRequest]) (*connect.Response[entroosv1.ExportReceiptResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().ExportReceipt)
}

// ProveInclusion implements LedgerService.
func (p *ledgerProxy) ProveInclusion(ctx context.Context, r *connect.Request[entroosv1.ProveInclusionRequest]) (*connect.Response[entroosv1.ProveInclusionResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().ProveInclusion)
}

// ProveConsistency implements LedgerService.
func (p *ledgerProxy) ProveConsistency(ctx context.Context, r *connect.Request[entroosv1.ProveConsistencyRequest]) (*connect.Response[entroosv1.ProveConsistencyResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().ProveConsistency)
}

// LedgerStatus implements LedgerService.
func (p *ledgerProxy) LedgerStatus(ctx context.Context, r *connect.Request[entroosv1.LedgerStatusRequest]) (*connect.Response[entroosv1.LedgerStatusResponse], error) {
	return forward(ctx, r, "ledgerd", p.box.Ledger.Service().LedgerStatus)
}

// forward makes the same call of a service: the message alone, none of the
// caller's headers.
func forward[Q, A any](ctx context.Context, r *connect.Request[Q], service string, call func(context.Context, *connect.Request[Q]) (*connect.Response[A], error)) (*connect.Response[A], error) {
	answer, err := call(ctx, connect.NewRequest(r.Msg))
	var cerr *connect.Error
	switch {
	case err == nil:
		return connect.NewResponse(answer.Msg), nil
	case errors.As(err, &cerr) && cerr.Code() != connect.CodeUnavailable:
		return nil, connect.NewError(cerr.Code(), errors.New(cerr.Message()))
	}
	return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("%s does not answer; see `services`: %w", service, err))
}
