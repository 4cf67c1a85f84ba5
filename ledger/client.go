package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
)

// A Client talks to ledgerd on its unix socket.
type Client struct {
	transport *http.Transport
	service   entroosv1connect.LedgerServiceClient
}

// Dial returns a client for the ledgerd that listens on the unix socket. It
// connects when first used and again whenever the connection was lost, so it
// may be made before ledgerd runs.
func Dial(socket string) *Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return &Client{
		transport: t,
		service:   entroosv1connect.NewLedgerServiceClient(&http.Client{Transport: t}, "http://ledgerd"),
	}
}

// Service returns the service as it is in the API.
func (c *Client) Service() entroosv1connect.LedgerServiceClient { return c.service }

// Close closes the connections that are idle.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// SubmitOutcome is the ledger's answer to a receipt offered.
type SubmitOutcome int

const (
	// Pending: no commit was seen yet. The receipt has to be offered again.
	Pending SubmitOutcome = iota
	// Committed: the receipt is in the block at Height, durably.
	Committed
	// Refused: the receipt cannot be taken, for Reason.
	Refused
)

// String returns the outcome's word.
func (o SubmitOutcome) String() string {
	switch o {
	case Pending:
		return "pending"
	case Committed:
		return "committed"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("unknown answer %d", int(o))
}

// A Submission is the ledger's answer to a receipt offered.
type Submission struct {
	Outcome SubmitOutcome
	// Height of the block that holds the receipt, when Committed.
	Height int64
	// Reason of a refusal.
	Reason string
}

// Submit offers an encoded receipt and waits until it is committed, refused,
// or ctx's deadline is near; the last gives Pending. The identical receipt
// again is Committed at the height of its block. An error says that the
// ledger could not be asked: nothing is known of the receipt then.
//
// Many receipts may be offered at once, up to a thousand, and come in any
// order: they share blocks, and one that follows another waits for it.
func (c *Client) Submit(ctx context.Context, receipt []byte) (Submission, error) {
	res, err := c.service.Submit(ctx, connect.NewRequest(&entroosv1.SubmitRequest{Receipt: receipt}))
	if err != nil {
		return Submission{}, fmt.Errorf("ledger: submit: %w", err)
	}
	s := Submission{Height: res.Msg.GetHeight(), Reason: res.Msg.GetReason()}
	switch res.Msg.GetOutcome() {
	case entroosv1.SubmitResponse_OUTCOME_PENDING:
		s.Outcome = Pending
	case entroosv1.SubmitResponse_OUTCOME_COMMITTED:
		s.Outcome = Committed
	case entroosv1.SubmitResponse_OUTCOME_REFUSED:
		s.Outcome = Refused
	default:
		return Submission{}, fmt.Errorf("ledger: submit: unknown answer %v", res.Msg.GetOutcome())
	}
	return s, nil
}

// ErrNotFound says that the ledger holds no such receipt.
var ErrNotFound = errors.New("ledger: no such receipt")

// List returns committed receipts, newest first: at most limit (0 means 50),
// and only those with an index below before when that is not 0.
func (c *Client) List(ctx context.Context, limit uint32, before uint64) (*entroosv1.ListReceiptsResponse, error) {
	res, err := c.service.ListReceipts(ctx, connect.NewRequest(&entroosv1.ListReceiptsRequest{Limit: limit, BeforeIndex: before}))
	if err != nil {
		return nil, clientError("list", err)
	}
	return res.Msg, nil
}

// Get returns one committed receipt by its id: P in hexadecimal, a unique
// prefix of it of at least 4 digits, or #N for the node's sequence number N.
func (c *Client) Get(ctx context.Context, id string) (*entroosv1.LedgerReceipt, error) {
	res, err := c.service.GetReceipt(ctx, connect.NewRequest(&entroosv1.GetReceiptRequest{Id: id}))
	if err != nil {
		return nil, clientError("get", err)
	}
	return res.Msg.GetReceipt(), nil
}

// Export returns the proof file of one receipt, see docs/receipts.md.
func (c *Client) Export(ctx context.Context, id string) ([]byte, error) {
	res, err := c.service.ExportReceipt(ctx, connect.NewRequest(&entroosv1.ExportReceiptRequest{Id: id}))
	if err != nil {
		return nil, clientError("export", err)
	}
	return res.Msg.GetProof(), nil
}

// Status returns the state of the ledger.
func (c *Client) Status(ctx context.Context) (*entroosv1.LedgerStatusResponse, error) {
	res, err := c.service.LedgerStatus(ctx, connect.NewRequest(&entroosv1.LedgerStatusRequest{}))
	if err != nil {
		return nil, clientError("status", err)
	}
	return res.Msg, nil
}

// ProveInclusion returns the inclusion proof of the leaf at index in the tree of
// the first size receipts; 0 means all of them.
func (c *Client) ProveInclusion(ctx context.Context, index, size uint64) (*entroosv1.ProveInclusionResponse, error) {
	res, err := c.service.ProveInclusion(ctx, connect.NewRequest(&entroosv1.ProveInclusionRequest{Index: index, Size: size}))
	if err != nil {
		return nil, clientError("prove inclusion", err)
	}
	return res.Msg, nil
}

// ProveConsistency returns the consistency proof between the trees of the first
// first and the first second receipts; a second of 0 means all of them.
func (c *Client) ProveConsistency(ctx context.Context, first, second uint64) (*entroosv1.ProveConsistencyResponse, error) {
	res, err := c.service.ProveConsistency(ctx, connect.NewRequest(&entroosv1.ProveConsistencyRequest{First: first, Second: second}))
	if err != nil {
		return nil, clientError("prove consistency", err)
	}
	return res.Msg, nil
}

func clientError(what string, err error) error {
	if connect.CodeOf(err) == connect.CodeNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return fmt.Errorf("ledger: %s: %w", what, err)
}
