package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/router/service"
)

// routed gives a test's box a router, on a node of all of this machine's CPUs,
// and a client of what of it the admin API has.
func routed(t *testing.T, b *testBox) entroosv1connect.RouterServiceClient {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	s, err := service.New(logger)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "r.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: s.Handler(), Protocols: protocols}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.Router = nko.NewRouterLink(socket, hex.EncodeToString(b.Store.Node[:]), func() nko.NodeFacts { return b.nodeFacts(1 << 30) }, logger)
	b.Workloads.PlaceWith(b.Router)
	ctx, cancel := context.WithCancel(context.Background())
	linked := make(chan error, 1)
	go func() { linked <- b.Router.Serve(ctx) }()
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.socket)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-linked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return entroosv1connect.NewRouterServiceClient(&http.Client{Transport: transport}, "http://box")
}

// runRequest asks for a program that takes so much of this machine's CPU, in
// hundredths of it.
func (b *testBox) runRequest(name string, percent uint64, detach bool, args ...string) *entroosv1.RunRequest {
	all := b.nodeFacts(1 << 30).Node.GetCpuMilli()
	return &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Start{Start: &entroosv1.RunStart{
		Spec:   &entroosv1.WorkloadSpec{Name: name, Image: "host", Args: args, CpuRequestMilli: all * percent / 100},
		Detach: detach,
	}}}
}

// ask sends a run's first message and gives the first answer.
func ask(t *testing.T, stream *connect.BidiStreamForClient[entroosv1.RunRequest, entroosv1.RunResponse], r *entroosv1.RunRequest) *entroosv1.RunResponse {
	t.Helper()
	if err := stream.Send(r); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (b *testBox) status(t *testing.T) *entroosv1.GetStatusResponse {
	t.Helper()
	st := new(entroosv1.GetStatusResponse)
	b.placementStatus(st)
	return st
}

func TestQueuedRunOverTheAPI(t *testing.T) {
	b := newTestBox(t)
	c := routed(t, b)
	first := ask(t, b.admin.Run(t.Context()), b.runRequest("big", 90, true, "sleep", "1000"))
	if first.GetCreated().GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Fatal(first)
	}
	st := b.status(t)
	if st.GetPlacement() != "router" {
		t.Errorf("status: %v", st)
	}
	// Detached, it is left in the queue.
	second := ask(t, b.admin.Run(t.Context()), b.runRequest("left", 50, true, "true"))
	if second.GetCreated().GetState() != entroosv1.ContainerState_CONTAINER_STATE_QUEUED || second.GetCreated().GetQueuedReason() == "" {
		t.Fatal(second)
	}
	if _, err := b.admin.RemoveContainer(t.Context(), connect.NewRequest(&entroosv1.RemoveContainerRequest{Container: "left"})); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("removed while it waits: %v", err)
	}
	if _, err := b.admin.RemoveContainer(t.Context(), connect.NewRequest(&entroosv1.RemoveContainerRequest{Container: "left", Force: true})); err != nil {
		t.Error(err)
	}
	// Attached, the client waits too; when it leaves, nothing is left.
	gone, leave := context.WithCancel(t.Context())
	abandoned := b.admin.Run(gone)
	waiting := ask(t, abandoned, b.runRequest("gone", 50, false, "true"))
	if q := waiting.GetQueued(); q.GetContainer().GetSpec().GetName() != "gone" || q.GetReason() == "" {
		t.Fatal(waiting)
	}
	leave()
	if err := abandoned.CloseRequest(); err != nil { // else the transport waits for more of it
		t.Error(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(b.Workloads.List(true)) != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there are %v", b.Workloads.List(true))
		}
	}
	// And one that stays gets its place.
	stream := b.admin.Run(t.Context())
	if waiting := ask(t, stream, b.runRequest("stays", 50, false, "echo", "placed")); waiting.GetQueued() == nil {
		t.Fatal(waiting)
	}
	if _, err := b.admin.StopContainer(t.Context(), connect.NewRequest(&entroosv1.StopContainerRequest{Container: "big"})); err != nil {
		t.Fatal(err)
	}
	if created, err := stream.Receive(); err != nil || created.GetCreated().GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Fatal(created, err)
	}
	if stdout, _, exited := finish(t, stream); stdout != "placed\n" || exited.GetExitCode() != 0 {
		t.Errorf("%q %v", stdout, exited)
	}
	// Refused, it says so.
	refused := b.admin.Run(t.Context())
	wide := b.runRequest("wide", 200, false, "true")
	if err := refused.Send(wide); err != nil {
		t.Fatal(err)
	}
	if _, err := refused.Receive(); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "wide") {
		t.Errorf("more than there is: %v", err)
	}

	e, err := c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Container: "stays"}))
	if err != nil || e.Msg.GetDecision().GetReplica().GetName() != "stays" || e.Msg.GetDecision().GetOutcome() != entroosv1.PlacementDecision_OUTCOME_PLACED {
		t.Errorf("explained: %v %v", e, err)
	}
	e, err = c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Spec: wide.GetStart().GetSpec()}))
	if err != nil || !e.Msg.GetHypothetical() || e.Msg.GetDecision().GetOutcome() != entroosv1.PlacementDecision_OUTCOME_REFUSED {
		t.Errorf("what would be: %v %v", e, err)
	}
	if s, err := c.RouterStatus(t.Context(), connect.NewRequest(new(entroosv1.RouterStatusRequest))); err != nil || len(s.Msg.GetNodes()) != 1 || s.Msg.GetCounters().GetRefused() != 1 {
		t.Errorf("%v %v", s, err)
	}
}

