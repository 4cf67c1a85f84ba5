package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	kernelconfig "github.com/entroos/entroos/kernel-config"
)

// GuestTests are a package's tests that need a kernel of their own: cgroup v2,
// mounts, networks. Its test binary, built with the tag guest, is PID 1 of a
// virtual machine on EntroOS's kernel, with an empty ext4 disk at /perm; see
// GuestMain.
type GuestTests struct {
	// Package is the import path, or ./ and a folder relative to the checkout.
	Package string
	// Args are for the test binary: -test.run=Network and the like.
	Args []string
	// Programs are Go main packages to be had in the guest, by path there.
	Programs map[string]string
	// Runc adds /bin/runc.
	Runc bool
	// MemoryMB is the guest's memory; 0 is 512.
	MemoryMB int
	// DiskMB is the size of the disk; 0 is 2048.
	DiskMB int
	// Timeout is for the run in the guest; 0 is 10 minutes.
	Timeout time.Duration
}

// TB is what RunGuestTests needs of a testing.TB.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	TempDir() string
	Context() context.Context
}

// guestEnd is what the guest writes last.
var guestEnd = regexp.MustCompile(`^entroos-guest: exit (\d+)$`)

// RunGuestTests builds the tests, runs them in a virtual machine, and passes on
// what they print. It fails t when they fail, or do not end in time. The kernel
// is the one at the environment's ENTROOS_KERNEL, or EntroOS's own, which is
// built if it is not in the cache.
func RunGuestTests(t TB, g GuestTests) {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	kernel, err := guestKernel(ctx)
	if err != nil {
		t.Fatalf("kernel: %v", err)
	}
	initrd := filepath.Join(dir, "initrd")
	if err := g.writeInitramfs(ctx, dir, initrd); err != nil {
		t.Fatalf("initramfs: %v", err)
	}
	disk := filepath.Join(dir, "disk")
	if err := g.makeDisk(ctx, disk); err != nil {
		t.Fatalf("disk: %v", err)
	}
	relay := &guestRelay{t: t}
	vm, err := New(Config{
		Dir: dir, MemoryMB: g.MemoryMB, Kernel: kernel, Initrd: initrd, NoReboot: true,
		Append:    strings.Join(append([]string{"console=ttyS0 panic=-1 quiet loglevel=4 --"}, g.Args...), " "),
		SerialLog: relay,
		// Not one of Disks, which are to boot from.
		ExtraArgs: []string{
			"-drive", "if=none,id=perm,format=raw,cache=unsafe,file=" + escape(disk),
			"-device", "virtio-blk-pci,drive=perm",
		},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer vm.Close() //nolint:errcheck // the folder is the test's, and goes with it
	timeout := g.Timeout
	if timeout == 0 {
		timeout = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := vm.Start(ctx); err != nil {
		t.Fatalf("%v", err)
	}
	err = vm.Wait(ctx)
	if vm.Running() {
		err = errors.Join(err, vm.PowerCut())
	}
	switch code := relay.end(); {
	case err != nil:
		t.Fatalf("the guest: %v", err)
	case code == "":
		t.Fatalf("the guest ended without a verdict: PID 1 died")
	case code != "0":
		t.Errorf("%s failed in the guest (exit %s)", g.Package, code)
	}
}

func guestKernel(ctx context.Context) (string, error) {
	if kernel := os.Getenv("ENTROOS_KERNEL"); kernel != "" {
		return kernel, nil
	}
	b, err := kernelconfig.NewBuilder(os.Stderr)
	if err != nil {
		return "", err
	}
	kernel, err := b.Build(ctx)
	return kernel.Image, err
}

// guestRelay passes the guest's lines on to a test.
type guestRelay struct {
	t    TB
	mu   sync.Mutex
	rest []byte
	exit string
}

func (r *guestRelay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		i := slices.Index(r.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := strings.TrimRight(string(r.rest[:i]), "\r")
		r.rest = r.rest[i+1:]
		if m := guestEnd.FindStringSubmatch(line); m != nil {
			r.exit = m[1]
		} else {
			r.t.Logf("guest: %s", line)
		}
	}
}

// end gives the exit status of the tests, or nothing.
func (r *guestRelay) end() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest) > 0 {
		r.t.Logf("guest: %s", r.rest)
		r.rest = nil
	}
	return r.exit
}

func (g *GuestTests) diskBytes() int64 {
	if g.DiskMB == 0 {
		return 2048 << 20
	}
	return int64(g.DiskMB) << 20
}

// makeDisk makes an ext4 file system like the one of a box's data.
func (g *GuestTests) makeDisk(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(g.diskBytes()), f.Close()); err != nil {
		return err
	}
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-i", "16384", "-O", "metadata_csum_seed", path)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return nil
}

// buildRunc gives runc as the image has it, static and with seccomp. It is
// kept in the user's cache folder, where go build does not make it again
// unless it has changed.
func buildRunc(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "entroos", "guest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("lock %s: %w", dir, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file releases it too, and nothing was written to it
	output := filepath.Join(dir, "runc")
	return output, goBuild(ctx, "CGO_ENABLED=1", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -linkmode external -extldflags -static", "-tags", "netgo osusergo seccomp",
		"-o", output, "github.com/opencontainers/runc")
}

func goBuild(ctx context.Context, cgo string, args ...string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the checkout: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", cgo)
	var complaints strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaints.String())
	}
	return nil
}
