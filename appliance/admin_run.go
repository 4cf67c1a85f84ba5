package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime"
)

var (
	errNoStart    = connect.NewError(connect.CodeInvalidArgument, errors.New("the first message must be the start"))
	errClientGone = errors.New("the client is gone")
)

// Run implements AdminService. A client that goes away leaves its container
// running.
func (a *adminServer) Run(ctx context.Context, stream *connect.BidiStream[entroosv1.RunRequest, entroosv1.RunResponse]) error {
	w, _, err := a.workloads()
	if err != nil {
		return err
	}
	first, err := stream.Receive()
	if err != nil {
		return received(err)
	}
	start := first.GetStart()
	if start.GetSpec() == nil {
		return errNoStart
	}
	if start.GetDetach() {
		c, _, err := w.Run(ctx, start.GetSpec(), runtime.IO{})
		if err != nil {
			return startError(c, err)
		}
		return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Created{Created: c}})
	}

	out := newAttachedOutput(func(stdout, stderr []byte) error {
		if stdout != nil {
			return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Stdout{Stdout: stdout}})
		}
		return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Stderr{Stderr: stderr}})
	})
	defer out.detach()
	io := runtime.IO{
		Stdout: out.writer(false), Stderr: out.writer(true),
		Tty: start.GetSpec().GetTty(), Rows: start.GetWindow().GetRows(), Cols: start.GetWindow().GetColumns(),
	}
	input := newInputQueue()
	defer input.close()
	if start.GetSpec().GetStdin() {
		io.Stdin = input
	}
	c, e, err := w.RunAttached(ctx, start.GetSpec(), io, func(c *entroosv1.Container) {
		// A client that is gone is seen by its context.
		_ = stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Queued{Queued: &entroosv1.RunQueued{
			Container: c, Reason: c.GetQueuedReason(),
		}}})
	})
	if c == nil {
		return startError(nil, err)
	}
	if err := out.open(func() error {
		return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Created{Created: c}})
	}); err != nil {
		return err
	}
	nko.Go("input of "+c.GetId(), func() {
		defer input.end()
		pump(input, &containerInput{w: w, id: c.GetId()}, func() (*entroosv1.ProcessInput, error) {
			r, err := stream.Receive()
			return r.GetInput(), err
		})
	})
	select {
	case <-e.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	return out.last(func() error {
		return stream.Send(&entroosv1.RunResponse{Response: &entroosv1.RunResponse_Exited{Exited: e.Exited()}})
	})
}

// startError is that of a container which was not made (c is nil), or whose
// first process was not started.
func startError(c *entroosv1.Container, err error) error {
	if c == nil {
		return apiError(err)
	}
	err = apiError(fmt.Errorf("container %s: %w", c.GetSpec().GetName(), err))
	if connect.CodeOf(err) == connect.CodeInternal {
		return connect.NewError(connect.CodeFailedPrecondition, errors.Unwrap(err))
	}
	return err
}

// received is the error of a client that ended before it had begun.
func received(err error) error {
	if errors.Is(err, io.EOF) {
		return errNoStart
	}
	return err
}

