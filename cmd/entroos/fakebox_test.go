package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/ledger"
)

// fakeBox answers as a box would, over the real protocol on a real socket, and
// remembers what it was asked. It lets the command's own part be tested: flags
// to requests, answers to text, and exit statuses.
type fakeBox struct {
	entroosv1connect.UnimplementedAdminServiceHandler
	entroosv1connect.UnimplementedLedgerServiceHandler
	entroosv1connect.UnimplementedRouterServiceHandler

	mu       sync.Mutex
	requests []proto.Message
	imported bytes.Buffer
	signals  chan int32

	consistent bool // every equation holds

	access     chan *entroosv1.WatchAccessResponse // the settings, one after the other
	lastAccess *entroosv1.WatchAccessResponse
}

// serveFakeBox starts a box on a socket and returns its address.
func serveFakeBox(t testing.TB) (*fakeBox, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBox{signals: make(chan int32, 16), access: make(chan *entroosv1.WatchAccessResponse, 16)}
	server := b.server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b, "unix:" + socket
}

func (b *fakeBox) server() *http.Server {
	mux := http.NewServeMux()
	mux.Handle(entroosv1connect.NewAdminServiceHandler(b))
	mux.Handle(entroosv1connect.NewLedgerServiceHandler(b))
	mux.Handle(entroosv1connect.NewRouterServiceHandler(b))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	return &http.Server{Handler: mux, Protocols: protocols}
}

func (b *fakeBox) note(m proto.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, proto.Clone(m))
}

// asked is the last request.
func (b *fakeBox) asked() proto.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) == 0 {
		return nil
	}
	return b.requests[len(b.requests)-1]
}

var errNoSuchContainer = connect.NewError(connect.CodeNotFound, errors.New("no container is named missing; `ps -a` lists them"))

func (b *fakeBox) GetStatus(_ context.Context, r *connect.Request[entroosv1.GetStatusRequest]) (*connect.Response[entroosv1.GetStatusResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.GetStatusResponse{
		Hostname: "cellar", Version: "0.1.0", State: "ready", BootUnixNano: 1_800_000_000_123_456_789,
		UptimeSeconds: 200, ReadySeconds: 2.31, Cpus: 1, MemoryTotalBytes: 480 << 20, MemoryAvailableBytes: 360 << 20,
		Addresses: []string{"10.0.2.15"}, NodeId: strings.Repeat("ab", 32), ChainId: "entroos-0123456789abcdef",
		GenesisHash: strings.Repeat("cd", 32), ContainersRunning: 1, ReceiptsWaiting: 2, ReceiptsCommitted: 5,
		BootDisk: "/dev/vda", DataDevice: "/dev/vda4", DataTotalBytes: 230 << 20, DataFreeBytes: 200 << 20,
	}), nil
}

func (b *fakeBox) GetVersion(_ context.Context, r *connect.Request[entroosv1.GetVersionRequest]) (*connect.Response[entroosv1.GetVersionResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.GetVersionResponse{Version: "0.1.0", Kernel: "6.12.117", Runc: "1.5.2", Go: "go1.26.8"}), nil
}

func (b *fakeBox) ListServices(_ context.Context, r *connect.Request[entroosv1.ListServicesRequest]) (*connect.Response[entroosv1.ListServicesResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.ListServicesResponse{Services: []*entroosv1.Service{
		{Name: "ledgerd", State: "running", Pid: 71, StartedUnixNano: time.Now().Add(-3 * time.Minute).UnixNano(), MemoryBytes: 34 << 20},
		{Name: "ntp", State: "waiting", LastExit: "exit status 1", Failures: 2, Availability: 0.99999},
	}}), nil
}

func (b *fakeBox) SignalService(_ context.Context, r *connect.Request[entroosv1.SignalServiceRequest]) (*connect.Response[entroosv1.SignalServiceResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.SignalServiceResponse{}), nil
}

func (b *fakeBox) ListImages(_ context.Context, r *connect.Request[entroosv1.ListImagesRequest]) (*connect.Response[entroosv1.ListImagesResponse], error) {
	b.note(r.Msg)
	image := sha256.Sum256([]byte("image"))
	return connect.NewResponse(&entroosv1.ListImagesResponse{Images: []*entroosv1.Image{{
		Digest: fmt.Sprintf("sha256:%x", image), References: []string{"busybox:latest", "box"}, SizeBytes: 2_100_000,
		ImportedUnixNano: time.Now().Add(-time.Hour).UnixNano(),
		Entropy:          proto.Float64(0.7128), EntropyBytes: 4_300_000,
	}, {
		Digest: "sha256:" + strings.Repeat("cd", 32), References: []string{"old:1"}, SizeBytes: 1_000_000,
		ImportedUnixNano: time.Now().Add(-time.Hour).UnixNano(),
	}}}), nil
}

