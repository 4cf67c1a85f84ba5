package appliance

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime"
	"github.com/entroos/entroos/runtime/logfile"
)

// ListContainers implements AdminService.
func (a *adminServer) ListContainers(_ context.Context, r *connect.Request[entroosv1.ListContainersRequest]) (*connect.Response[entroosv1.ListContainersResponse], error) {
	w, _, err := a.workloads()
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&entroosv1.ListContainersResponse{Containers: a.box.withDrift(w.List(r.Msg.GetAll()))}), nil
}

// StopContainer implements AdminService.
func (a *adminServer) StopContainer(ctx context.Context, r *connect.Request[entroosv1.StopContainerRequest]) (*connect.Response[entroosv1.StopContainerResponse], error) {
	w, _, err := a.workloads()
	if err != nil {
		return nil, err
	}
	c, err := w.Stop(ctx, r.Msg.GetContainer(), time.Duration(r.Msg.GetTimeoutSeconds())*time.Second)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.StopContainerResponse{Container: c}), nil
}

// StartContainer implements AdminService.
func (a *adminServer) StartContainer(_ context.Context, r *connect.Request[entroosv1.StartContainerRequest]) (*connect.Response[entroosv1.StartContainerResponse], error) {
	w, _, err := a.workloads()
	if err != nil {
		return nil, err
	}
	c, err := w.Start(r.Msg.GetContainer())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.StartContainerResponse{Container: c}), nil
}

// KillContainer implements AdminService.
func (a *adminServer) KillContainer(ctx context.Context, r *connect.Request[entroosv1.KillContainerRequest]) (*connect.Response[entroosv1.KillContainerResponse], error) {
	w, _, err := a.workloads()
	if err != nil {
		return nil, err
	}
	signal, err := signalOr(r.Msg.GetSignal(), unix.SIGKILL)
	if err != nil {
		return nil, err
	}
	if err := w.Kill(ctx, r.Msg.GetContainer(), int(signal)); err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(new(entroosv1.KillContainerResponse)), nil
}

// RemoveContainer implements AdminService.
func (a *adminServer) RemoveContainer(ctx context.Context, r *connect.Request[entroosv1.RemoveContainerRequest]) (*connect.Response[entroosv1.RemoveContainerResponse], error) {
	w, _, err := a.workloads()
	if err != nil {
		return nil, err
	}
	if err := w.Remove(ctx, r.Msg.GetContainer(), r.Msg.GetForce()); err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(new(entroosv1.RemoveContainerResponse)), nil
}

// Logs implements AdminService.
func (a *adminServer) Logs(ctx context.Context, r *connect.Request[entroosv1.LogsRequest], stream *connect.ServerStream[entroosv1.LogsResponse]) error {
	if name := r.Msg.GetService(); name != "" {
		return a.serviceLogs(ctx, name, r.Msg, stream)
	}
	w, engine, err := a.workloads()
	if err != nil {
		return err
	}
	c, err := w.Get(r.Msg.GetContainer())
	if err != nil {
		return apiError(err)
	}
	options := runtime.LogOptions{Follow: r.Msg.GetFollow(), Tail: r.Msg.GetTail()}
	return apiError(engine.Logs(ctx, c.GetId(), options, func(e runtime.LogEntry) error {
		kind := entroosv1.LogsResponse_STREAM_STDOUT
		if e.Stream == logfile.Stderr {
			kind = entroosv1.LogsResponse_STREAM_STDERR
		}
		return stream.Send(&entroosv1.LogsResponse{Stream: kind, TimeUnixNano: e.Time.UnixNano(), Data: e.Data})
	}))
}

func (a *adminServer) serviceLogs(ctx context.Context, name string, r *entroosv1.LogsRequest, stream *connect.ServerStream[entroosv1.LogsResponse]) error {
	log := a.box.Log
	if name != initService {
		s, err := a.service(name)
		if err != nil {
			return err
		}
		log = s.Log()
	}
	return apiError(log.Follow(ctx, r.GetFollow(), r.GetTail(), func(line nko.LogLine) error {
		kind := entroosv1.LogsResponse_STREAM_STDOUT
		if line.Stderr {
			kind = entroosv1.LogsResponse_STREAM_STDERR
		}
		return stream.Send(&entroosv1.LogsResponse{Stream: kind, TimeUnixNano: line.At.UnixNano(), Data: append(line.Text[:len(line.Text):len(line.Text)], '\n')})
	}))
}