func TestRouterOverTheAPI(t *testing.T) {
	b := newTestBox(t)
	code := func(err error) connect.Code { return connect.CodeOf(err) }
	without := &routerProxy{b.Box}
	if _, err := without.RouterStatus(t.Context(), connect.NewRequest(new(entroosv1.RouterStatusRequest))); code(err) != connect.CodeUnavailable {
		t.Errorf("a box without containers: %v", err)
	}
	if st := b.status(t); st.GetPlacement() != "" {
		t.Errorf("and its status: %v", st)
	}
	c := routed(t, b)
	for _, q := range []*entroosv1.ExplainRequest{{}, {Spec: &entroosv1.WorkloadSpec{CpuWeight: 20_000}}} {
		if _, err := c.Explain(t.Context(), connect.NewRequest(q)); code(err) != connect.CodeInvalidArgument {
			t.Errorf("explain %v: %v", q, err)
		}
	}
	if _, err := c.Explain(t.Context(), connect.NewRequest(&entroosv1.ExplainRequest{Container: "nobody"})); code(err) != connect.CodeNotFound {
		t.Error(err)
	}
	// The node's own part is not for others.
	if _, err := c.Sync(t.Context(), connect.NewRequest(new(entroosv1.SyncRequest))); code(err) != connect.CodePermissionDenied {
		t.Error(err)
	}
	if _, err := c.Release(t.Context(), connect.NewRequest(new(entroosv1.ReleaseRequest))); code(err) != connect.CodePermissionDenied {
		t.Error(err)
	}
	stream, err := c.Place(t.Context(), connect.NewRequest(new(entroosv1.PlaceRequest)))
	if err == nil && !stream.Receive() {
		err = stream.Err()
	}
	if code(err) != connect.CodePermissionDenied {
		t.Error(err)
	}
	// Without a routerd the status says so, and questions what is wrong.
	b.Router = nko.NewRouterLink(filepath.Join(t.TempDir(), "nobody.sock"), "x", func() nko.NodeFacts { return nko.NodeFacts{} }, b.Logger)
	if st := b.status(t); st.GetPlacement() != "alone" || !strings.Contains(st.GetPlacementNote(), "routerd") {
		t.Errorf("without routerd: %v", st)
	}
	if _, err := c.RouterStatus(t.Context(), connect.NewRequest(new(entroosv1.RouterStatusRequest))); code(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "routerd") {
		t.Errorf("without routerd: %v", err)
	}
}