func (b *fakeBox) ImportImage(_ context.Context, stream *connect.ClientStream[entroosv1.ImportImageRequest]) (*connect.Response[entroosv1.ImportImageResponse], error) {
	reference := ""
	for first := true; stream.Receive(); first = false {
		if first {
			reference = stream.Msg().Reference
		}
		b.mu.Lock()
		b.imported.Write(stream.Msg().Chunk)
		b.mu.Unlock()
		if bytes.HasPrefix(stream.Msg().Chunk, []byte("refuse")) {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("this is no image archive"))
		}
	}
	if stream.Err() != nil {
		return nil, stream.Err()
	}
	if reference == "" {
		reference = "busybox:latest"
	}
	return connect.NewResponse(&entroosv1.ImportImageResponse{Images: []*entroosv1.Image{{References: []string{reference}}}}), nil
}

func (b *fakeBox) RemoveImage(_ context.Context, r *connect.Request[entroosv1.RemoveImageRequest]) (*connect.Response[entroosv1.RemoveImageResponse], error) {
	b.note(r.Msg)
	if r.Msg.Image == "missing" {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no image is named missing"))
	}
	return connect.NewResponse(&entroosv1.RemoveImageResponse{}), nil
}

func (b *fakeBox) PruneImages(_ context.Context, r *connect.Request[entroosv1.PruneImagesRequest]) (*connect.Response[entroosv1.PruneImagesResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.PruneImagesResponse{
		Removed:    []*entroosv1.Image{{Digest: "sha256:" + strings.Repeat("ab", 32), References: []string{"old:1"}}},
		FreedBytes: 12_345_678,
	}), nil
}

var containerID = strings.Repeat("0123456789abcdef", 4)

func (b *fakeBox) ListContainers(_ context.Context, r *connect.Request[entroosv1.ListContainersRequest]) (*connect.Response[entroosv1.ListContainersResponse], error) {
	b.note(r.Msg)
	list := []*entroosv1.Container{{
		Id: containerID, State: entroosv1.ContainerState_CONTAINER_STATE_RUNNING,
		StartedUnixNano: time.Now().Add(-5 * time.Minute).UnixNano(),
		Spec: &entroosv1.WorkloadSpec{
			Name: "web", Image: "nginx", Args: []string{"nginx", "-g", "daemon off;"},
			Ports: []*entroosv1.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}},
		},
	}}
	if r.Msg.All {
		list = append(list, &entroosv1.Container{
			Id: strings.Repeat("f", 64), State: entroosv1.ContainerState_CONTAINER_STATE_EXITED, Signal: 9, OomKilled: true,
			FinishedUnixNano: time.Now().Add(-2 * time.Hour).UnixNano(),
			Spec:             &entroosv1.WorkloadSpec{Name: "hog", Image: "busybox"},
		})
	}
	return connect.NewResponse(&entroosv1.ListContainersResponse{Containers: list}), nil
}

func (b *fakeBox) StopContainer(_ context.Context, r *connect.Request[entroosv1.StopContainerRequest]) (*connect.Response[entroosv1.StopContainerResponse], error) {
	b.note(r.Msg)
	if r.Msg.Container == "missing" {
		return nil, errNoSuchContainer
	}
	return connect.NewResponse(&entroosv1.StopContainerResponse{}), nil
}

func (b *fakeBox) StartContainer(_ context.Context, r *connect.Request[entroosv1.StartContainerRequest]) (*connect.Response[entroosv1.StartContainerResponse], error) {
	b.note(r.Msg)
	if r.Msg.Container == "large" {
		return connect.NewResponse(&entroosv1.StartContainerResponse{Container: queuedContainer(nil)}), nil
	}
	return connect.NewResponse(&entroosv1.StartContainerResponse{}), nil
}

func (b *fakeBox) KillContainer(_ context.Context, r *connect.Request[entroosv1.KillContainerRequest]) (*connect.Response[entroosv1.KillContainerResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.KillContainerResponse{}), nil
}

