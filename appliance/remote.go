package appliance

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
)

// remoteService is the process that serves SSH and mDNS. It follows the
// settings by WatchAccess.
const remoteService = "remote"

// StartRemote starts the service for administration from afar: what talks to
// the network is not in PID 1.
func (b *Box) StartRemote() error {
	_, err := b.Supervisor.Add(nko.ServiceSpec{
		Name: remoteService,
		Process: &nko.ProcessSpec{
			Path: consoleProgram, Args: []string{"remote", "--host-key", PermPath + "/ssh/host_ed25519"},
			// It is idle nearly always: memory before speed.
			Env: []string{"GOGC=50", "GOMEMLIMIT=24MiB", "GOMAXPROCS=1"},
			Dir: "/",
		},
	})
	return err
}

// WatchAccess implements AdminService.
func (a *adminServer) WatchAccess(ctx context.Context, _ *connect.Request[entroosv1.WatchAccessRequest], stream *connect.ServerStream[entroosv1.WatchAccessResponse]) error {
	for {
		holds, changed := a.box.Settings.Watch()
		err := stream.Send(&entroosv1.WatchAccessResponse{
			Hostname:        holds.Hostname,
			AuthorizedKeys:  slices.Clone(holds.SSH.AuthorizedKeys),
			SshPort:         uint32(holds.SSH.Port),
			ConsolePassword: holds.Console.Password,
		})
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil // the client has left, or the box ends
		}
	}
}
