package appliance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/oci"
)

// hostEngine runs workloads as plain processes of the test: no isolation, but
// real output, signals and exits.
type hostEngine struct{ reaper *nko.Reaper }

func (hostEngine) Resolve(spec *entroosv1.WorkloadSpec) (*runtime.Workload, error) {
	if spec.GetImage() == "missing" {
		return nil, oci.ErrNotFound
	}
	return &runtime.Workload{Args: spec.GetArgs(), Stdin: spec.GetStdin(), StopSignal: 15, StopTimeoutSeconds: 1}, nil
}

func (e hostEngine) Create(_ context.Context, _ string, w *runtime.Workload, attached runtime.IO) (nko.Container, error) {
	path, err := exec.LookPath(w.Args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, w.Args[1:]...)
	if attached.Stdin != nil {
		pipe, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		nko.Go("stdin", func() { // ends when either side does
			_, _ = io.Copy(pipe, attached.Stdin)
			_ = pipe.Close()
		})
	}
	cmd.Stdout, cmd.Stderr = tolerant{attached.Stdout}, tolerant{attached.Stderr}
	return &hostContainer{cmd: cmd, reaper: e.reaper, done: make(chan struct{})}, nil
}

func (hostEngine) Remove(context.Context, string) error { return nil }
func (hostEngine) Recover(context.Context) error        { return nil }

// tolerant drops output that nobody takes.
type tolerant struct{ w io.Writer }

func (t tolerant) Write(p []byte) (int, error) {
	if t.w != nil {
		_, _ = t.w.Write(p)
	}
	return len(p), nil
}

type hostContainer struct {
	cmd     *exec.Cmd
	reaper  *nko.Reaper
	child   *nko.Child
	done    chan struct{}
	started time.Time
	result  runtime.Result
}

func (c *hostContainer) Start(context.Context) error {
	var err error
	if c.child, err = c.reaper.Spawn(c.cmd); err != nil {
		return err
	}
	c.started = time.Now()
	nko.Go("container", func() {
		defer close(c.done)
		<-c.child.Done()
		c.result = runtime.Result{Started: c.started, Finished: time.Now(), ExitCode: c.child.State().ExitCode()}
		if ws := c.child.State().Sys().(syscall.WaitStatus); ws.Signaled() {
			c.result.Signal, c.result.ExitCode = int(ws.Signal()), 128+int(ws.Signal())
		}
	})
	return nil
}
func (c *hostContainer) Done() <-chan struct{}       { return c.done }
func (c *hostContainer) Result() runtime.Result      { return c.result }
func (c *hostContainer) Resize(uint32, uint32) error { return nil }
func (c *hostContainer) PID() int                    { return c.child.PID() }
func (c *hostContainer) IP() netip.Addr              { return netip.Addr{} }
func (c *hostContainer) Close(context.Context) error { return nil }
func (c *hostContainer) Kill(_ context.Context, s int) error {
	return c.child.Signal(syscall.Signal(s))
}

func (c *hostContainer) Stop(ctx context.Context, _ time.Duration) error {
	if err := c.Kill(ctx, 15); err != nil {
		return err
	}
	<-c.done
	return nil
}

func (c *hostContainer) Exec(context.Context, runtime.ExecSpec, runtime.IO) (int, error) {
	return 0, runtime.ErrNotRunning
}

// testBox is a box's admin API on a socket of this machine.
type testBox struct {
	*Box
	admin  entroosv1connect.AdminServiceClient
	ledger entroosv1connect.LedgerServiceClient
	socket string
}