// Exec implements AdminService. A client that goes away takes the process with
// it.
func (a *adminServer) Exec(ctx context.Context, stream *connect.BidiStream[entroosv1.ExecRequest, entroosv1.ExecResponse]) error {
	w, _, err := a.workloads()
	if err != nil {
		return err
	}
	first, err := stream.Receive()
	if err != nil {
		return received(err)
	}
	start := first.GetStart()
	if start == nil {
		return errNoStart
	}
	if len(start.GetArgs()) == 0 {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("no command was named"))
	}
	container, err := w.Running(start.GetContainer())
	if err != nil {
		return apiError(err)
	}
	out := newAttachedOutput(func(stdout, stderr []byte) error {
		if stdout != nil {
			return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Stdout{Stdout: stdout}})
		}
		return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Stderr{Stderr: stderr}})
	})
	defer out.detach()
	if err := out.open(func() error { return nil }); err != nil {
		return err
	}
	input := newInputQueue()
	defer input.close()
	io := runtime.IO{
		Stdout: out.writer(false), Stderr: out.writer(true),
		Tty: start.GetTty(), Rows: start.GetWindow().GetRows(), Cols: start.GetWindow().GetColumns(),
	}
	if start.GetStdin() {
		io.Stdin = input
	}
	code, err := container.Exec(ctx, runtime.ExecSpec{
		Args: start.GetArgs(), Env: start.GetEnv(), Cwd: start.GetCwd(), User: start.GetUser(),
		Started: func(p *runtime.ExecProcess) {
			nko.Go("input of exec", func() {
				defer input.end()
				pump(input, p, func() (*entroosv1.ProcessInput, error) {
					r, err := stream.Receive()
					return r.GetInput(), err
				})
			})
		},
	}, io)
	if err != nil {
		err = apiError(err)
		if connect.CodeOf(err) == connect.CodeInternal {
			return connect.NewError(connect.CodeFailedPrecondition, errors.Unwrap(err))
		}
		return err
	}
	return out.last(func() error {
		return stream.Send(&entroosv1.ExecResponse{Response: &entroosv1.ExecResponse_Exited{Exited: &entroosv1.ExecExited{ExitCode: int32(code)}}})
	})
}

// controlled is what an attached client can do to a process.
type controlled interface {
	Kill(signal int) error
	Resize(rows, columns uint32) error
}

// containerInput controls the execution of a container that is under way, which
// after a restart is another one.
type containerInput struct {
	w  *nko.Workloads
	id string
}

func (c *containerInput) Kill(signal int) error {
	// Other than by `kill`, the container's restart policy stays in force: it
	// is the process that gets the terminal's signal.
	running, err := c.w.Running(c.id)
	if err != nil {
		return err
	}
	return running.Kill(context.Background(), signal)
}

func (c *containerInput) Resize(rows, columns uint32) error {
	running, err := c.w.Running(c.id)
	if err != nil {
		return err
	}
	return running.Resize(rows, columns)
}

// pump passes a client's input on until it ends. A signal or a size that the
// process does not take any more is no error of the client's.
func pump(input *inputQueue, p controlled, receive func() (*entroosv1.ProcessInput, error)) {
	for {
		in, err := receive()
		if err != nil {
			return
		}
		switch in := in.GetInput().(type) {
		case *entroosv1.ProcessInput_Stdin:
			input.put(in.Stdin)
		case *entroosv1.ProcessInput_CloseStdin:
			input.end()
		case *entroosv1.ProcessInput_Signal:
			if in.Signal > 0 && in.Signal != int32(unix.SIGWINCH) {
				_ = p.Kill(int(in.Signal)) // it may have ended
			}
		case *entroosv1.ProcessInput_Resize:
			_ = p.Resize(in.Resize.GetRows(), in.Resize.GetColumns()) // same
		}
	}
}

// attachedOutput sends a process's output to a client, one message at a time,
// after the first message and before the last.
type attachedOutput struct {
	ready chan struct{} // closed when the first message was sent
	send  func(stdout, stderr []byte) error

	mu       sync.Mutex
	detached bool
}

func newAttachedOutput(send func(stdout, stderr []byte) error) *attachedOutput {
	return &attachedOutput{ready: make(chan struct{}), send: send}
}

// open sends the first message, and lets output follow it.
func (o *attachedOutput) open(first func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.ready)
	return first()
}

// last sends the last message.
func (o *attachedOutput) last(send func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detached = true
	return send()
}

// detach has writers fail from now on: the stream must not be used after its
// handler has returned.
func (o *attachedOutput) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detached = true
	select {
	case <-o.ready:
	default:
		close(o.ready)
	}
}

func (o *attachedOutput) writer(stderr bool) io.Writer { return &outputWriter{o, stderr} }

type outputWriter struct {
	o      *attachedOutput
	stderr bool
}

func (w *outputWriter) Write(p []byte) (int, error) {
	<-w.o.ready
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	if w.o.detached {
		return 0, errClientGone
	}
	var err error
	if w.stderr {
		err = w.o.send(nil, p)
	} else {
		err = w.o.send(p, nil)
	}
	if err != nil {
		return 0, errClientGone
	}
	return len(p), nil
}
