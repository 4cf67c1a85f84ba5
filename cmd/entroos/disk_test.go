package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func (b *fakeBox) ListDisks(context.Context, *connect.Request[entroosv1.ListDisksRequest]) (*connect.Response[entroosv1.ListDisksResponse], error) {
	return connect.NewResponse(&entroosv1.ListDisksResponse{Disks: []*entroosv1.Disk{
		{Device: "/dev/nvme0n1", SizeBytes: 256e9, Model: "Rock Solid", Content: "GPT, 3 partitions"},
		{Device: "/dev/sda", SizeBytes: 32e9, Removable: true, Boot: true, Content: "EntroOS"},
	}}), nil
}

func (b *fakeBox) Install(_ context.Context, r *connect.Request[entroosv1.InstallRequest], stream *connect.ServerStream[entroosv1.InstallResponse]) error {
	b.note(r.Msg)
	if r.Msg.Device == "/dev/sdz" {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("/dev/sdz is in use"))
	}
	last := &entroosv1.InstallResponse{Step: "the firmware starts it first (Boot0003)"}
	if r.Msg.Force {
		last = &entroosv1.InstallResponse{Step: "done", Warning: "the firmware was not told"}
	}
	for _, m := range []*entroosv1.InstallResponse{
		{Step: "writing the data partition", DoneBytes: 5, TotalBytes: 10},
		{Step: "writing the data partition", DoneBytes: 10, TotalBytes: 10},
		last,
	} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (b *fakeBox) RepairData(_ context.Context, r *connect.Request[entroosv1.RepairDataRequest], stream *connect.ServerStream[entroosv1.RepairDataResponse]) error {
	b.note(r.Msg)
	return stream.Send(&entroosv1.RepairDataResponse{Output: []byte("Pass 1\n")})
}

func (b *fakeBox) ResetData(_ context.Context, r *connect.Request[entroosv1.ResetDataRequest]) (*connect.Response[entroosv1.ResetDataResponse], error) {
	b.note(r.Msg)
	return connect.NewResponse(new(entroosv1.ResetDataResponse)), nil
}

func TestInstallCommand(t *testing.T) {
	for _, c := range []struct {
		line, answer, stdout, stderr string
		status                       int
	}{
		{line: "disks", stdout: "the box runs from it"},
		{line: "install", stdout: "`install DISK` puts"},
		{line: "install nvme0n1", answer: "yes\n", stdout: "verified; the firmware starts it first (Boot0003).", stderr: "/dev/nvme0n1 (Rock Solid, 256GB, GPT, 3 partitions)"},
		{line: "install /dev/nvme0n1", answer: "no\n", stderr: "nothing was changed", status: 1},
		{line: "install /dev/nvme0n1 --force -y", stdout: "But the firmware was not told."},
		{line: "install /dev/sdz -y", stderr: "entroos: /dev/sdz is in use", status: 1},
	} {
		t.Run(c.line, func(t *testing.T) {
			b, admin := serveFakeBox(t)
			trial := newTrial(admin)
			trial.terminal, trial.stdin = os.Stdin, strings.NewReader(c.answer)
			status := trial.execute(context.Background(), strings.Fields(c.line))
			if status != c.status || !strings.Contains(trial.stdout.String(), c.stdout) || !strings.Contains(trial.stderr.String(), c.stderr) {
				t.Errorf("exit %d\nstdout %s\nstderr %s", status, trial.stdout.String(), trial.stderr.String())
			}
			if c.answer == "no\n" && b.asked() != nil {
				t.Error("the box was asked")
			}
		})
	}
}

func TestDataCommand(t *testing.T) {
	b, admin := serveFakeBox(t)
	for line, want := range map[string]string{
		"data repair -y":               "Pass 1\nThe data partition is mended. `reboot`",
		"data reset --yes":             "`reboot` begins with new data.",
		"data reset --keep-volumes -y": "`reboot` begins with new data.",
	} {
		trial := newTrial(admin)
		if status := trial.execute(context.Background(), strings.Fields(line)); status != 0 || !strings.HasPrefix(trial.stdout.String(), want) {
			t.Errorf("%s: exit %d\nstdout %s\nstderr %s", line, status, trial.stdout.String(), trial.stderr.String())
		}
		if r, reset := b.asked().(*entroosv1.ResetDataRequest); reset && r.KeepVolumes != strings.Contains(line, "keep") {
			t.Errorf("%s asked for %v", line, r)
		}
	}
	trial := newTrial(admin)
	if status := trial.execute(context.Background(), []string{"data", "reset"}); status != exitUsage || !strings.Contains(trial.stderr.String(), "--yes") {
		t.Errorf("without a terminal: exit %d, %s", status, trial.stderr.String())
	}
}

func TestProgressBar(t *testing.T) {
	b := &progressBar{columns: 60}
	b.step = "writing the EFI system partition"
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, 100, "[....................]   0% writing the EFI system partition"[:59]},
		{50, 100, "[##########..........]  50% writing the EFI system partition"[:59]},
		{100, 100, "[####################] 100% writing the EFI system partition"[:59]},
		{0, 0, "[####################] 100% writing the EFI system partition"[:59]},
	} {
		if got := b.line(c.done, c.total, 0); got != c.want {
			t.Errorf("%d of %d: %q", c.done, c.total, got)
		}
	}
	b.columns = 200
	if got := b.line(250e6, 1000e6, 10e9); !strings.HasSuffix(got, ", 25MB/s, 30s left") {
		t.Errorf("%q", got)
	}
}