func (b *fakeBox) RemoveContainer(_ context.Context, r *connect.Request[entroosv1.RemoveContainerRequest]) (*connect.Response[entroosv1.RemoveContainerResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.RemoveContainerResponse{}), nil
}

func (b *fakeBox) Reboot(_ context.Context, r *connect.Request[entroosv1.RebootRequest]) (*connect.Response[entroosv1.RebootResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.RebootResponse{}), nil
}

func (b *fakeBox) PowerOff(_ context.Context, r *connect.Request[entroosv1.PowerOffRequest]) (*connect.Response[entroosv1.PowerOffResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.PowerOffResponse{}), nil
}

func (b *fakeBox) Logs(ctx context.Context, r *connect.Request[entroosv1.LogsRequest], stream *connect.ServerStream[entroosv1.LogsResponse]) error {
	b.note(r.Msg)
	for _, entry := range []*entroosv1.LogsResponse{
		{Stream: entroosv1.LogsResponse_STREAM_STDOUT, TimeUnixNano: 1, Data: []byte("one\ntwo\n")},
		{Stream: entroosv1.LogsResponse_STREAM_STDERR, TimeUnixNano: 2, Data: []byte("wrong\n")},
	} {
		if err := stream.Send(entry); err != nil {
			return err
		}
	}
	if r.Msg.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// Run's container does what its arguments say.
func (b *fakeBox) Run(ctx context.Context, stream *connect.BidiStream[entroosv1.RunRequest, entroosv1.RunResponse]) error {
	req, err := stream.Receive()
	if err != nil {
		return err
	}
	b.note(req)
	start := req.GetStart()
	if start.GetSpec().GetImage() == "missing" {
		return connect.NewError(connect.CodeNotFound, errors.New("no image is named missing; import it"))
	}
	created := &entroosv1.Container{Id: containerID, Spec: start.GetSpec()}
	if start.GetSpec().GetImage() == "large" {
		queued := queuedContainer(start.GetSpec())
		if start.Detach {
			return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Created{Created: queued}})
		}
		if err := stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Queued{Queued: &entroosv1.RunQueued{Container: queued, Reason: queued.QueuedReason}}}); err != nil {
			return err
		}
		if start.GetSpec().GetName() == "never" {
			<-ctx.Done()
			b.signals <- 0
			return ctx.Err()
		}
	}
	if err := stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Created{Created: created}}); err != nil || start.Detach {
		return err
	}
	exited := &entroosv1.RunExited{ReceiptSequence: 1}
	err = b.process(ctx, start.GetSpec().GetArgs(), exited, func(data []byte, stderr bool) error {
		if stderr {
			return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Stderr{Stderr: data}})
		}
		return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Stdout{Stdout: data}})
	}, func() (*entroosv1.ProcessInput, error) {
		req, err := stream.Receive()
		return req.GetInput(), err
	})
	if err != nil {
		return err
	}
	return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Exited{Exited: exited}})
}

func (b *fakeBox) Exec(ctx context.Context, stream *connect.BidiStream[entroosv1.ExecRequest, entroosv1.ExecResponse]) error {
	req, err := stream.Receive()
	if err != nil {
		return err
	}
	b.note(req)
	if req.GetStart().GetContainer() == "missing" {
		return errNoSuchContainer
	}
	exited := &entroosv1.RunExited{}
	err = b.process(ctx, req.GetStart().GetArgs(), exited, func(data []byte, stderr bool) error {
		if stderr {
			return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Stderr{Stderr: data}})
		}
		return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Stdout{Stdout: data}})
	}, func() (*entroosv1.ProcessInput, error) {
		req, err := stream.Receive()
		return req.GetInput(), err
	})
	if err != nil {
		return err
	}
	return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Exited{Exited: &entroosv1.ExecExited{ExitCode: exited.ExitCode}}})
}

