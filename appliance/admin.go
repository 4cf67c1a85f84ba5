package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/api/entroos/v1/entroosv1connect"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/oci"
)

// initService is the name under which PID 1's own log is asked for.
const initService = "init"

// adminServer serves the admin API for a box.
type adminServer struct {
	box *Box
}

var _ entroosv1connect.AdminServiceHandler = (*adminServer)(nil)

// errNoContainers: the box is degraded so far that no container can run.
var errNoContainers = connect.NewError(connect.CodeUnavailable, errors.New("containers cannot run on this box now; `status` says why"))

func (a *adminServer) workloads() (*nko.Workloads, *runtime.Runtime, error) {
	if a.box.Workloads == nil || a.box.Runtime == nil {
		return nil, nil, errNoContainers
	}
	return a.box.Workloads, a.box.Runtime, nil
}

// apiError gives an error the API's code.
func apiError(err error) error {
	var known *connect.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	code := connect.CodeInternal
	for _, c := range []struct {
		code   connect.Code
		errors []error
	}{
		{connect.CodeNotFound, []error{nko.ErrNoContainer, oci.ErrNotFound}},
		{connect.CodeAlreadyExists, []error{nko.ErrNameTaken}},
		{connect.CodeInvalidArgument, []error{nko.ErrBadName, nko.ErrAmbiguous, nko.ErrRemoveRestart, runtime.ErrInvalid, oci.ErrAmbiguous, oci.ErrName, oci.ErrMalformed, oci.ErrDigest, oci.ErrUnsafe, oci.ErrTooLarge, oci.ErrUnsupported}},
		{connect.CodeFailedPrecondition, []error{nko.ErrRunning, nko.ErrNotRunning, nko.ErrQueued, nko.ErrRefused, runtime.ErrNotRunning, oci.ErrInUse}},
		{connect.CodeAborted, []error{nko.ErrCancelled}},
		{connect.CodeUnavailable, []error{nko.ErrStopping}},
		{connect.CodeResourceExhausted, []error{oci.ErrNoSpace, unix.ENOSPC, unix.EDQUOT}},
		{connect.CodeCanceled, []error{context.Canceled}},
		{connect.CodeDeadlineExceeded, []error{context.DeadlineExceeded}},
	} {
		for _, e := range c.errors {
			if errors.Is(err, e) {
				code = c.code
			}
		}
	}
	return connect.NewError(code, err)
}

// GetVersion implements AdminService.
func (a *adminServer) GetVersion(context.Context, *connect.Request[entroosv1.GetVersionRequest]) (*connect.Response[entroosv1.GetVersionResponse], error) {
	return connect.NewResponse(a.box.Version()), nil
}

