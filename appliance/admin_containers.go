package appliance

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
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