// process plays a container's program: echo, cat, fail, signal, oom, broken,
// and wait, which ends by the signal that it is sent.
func (b *fakeBox) process(ctx context.Context, args []string, exited *entroosv1.RunExited, write func([]byte, bool) error, receive func() (*entroosv1.ProcessInput, error)) error {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "echo":
		return write([]byte(strings.Join(args[1:], " ")+"\n"), false)
	case "printf":
		return write([]byte(strings.Join(args[1:], " ")), false)
	case "fail":
		exited.ExitCode = 3
		return write([]byte("failed\n"), true)
	case "oom":
		exited.Signal, exited.OomKilled = 9, true
	case "broken":
		exited.Error = "the program is not in the image"
	case "notfound":
		exited.Error, exited.ExitCode = "no such program", 127
	case "cut":
		return connect.NewError(connect.CodeUnavailable, errors.New("the box stops"))
	case "end":
		return errors.New("ended without exit")
	case "cat", "wait", "stubborn":
		if args[0] != "cat" || len(args) > 1 {
			if err := write([]byte("ready\n"), false); err != nil {
				return err
			}
		}
		for {
			in, err := receive()
			if err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			switch {
			case string(in.GetStdin()) == "\x04\x04": // as a terminal in the container would
				return nil
			case len(in.GetStdin()) > 0 && args[0] == "cat":
				if err := write(in.GetStdin(), false); err != nil {
					return err
				}
			case in.GetCloseStdin():
				return nil
			case in.GetSignal() != 0:
				b.signals <- in.GetSignal()
				if args[0] == "wait" {
					exited.Signal = in.GetSignal()
					return nil
				}
			case in.GetResize() != nil:
				if err := write([]byte(fmt.Sprintf("%dx%d\n", in.GetResize().Columns, in.GetResize().Rows)), false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fakeReceipts are two receipts of one node, newest first.
func fakeReceipts() []*entroosv1.LedgerReceipt {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	receipt := func(sequence uint64, change func(*ledger.Receipt)) *entroosv1.LedgerReceipt {
		r := &ledger.Receipt{
			ChainID: "entroos-0123456789abcdef", Node: [32]byte(key.Public().(ed25519.PublicKey)), Sequence: sequence,
			ImageDigest: sha256.Sum256([]byte("image")), Outcome: ledger.OutcomeExited, StartedUnixNano: 1_800_000_000_000_000_000,
			FinishedUnixNano: 1_800_000_001_500_000_000,
			Usage: ledger.Usage{
				CPUUserMicros: 1500, CPUSystemMicros: 700, MemoryPeakBytes: 3 << 20,
				IOReadBytes: ledger.NotMeasured, IOWriteBytes: 0, PidsPeak: 1, WallMicros: 1_500_000,
			},
		}
		change(r)
		if err := r.Seal(key); err != nil {
			panic(err)
		}
		raw, err := r.MarshalBinary()
		if err != nil {
			panic(err)
		}
		return &entroosv1.LedgerReceipt{Receipt: raw, Height: int64(2 * sequence), Index: sequence - 1, BlockTimeUnixNano: 1_800_000_002_000_000_000}
	}
	return []*entroosv1.LedgerReceipt{
		receipt(2, func(r *ledger.Receipt) { r.Outcome, r.Signal = ledger.OutcomeSignaled, 9 }),
		receipt(1, func(*ledger.Receipt) {}),
	}
}

func (b *fakeBox) ListReceipts(_ context.Context, r *connect.Request[entroosv1.ListReceiptsRequest]) (*connect.Response[entroosv1.ListReceiptsResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.ListReceiptsResponse{Receipts: fakeReceipts(), TreeSize: 2}), nil
}

func (b *fakeBox) GetReceipt(_ context.Context, r *connect.Request[entroosv1.GetReceiptRequest]) (*connect.Response[entroosv1.GetReceiptResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.GetReceiptResponse{Receipt: fakeReceipts()[0]}), nil
}

func (b *fakeBox) ExportReceipt(_ context.Context, r *connect.Request[entroosv1.ExportReceiptRequest]) (*connect.Response[entroosv1.ExportReceiptResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.ExportReceiptResponse{Proof: []byte("proof\x00\xff")}), nil
}

func (b *fakeBox) LedgerStatus(_ context.Context, r *connect.Request[entroosv1.LedgerStatusRequest]) (*connect.Response[entroosv1.LedgerStatusResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(&entroosv1.LedgerStatusResponse{
		ChainId: "entroos-0123456789abcdef", GenesisHash: strings.Repeat("cd", 32), Height: 9, TreeSize: 2,
		TreeRoot: []byte{1, 2}, AppHash: []byte{3, 4}, LastSequence: 2, LastP: []byte{5, 6}, EarliestBlockHeight: 1,
	}), nil
}

// serveForever is for trying the console by hand, in the test binary:
// ENTROOS_FAKE_BOX=/tmp/box.sock go test ./cmd/entroos
func serveForever(socket string) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	b := &fakeBox{signals: make(chan int32, 1000)}
	panic(b.server().Serve(listener))
}
