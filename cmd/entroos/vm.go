//go:build !box

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/qemu"
)

// How long a box may take to come up, to stop everything and switch off, after a
// reboot if need be, and how long it is waited for when it seems to have refused.
const (
	vmUpTime      = 5 * time.Minute
	vmOffTime     = 3 * time.Minute
	vmRefusedTime = 20 * time.Second
)

// vmFlags are the flags of `entroos vm`.
type vmFlags struct {
	image, disk, size, memory, exec string
	cpus                            int
	ports                           []string
	usb                             bool
	timeout                         time.Duration
}

func newVMCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "vm",
		Short: "Boot the built image in QEMU",
		Long: "Boot the built image in QEMU with its console on this terminal. What the box writes is gone\n" +
			"afterwards, unless --disk names a file to keep it in: a copy of the image that later runs go on with.\n" +
			"With --exec it boots without a terminal, prints one command's output, powers off and ends with the\n" +
			"command's exit status.",
		Example: "  entroos vm -p 8080:80\n  entroos vm --exec 'status --json'",
		Args:    cobra.NoArgs,
	}
	var f vmFlags
	c.Flags().StringVar(&f.image, "image", "build/entroos.img", "disk image; it is only read")
	c.Flags().StringVar(&f.disk, "disk", "", "keep the box's disk in this file")
	c.Flags().StringVar(&f.size, "size", "", "size of the disk, e.g. 8g (default: 4g, or what the --disk has)")
	c.Flags().StringVarP(&f.memory, "memory", "m", "512m", "memory")
	c.Flags().IntVar(&f.cpus, "cpus", 1, "number of CPUs")
	c.Flags().StringArrayVarP(&f.ports, "publish", "p", nil, "make a port of the box one of 127.0.0.1: `HOST:BOX[/udp]`")
	c.Flags().BoolVar(&f.usb, "usb", false, "boot from a USB stick")
	c.Flags().StringVar(&f.exec, "exec", "", "run this `COMMAND` of the console's and power off")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "with --exec, give up after this time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := f.config()
		if err != nil {
			return usageError(err)
		}
		if _, err := os.Stat(f.image); f.disk == "" && errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is not there; make it with `make image`, or name another with --image", f.image)
		}
		if c.Flags().Changed("exec") {
			return env.vmExec(c.Context(), cfg, f.exec, f.timeout)
		}
		return env.vmConsole(c.Context(), cfg)
	}
	return c
}

func (f *vmFlags) config() (qemu.Config, error) {
	memory, err := units.RAMInBytes(f.memory)
	if err != nil || memory < 1<<20 {
		return qemu.Config{}, fmt.Errorf("--memory %q is no size; write 512m or 2g", f.memory)
	}
	if f.cpus < 1 {
		return qemu.Config{}, fmt.Errorf("--cpus %d: a box has at least one", f.cpus)
	}
	// A copy, not an overlay: an overlay over an image that is built anew is
	// a damaged disk.
	disk := qemu.Disk{Image: f.image, File: f.disk, Raw: f.disk != ""}
	if f.size == "" {
		if _, err := os.Stat(f.disk); err != nil { // none, or a new one
			f.size = "4g"
		}
	}
	if f.size != "" {
		if disk.Size, err = units.RAMInBytes(f.size); err != nil {
			return qemu.Config{}, fmt.Errorf("--size: %w", err)
		}
	}
	if f.usb {
		disk.Interface = qemu.USB
	}
	cfg := qemu.Config{Disks: []qemu.Disk{disk}, MemoryMB: int(memory >> 20), CPUs: f.cpus}
	for _, p := range f.ports {
		forward, err := parseForward(p)
		if err != nil {
			return qemu.Config{}, err
		}
		cfg.Network.Forwards = append(cfg.Network.Forwards, forward)
	}
	return cfg, nil
}

// parseForward reads HOST:BOX[/udp].
func parseForward(text string) (qemu.Forward, error) {
	ports, protocol, _ := strings.Cut(text, "/")
	host, guest, _ := strings.Cut(ports, ":")
	h, err1 := strconv.ParseUint(host, 10, 16)
	g, err2 := strconv.ParseUint(guest, 10, 16)
	if err1 != nil || err2 != nil || h == 0 || g == 0 || (protocol != "" && protocol != "tcp" && protocol != "udp") {
		return qemu.Forward{}, fmt.Errorf("-p %s is not HOST:BOX[/udp]", text)
	}
	return qemu.Forward{HostPort: int(h), GuestPort: int(g), UDP: protocol == "udp"}, nil
}

// vmConsole gives this terminal to the box.
func (env *environment) vmConsole(ctx context.Context, cfg qemu.Config) (err error) {
	cfg.Terminal = true
	vm, err := qemu.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	fmt.Fprintf(env.stderr, "EntroOS boots (%s). %s\n", vm.Accel(), vmKeys)
	if err := vm.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// The firmware has cleared the screen since, and the box's console is
		// about to print its banner.
		if vm.Greeted(ctx) == nil {
			fmt.Fprintf(env.stderr, "%s\r\n", vmKeys)
		}
	}()
	return vm.Wait(ctx)
}

// vmKeys tells the way out.
const vmKeys = "Ctrl-A x quits, Ctrl-A h lists QEMU's other keys."

// vmExec runs one command on a box of its own.
func (env *environment) vmExec(ctx context.Context, cfg qemu.Config, line string, timeout time.Duration) (err error) {
	args, err := shellquote.Split(line)
	if err != nil {
		return usageError(fmt.Errorf("--exec %q: %w", line, err))
	}
	if len(args) == 0 {
		return usageError(errors.New("--exec needs a command"))
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	vm, err := qemu.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	if err := vm.Start(ctx); err != nil {
		return err
	}
	if err := awaitVerdict(ctx, vm); err != nil {
		return err
	}
	status, err := vm.CommandTo(ctx, env.stdout, env.stderr, nil, args...)
	if err != nil {
		return err
	}
	if err := powerOffVM(ctx, vm); err != nil {
		return err
	}
	if status != 0 {
		return &statusError{status, nil}
	}
	return nil
}

// verdict is what a box says of its health once it has come up.
var verdict = regexp.MustCompile(`entroos: (ready in|degraded)`)

// awaitVerdict waits until the box is up, be it degraded: a command is to see it
// as its operators will.
func awaitVerdict(ctx context.Context, vm *qemu.VM) error {
	ctx, cancel := context.WithTimeout(ctx, vmUpTime)
	defer cancel()
	_, err := vm.Expect(ctx, verdict)
	return err
}

// powerOffVM switches the box off in order. The command before may have been
// what switches it off, or a reboot.
func powerOffVM(ctx context.Context, vm *qemu.VM) error {
	ctx, cancel := context.WithTimeout(ctx, vmOffTime)
	defer cancel()
	_, stderr, status, err := vm.Command(ctx, "poweroff")
	for errors.Is(err, qemu.ErrConsoleRestarted) {
		_, stderr, status, err = vm.Command(ctx, "poweroff")
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("the box refused: %s", bytes.TrimSpace(stderr))
	}
	if err != nil { // its answer may have been lost in its end
		short, cancel := context.WithTimeout(ctx, vmRefusedTime)
		defer cancel()
		ctx = short
	}
	if waitErr := vm.Wait(ctx); waitErr != nil {
		return fmt.Errorf("powering off: %w", cmp.Or(err, waitErr))
	}
	return nil
}
