package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/blockdev"
)

var (
	errDataWell = connect.NewError(connect.CodeFailedPrecondition,
		errors.New("the data partition is mounted and well: there is nothing to repair or to begin anew"))
	errNoDataDisk = connect.NewError(connect.CodeFailedPrecondition,
		errors.New("the box does not know which data partition is its own; `status` says why"))
	errDiskBusy = connect.NewError(connect.CodeFailedPrecondition,
		errors.New("a disk is being installed, repaired or made anew; wait for its end"))
	errEndBusy = connect.NewError(connect.CodeFailedPrecondition,
		errors.New("a disk is being installed, repaired or made anew, and would be left half done: wait for its end, or press the power button"))
)

// end ends the box, but not while disks change.
func (a *adminServer) end(action Action) error {
	if !a.box.disks.TryLock() {
		return errEndBusy
	}
	defer a.box.disks.Unlock()
	a.box.End(action)
	return nil
}

// withDisks does what changes disks, one at a time.
func (a *adminServer) withDisks(do func() error) error {
	if !a.box.disks.TryLock() {
		return errDiskBusy
	}
	defer a.box.disks.Unlock()
	return apiError(do())
}

// lostData gives the device of the data partition that is not mounted.
func (a *adminServer) lostData() (string, error) {
	s := a.box.Storage
	switch {
	case s.damage() != "":
		return "", connect.NewError(connect.CodeFailedPrecondition, errors.New(s.damage()))
	case s.Data != "":
		return "", errDataWell
	case s.Disk == nil || s.Disk.Partitions[PartitionData] == "":
		return "", errNoDataDisk
	}
	return s.Disk.Partitions[PartitionData], nil
}

// RepairData implements AdminService.
func (a *adminServer) RepairData(ctx context.Context, _ *connect.Request[entroosv1.RepairDataRequest], stream *connect.ServerStream[entroosv1.RepairDataResponse]) error {
	repair := func(out io.Writer) error {
		device, err := a.lostData()
		if err != nil {
			if errors.Is(err, errDataWell) && a.box.RecordsLost() {
				return connect.NewError(connect.CodeFailedPrecondition, errors.New(
					"the data partition is well, the records or the ledger on it are not: e2fsck cannot mend them; `data reset --keep-volumes` begins them anew"))
			}
			return err
		}
		a.box.Logger.Warn("data repair", "device", device)
		// A client that leaves does not leave the repair half done.
		code, err := e2fsck(context.WithoutCancel(ctx), a.box.Reaper, out, device, "-f", "-y")
		if err != nil {
			return err
		}
		if code > fsckMended {
			return fmt.Errorf("e2fsck cannot mend %s (exit status %d); `data reset` makes a new, empty data partition", device, code)
		}
		return nil
	}
	return relayed("data repair", func(out io.Writer) error {
		return a.withDisks(func() error { return repair(out) })
	}, func(output []byte) error {
		return stream.Send(&entroosv1.RepairDataResponse{Output: output})
	})
}

// ResetData implements AdminService.
func (a *adminServer) ResetData(ctx context.Context, r *connect.Request[entroosv1.ResetDataRequest]) (*connect.Response[entroosv1.ResetDataResponse], error) {
	keep := r.Msg.GetKeepVolumes()
	answer := connect.NewResponse(new(entroosv1.ResetDataResponse))
	return answer, a.withDisks(func() error {
		if a.box.RecordsLost() && a.box.Storage.damage() == "" {
			// It stays in use until the next boot.
			a.box.Logger.Warn("data reset at the next boot", "keep volumes", keep)
			return requestReset(PermPath, keep, time.Now())
		}
		device, err := a.lostData()
		if err != nil {
			return err
		}
		if keep {
			return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(
				"the data partition %s cannot be mounted, so its volumes cannot be kept: try `data repair` first, or leave out --keep-volumes", device))
		}
		a.box.Logger.Warn("data reset", "device", device)
		// A client that leaves does not leave it half made.
		return makeData(context.WithoutCancel(ctx), device)
	})
}

// ListDisks implements AdminService.
func (a *adminServer) ListDisks(context.Context, *connect.Request[entroosv1.ListDisksRequest]) (*connect.Response[entroosv1.ListDisksResponse], error) {
	disks, err := blockdev.Host.Disks()
	if err != nil {
		return nil, apiError(err)
	}
	answer := new(entroosv1.ListDisksResponse)
	for _, d := range disks {
		answer.Disks = append(answer.Disks, &entroosv1.Disk{
			Device: d.Path, SizeBytes: uint64(d.Bytes), Model: d.Model, Removable: d.Removable,
			Boot: a.box.Storage.Disk != nil && a.box.Storage.Disk.Device == d.Path, Content: diskContent(d),
		})
	}
	return connect.NewResponse(answer), nil
}

// Install implements AdminService.
func (a *adminServer) Install(ctx context.Context, r *connect.Request[entroosv1.InstallRequest], stream *connect.ServerStream[entroosv1.InstallResponse]) error {
	return a.withDisks(func() error {
		var told time.Time
		var sendErr error
		// A client that leaves ends the installation: ctx ends.
		progress := func(step string, done, total int64) {
			if now := time.Now(); done == 0 || done == total || now.Sub(told) > progressInterval {
				told = now
				sendErr = errors.Join(sendErr, stream.Send(&entroosv1.InstallResponse{Step: step, DoneBytes: uint64(done), TotalBytes: uint64(total)}))
			}
		}
		done, err := a.box.Install(ctx, r.Msg.GetDevice(), r.Msg.GetForce(), progress)
		if err != nil {
			return installError(err)
		}
		last := &entroosv1.InstallResponse{Step: "the firmware starts it first (" + done.BootEntry + ")"}
		if done.Warning != nil {
			last = &entroosv1.InstallResponse{Step: "done", Warning: done.Warning.Error()}
		}
		return errors.Join(sendErr, stream.Send(last))
	})
}

// progressInterval is the time between two messages about one step.
const progressInterval = 200 * time.Millisecond

// installError gives an error of Install the API's code: nearly all that is
// refused is refused for the state of a disk.
func installError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, blockdev.ErrNoDisk):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	}
	return connect.NewError(connect.CodeFailedPrecondition, err)
}