// GetStatus implements AdminService.
func (a *adminServer) GetStatus(ctx context.Context, _ *connect.Request[entroosv1.GetStatusRequest]) (*connect.Response[entroosv1.GetStatusResponse], error) {
	st, err := a.box.Status(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(st), nil
}

// ListServices implements AdminService.
func (a *adminServer) ListServices(context.Context, *connect.Request[entroosv1.ListServicesRequest]) (*connect.Response[entroosv1.ListServicesResponse], error) {
	answer := new(entroosv1.ListServicesResponse)
	for _, service := range a.box.Supervisor.Services() {
		s := service.Status()
		answer.Services = append(answer.Services, &entroosv1.Service{
			Name: s.Name, State: string(s.State), Pid: uint32(s.PID), Restarts: s.Restarts,
			StartedUnixNano: s.Started.UnixNano(), LastExit: s.LastExit, MemoryBytes: s.Memory,
			Availability: s.Availability.Share, Failures: s.Availability.Failures,
			MtbfSeconds: s.Availability.MTBF.Seconds(), MttrSeconds: s.Availability.MTTR.Seconds(),
			Suspicion: s.Suspicion,
		})
	}
	return connect.NewResponse(answer), nil
}

func (a *adminServer) service(name string) (*nko.Service, error) {
	if s := a.box.Supervisor.Service(name); s != nil {
		return s, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no service is named %q; `services` lists them", name))
}

// SignalService implements AdminService.
func (a *adminServer) SignalService(_ context.Context, r *connect.Request[entroosv1.SignalServiceRequest]) (*connect.Response[entroosv1.SignalServiceResponse], error) {
	s, err := a.service(r.Msg.GetService())
	if err != nil {
		return nil, err
	}
	signal, err := signalOr(r.Msg.GetSignal(), unix.SIGTERM)
	if err != nil {
		return nil, err
	}
	if err := s.Signal(signal); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return connect.NewResponse(new(entroosv1.SignalServiceResponse)), nil
}

// signalOr gives the signal of that number, or another for 0.
func signalOr(number int32, other unix.Signal) (unix.Signal, error) {
	const last = 64 // SIGRTMAX
	switch {
	case number == 0:
		return other, nil
	case number < 0 || number > last:
		return 0, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%d is no signal", number))
	}
	return unix.Signal(number), nil
}

// ListImages implements AdminService.
func (a *adminServer) ListImages(context.Context, *connect.Request[entroosv1.ListImagesRequest]) (*connect.Response[entroosv1.ListImagesResponse], error) {
	_, engine, err := a.workloads()
	if err != nil {
		return nil, err
	}
	images, err := engine.Images()
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.ListImagesResponse{Images: images}), nil
}

// ImportImage implements AdminService.
func (a *adminServer) ImportImage(ctx context.Context, stream *connect.ClientStream[entroosv1.ImportImageRequest]) (*connect.Response[entroosv1.ImportImageResponse], error) {
	_, engine, err := a.workloads()
	if err != nil {
		return nil, err
	}
	if !stream.Receive() {
		if err := stream.Err(); err != nil {
			return nil, err
		}
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no archive was sent"))
	}
	archive := &importReader{stream: stream, chunk: stream.Msg().GetChunk()}
	images, err := engine.Import(ctx, archive, stream.Msg().GetReference())
	if err != nil {
		if archive.err != nil { // the client's connection, not the archive
			return nil, archive.err
		}
		return nil, apiError(err)
	}
	a.box.ImageImported()
	return connect.NewResponse(&entroosv1.ImportImageResponse{Images: images}), nil
}

// importReader reads the chunks of an archive.
type importReader struct {
	stream *connect.ClientStream[entroosv1.ImportImageRequest]
	chunk  []byte
	err    error // of the stream
}

func (r *importReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if !r.stream.Receive() {
			if r.err = r.stream.Err(); r.err != nil {
				return 0, r.err
			}
			return 0, io.EOF
		}
		r.chunk = r.stream.Msg().GetChunk()
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// RemoveImage implements AdminService.
func (a *adminServer) RemoveImage(ctx context.Context, r *connect.Request[entroosv1.RemoveImageRequest]) (*connect.Response[entroosv1.RemoveImageResponse], error) {
	_, engine, err := a.workloads()
	if err != nil {
		return nil, err
	}
	if err := engine.RemoveImage(ctx, r.Msg.GetImage()); err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(new(entroosv1.RemoveImageResponse)), nil
}

// Reboot implements AdminService.
func (a *adminServer) Reboot(context.Context, *connect.Request[entroosv1.RebootRequest]) (*connect.Response[entroosv1.RebootResponse], error) {
	return connect.NewResponse(new(entroosv1.RebootResponse)), a.end(Reboot)
}

// PowerOff implements AdminService.
func (a *adminServer) PowerOff(context.Context, *connect.Request[entroosv1.PowerOffRequest]) (*connect.Response[entroosv1.PowerOffResponse], error) {
	return connect.NewResponse(new(entroosv1.PowerOffResponse)), a.end(PowerOff)
}