func newTestBox(t *testing.T) *testBox {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	b := &testBox{Box: NewBox(logger, nko.NewLogRing()), socket: filepath.Join(t.TempDir(), "admin.sock")}
	b.Reaper = nko.NewReaper(logger)
	b.Supervisor = nko.NewSupervisor(b.Reaper, nko.CgroupTree{}, logger)
	ctx, cancel := context.WithCancel(context.Background())
	background := func(serve func(context.Context) error) {
		done := make(chan struct{})
		nko.Go("background", func() {
			defer close(done)
			if err := serve(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		t.Cleanup(func() { cancel(); <-done })
	}
	background(b.Reaper.Serve)
	background(b.Supervisor.Serve)
	var err error
	if b.Store, err = nko.OpenStore(filepath.Join(t.TempDir(), "db")); err != nil {
		t.Fatal(err)
	}
	b.Ledger = ledger.Dial(filepath.Join(t.TempDir(), "nobody.sock"))
	b.Outbox = nko.NewOutbox(b.Store, b.Ledger, logger)
	b.Runtime = new(runtime.Runtime)
	if b.Workloads, err = nko.NewWorkloads(b.Store, hostEngine{b.Reaper}, b.Outbox.Wake, logger); err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(b.socket)
	if err != nil {
		t.Fatal(err)
	}
	background(func(ctx context.Context) error { return ServeAdmin(ctx, l, AdminHandler(b.Box)) })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.socket)
	}}
	client := &http.Client{Transport: transport}
	b.admin = entroosv1connect.NewAdminServiceClient(client, "http://box")
	b.ledger = entroosv1connect.NewLedgerServiceClient(client, "http://box")
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := errors.Join(b.Workloads.Close(ctx), b.Store.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func start(args ...string) *entroosv1.RunRequest {
	return &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Start{Start: &entroosv1.RunStart{
		Spec: &entroosv1.WorkloadSpec{Image: "host", Args: args, Stdin: true},
	}}}
}

func input(in *entroosv1.ProcessInput) *entroosv1.RunRequest {
	return &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Input{Input: in}}
}

// finish reads an attached run to its end.
func finish(t *testing.T, stream *connect.BidiStreamForClient[entroosv1.RunRequest, entroosv1.RunResponse]) (stdout, stderr string, exited *entroosv1.RunExited) {
	t.Helper()
	for {
		r, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		stdout += string(r.GetStdout())
		stderr += string(r.GetStderr())
		if exited = r.GetExited(); exited != nil {
			if err := errors.Join(stream.CloseRequest(), stream.CloseResponse()); err != nil {
				t.Fatal(err)
			}
			return stdout, stderr, exited
		}
	}
}

func TestAttachedRun(t *testing.T) {
	b := newTestBox(t)
	stream := b.admin.Run(t.Context())
	if err := stream.Send(start("sh", "-c", "cat; echo problem >&2; exit 3")); err != nil {
		t.Fatal(err)
	}
	first, err := stream.Receive()
	if err != nil || first.GetCreated().GetState() != entroosv1.ContainerState_CONTAINER_STATE_RUNNING {
		t.Fatalf("first answer %v, error %v", first, err)
	}
	want := strings.Repeat("0123456789", 50_000)
	for rest := want; rest != ""; rest = rest[100_000:] {
		if err := stream.Send(input(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_Stdin{Stdin: []byte(rest[:100_000])}})); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Send(input(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_CloseStdin{CloseStdin: true}})); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, exited := finish(t, stream)
	if stdout != want || stderr != "problem\n" || exited.GetExitCode() != 3 || exited.GetReceiptSequence() != 1 {
		t.Errorf("%d bytes out, %q, %v", len(stdout), stderr, exited)
	}
}

func TestAttachedSignal(t *testing.T) {
	b := newTestBox(t)
	stream := b.admin.Run(t.Context())
	if err := stream.Send(start("sh", "-c", "echo up; exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.GetStdout()) > 0 {
			break
		}
	}
	if err := stream.Send(input(&entroosv1.ProcessInput{Input: &entroosv1.ProcessInput_Signal{Signal: int32(unix.SIGINT)}})); err != nil {
		t.Fatal(err)
	}
	if _, _, exited := finish(t, stream); exited.GetSignal() != int32(unix.SIGINT) || exited.GetExitCode() != 130 {
		t.Errorf("%v", exited)
	}
}

func TestClientThatGoesAwayLeavesItsContainer(t *testing.T) {
	b := newTestBox(t)
	ctx, leave := context.WithCancel(t.Context())
	stream := b.admin.Run(ctx)
	gate := filepath.Join(t.TempDir(), "gate")
	script := "until test -e " + gate + "; do echo noise; sleep 0.02; done; exit 5"
	if err := stream.Send(start("sh", "-c", script)); err != nil {
		t.Fatal(err)
	}
	first, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	id := first.GetCreated().GetId()
	leave()
	if _, err := stream.Receive(); err == nil {
		for err == nil {
			_, err = stream.Receive()
		}
	}
	all, err := b.admin.ListContainers(t.Context(), connect.NewRequest(new(entroosv1.ListContainersRequest)))
	if err != nil || len(all.Msg.GetContainers()) != 1 {
		t.Fatalf("running without its client: %v %v", all, err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := b.Workloads.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		if c.GetReceiptSequence() == 1 {
			if c.GetExitCode() != 5 {
				t.Errorf("%v", c)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no receipt: %v", c)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestDetachedRunAndStop(t *testing.T) {
	b := newTestBox(t)
	request := start("sleep", "1000")
	request.GetStart().Detach, request.GetStart().Spec.Name = true, "sleeper"
	stream := b.admin.Run(t.Context())
	if err := errors.Join(stream.Send(request), stream.CloseRequest()); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Receive(); err != nil || r.GetCreated().GetSpec().GetName() != "sleeper" {
		t.Fatalf("%v %v", r, err)
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Fatalf("after created: %v", err)
	}
	stopped, err := b.admin.StopContainer(t.Context(), connect.NewRequest(&entroosv1.StopContainerRequest{Container: "sleeper"}))
	if err != nil || stopped.Msg.GetContainer().GetSignal() != int32(unix.SIGTERM) || stopped.Msg.GetContainer().GetReceiptSequence() != 1 {
		t.Fatalf("%v %v", stopped, err)
	}
	if _, err := b.admin.RemoveContainer(t.Context(), connect.NewRequest(&entroosv1.RemoveContainerRequest{Container: "sleeper"})); err != nil {
		t.Fatal(err)
	}
}

func TestRunThatCannotStart(t *testing.T) {
	b := newTestBox(t)
	for _, tt := range []struct {
		image, program string
		detach         bool
		code           connect.Code
	}{
		{"missing", "true", false, connect.CodeNotFound},
		{"missing", "true", true, connect.CodeNotFound},
		{"host", "/nonexistent", true, connect.CodeFailedPrecondition},
	} {
		request := start(tt.program)
		request.GetStart().Spec.Image, request.GetStart().Detach = tt.image, tt.detach
		stream := b.admin.Run(t.Context())
		if err := errors.Join(stream.Send(request), stream.CloseRequest()); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); connect.CodeOf(err) != tt.code {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	// Attached, a program that is missing ends as docker's does.
	stream := b.admin.Run(t.Context())
	if err := stream.Send(start("/nonexistent")); err != nil {
		t.Fatal(err)
	}
	if _, _, exited := finish(t, stream); exited.GetExitCode() != 127 || exited.GetError() == "" || exited.GetReceiptSequence() == 0 {
		t.Errorf("%v", exited)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	b := newTestBox(t)
	ctx := t.Context()
	_, err := b.admin.StopContainer(ctx, connect.NewRequest(&entroosv1.StopContainerRequest{Container: "nobody"}))
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("stop: %v", err)
	}
	_, err = b.admin.SignalService(ctx, connect.NewRequest(&entroosv1.SignalServiceRequest{Service: "nobody"}))
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("signal: %v", err)
	}
	_, err = b.ledger.Submit(ctx, connect.NewRequest(&entroosv1.SubmitRequest{Receipt: []byte("x")}))
	if connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("submit: %v", err)
	}
	_, err = b.ledger.LedgerStatus(ctx, connect.NewRequest(new(entroosv1.LedgerStatusRequest)))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a ledger that is away: %v", err)
	}
	defer func(w *nko.Workloads) { b.Workloads = w }(b.Workloads)
	b.Workloads, b.Runtime = nil, nil
	_, err = b.admin.ListImages(ctx, connect.NewRequest(new(entroosv1.ListImagesRequest)))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("images of a degraded box: %v", err)
	}
}

func TestSocketIsRootsAlone(t *testing.T) {
	b := newTestBox(t)
	info, err := os.Stat(b.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
}

func TestVsockPeers(t *testing.T) {
	for _, tt := range []struct {
		cid      uint32
		loopback bool
		want     bool
	}{
		{vsock.Host, false, true},
		{vsock.Local, false, false},
		{vsock.Local, true, true},
		{vsock.Hypervisor, true, false},
		{3, true, false},
		{unix.VMADDR_CID_ANY, true, false},
	} {
		l := &peerListener{loopback: tt.loopback}
		if got := l.admits(tt.cid); got != tt.want {
			t.Errorf("CID %d, loopback %v: %v", tt.cid, tt.loopback, got)
		}
	}
}
