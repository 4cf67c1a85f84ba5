// Package qemu runs EntroOS, or a bare kernel, in a QEMU virtual machine: the
// harness of every test that needs a booted box, and of `entroos vm`.
//
// A machine is made from a Config, started, spoken to over its serial console
// and its command port, cut from power, and started again on the same disks:
//
//	vm, err := qemu.New(qemu.Config{Disks: []qemu.Disk{{Image: "build/entroos.img"}}})
//	defer vm.Close()
//	err = vm.Start(ctx)
//	_, err = vm.Expect(ctx, regexp.MustCompile(`entroos: ready in`))
//	stdout, stderr, exit, err := vm.Command(ctx, "status", "--json")
//	err = vm.PowerCut()
//	err = vm.Start(ctx)
package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Config describes a machine. The zero value is a machine with 512 MiB, one
// CPU, UEFI firmware, user networking and no disk.
type Config struct {
	// Dir keeps the machine's own files: overlays and firmware variables. A
	// folder given here is left in place by Close; empty is a temporary one.
	Dir string
	// Disks in boot order.
	Disks []Disk
	// MemoryMB is the guest's memory in MiB; 0 is 512.
	MemoryMB int
	// CPUs is the number of virtual CPUs; 0 is 1.
	CPUs int
	// CPU is QEMU's CPU model (SandyBridge, Haswell, ...); empty is the host's
	// under KVM and every feature that QEMU emulates otherwise.
	CPU string
	// Accel is AccelAuto, AccelKVM or AccelTCG.
	Accel Accel
	// Network is the machine's one network card.
	Network Network
	// SMBIOS strings are OEM strings (type 11), e.g. "entroos.vsock_loopback=1".
	SMBIOS []string
	// Terminal gives the serial console to this process's own terminal, with
	// QEMU's escape character Ctrl-A. Expect and Send are then not to be had.
	Terminal bool
	// SerialLog, when set, gets a copy of the serial console's output.
	SerialLog io.Writer
	// VSock adds a vsock device; Start fails where the host has no
	// /dev/vhost-vsock (see VSockAvailable).
	VSock bool
	// NoReboot makes the machine end where the guest would reset it.
	NoReboot bool
	// Kernel, Initrd and Append boot a kernel directly, without firmware.
	Kernel, Initrd, Append string
	// ExtraArgs are appended to QEMU's command line.
	ExtraArgs []string
}

// VM is one virtual machine. Its disks and firmware variables outlive each
// run of it: Start after PowerCut, Shutdown or Wait is the same box's next
// power-on. Methods may be called from several goroutines.
type VM struct {
	cfg    Config
	dir    string
	ownDir bool
	accel  Accel
	cid    uint32

	mu  sync.Mutex
	run *run
}

// run is one life of the QEMU process, from power-on to power-off.
type run struct {
	cmd     *exec.Cmd
	stderr  *output
	serial  *Serial
	command *commandPort
	qmp     *QMP
	done    chan struct{} // closed when the process has ended
	err     error         // of the process; valid once done is closed
}

// New prepares a machine: its overlays, its copy of the firmware variables.
// Nothing runs until Start.
func New(cfg Config) (*VM, error) {
	if cfg.MemoryMB == 0 {
		cfg.MemoryMB = 512
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = 1
	}
	if cfg.MemoryMB < 0 || cfg.CPUs < 0 {
		return nil, fmt.Errorf("qemu: a machine with %d MiB and %d CPUs cannot be", cfg.MemoryMB, cfg.CPUs)
	}
	if _, err := exec.LookPath(binary); err != nil {
		return nil, fmt.Errorf("qemu: %w; install the package qemu-system-x86", err)
	}
	accel, err := cfg.Accel.resolve()
	if err != nil {
		return nil, err
	}
	// 0, 1 and 2 are reserved, and the guest's CID is unique on its host.
	vm := &VM{cfg: cfg, dir: cfg.Dir, accel: accel, cid: 3 + rand.Uint32N(1<<31)}
	if vm.dir == "" {
		if vm.dir, err = os.MkdirTemp("", "entroos-vm-"); err != nil {
			return nil, fmt.Errorf("qemu: %w", err)
		}
		vm.ownDir = true
	} else if err := os.MkdirAll(vm.dir, 0o755); err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	if err := vm.prepare(); err != nil {
		return nil, errors.Join(err, vm.Close())
	}
	return vm, nil
}

// prepare makes the files that the machine writes to.
func (vm *VM) prepare() error {
	vm.cfg.Disks = append([]Disk(nil), vm.cfg.Disks...)
	for i := range vm.cfg.Disks {
		if err := vm.cfg.Disks[i].prepare(filepath.Join(vm.dir, fmt.Sprintf("disk%d.qcow2", i))); err != nil {
			return err
		}
	}
	if vm.cfg.Kernel != "" {
		return nil
	}
	return prepareFirmware(filepath.Join(vm.dir, varsName))
}

// Start powers the machine on. It returns when QEMU runs, not when the guest
// is ready; ctx bounds only the start itself.
func (vm *VM) Start(ctx context.Context) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if vm.run != nil && !vm.run.ended() {
		return errors.New("qemu: the machine already runs")
	}
	r := &run{done: make(chan struct{}), stderr: &output{}}
	args, err := vm.args()
	if err != nil {
		return err
	}
	var sockets socketPairs
	defer sockets.closeRemote()
	r.qmp = newQMP(sockets.add("qmp"))
	args = append(args, "-mon", "chardev=qmp,mode=control")
	r.command = newCommandPort(sockets.add("command"))
	args = append(args, "-device", "virtserialport,bus=serial.0,chardev=command,name="+commandPortName)
	if vm.cfg.Terminal {
		args = append(args, "-serial", "mon:stdio")
	} else {
		r.serial = newSerial(sockets.add("serial"), vm.cfg.SerialLog)
		args = append(args, "-serial", "chardev:serial")
	}
	if sockets.err != nil {
		return sockets.err
	}
	r.cmd = exec.Command(binary, append(args, sockets.args()...)...)
	r.cmd.ExtraFiles = sockets.remote
	r.cmd.Stderr = r.stderr
	if vm.cfg.Terminal {
		r.cmd.Stdin, r.cmd.Stdout = os.Stdin, os.Stdout
		r.cmd.Stderr = io.MultiWriter(r.stderr, os.Stderr)
	}
	r.cmd.SysProcAttr = processAttributes(vm.cfg.Terminal)
	if err := r.start(); err != nil {
		sockets.closeLocal()
		return err
	}
	vm.run = r
	return nil
}

// current returns the last started run.
func (vm *VM) current() (*run, error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.run == nil {
		return nil, errors.New("qemu: the machine was never started")
	}
	return vm.run, nil
}

// Wait returns when the machine is off: the guest powered off, or QEMU ended.
// An end of QEMU that was an error (or PowerCut's doing) is returned.
func (vm *VM) Wait(ctx context.Context) error {
	r, err := vm.current()
	if err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return r.failure(fmt.Errorf("waiting for the machine's end: %w", ctx.Err()))
	}
}

// Running says whether the machine is powered on.
func (vm *VM) Running() bool {
	r, err := vm.current()
	return err == nil && !r.ended()
}

// PowerCut ends QEMU at once, as if the plug were pulled: what the guest has
// not flushed to its disks is partly gone. It returns when QEMU is gone.
func (vm *VM) PowerCut() error {
	r, err := vm.current()
	if err != nil {
		return err
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("qemu: power cut: %w", err)
	}
	<-r.done
	return nil
}

// Shutdown presses the power button (ACPI) and waits until the machine is off.
func (vm *VM) Shutdown(ctx context.Context) error {
	if err := vm.QMP(ctx, "system_powerdown", nil, nil); err != nil {
		return err
	}
	return vm.Wait(ctx)
}

// Reset presses the reset button.
func (vm *VM) Reset(ctx context.Context) error {
	return vm.QMP(ctx, "system_reset", nil, nil)
}

// Close ends the machine and deletes its temporary files.
func (vm *VM) Close() error {
	var err error
	if vm.Running() {
		err = vm.PowerCut()
	}
	if vm.ownDir {
		err = errors.Join(err, os.RemoveAll(vm.dir))
	}
	return err
}

// Dir is the folder of the machine's own files.
func (vm *VM) Dir() string { return vm.dir }

// Accel is the acceleration in use, AccelKVM or AccelTCG.
func (vm *VM) Accel() Accel { return vm.accel }

// CID is the machine's vsock address, when Config.VSock is set.
func (vm *VM) CID() uint32 { return vm.cid }

// PID is the process id of QEMU; 0 when it does not run.
func (vm *VM) PID() int {
	r, err := vm.current()
	if err != nil || r.ended() {
		return 0
	}
	return r.cmd.Process.Pid
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// failure adds to an error what is known of the machine: QEMU's complaints and
// the end of the serial transcript.
func (r *run) failure(err error) error {
	if r.ended() {
		err = fmt.Errorf("%w (QEMU has ended: %s)", err, r.cmd.ProcessState)
	}
	if text := bytes.TrimSpace(r.stderr.bytes()); len(text) > 0 {
		err = fmt.Errorf("%w\nqemu's stderr:\n%s", err, text)
	}
	if r.serial != nil {
		err = fmt.Errorf("%w\nend of the serial console's output:\n%s", err, r.serial.tail(4096))
	}
	return fmt.Errorf("qemu: %w", err)
}

// output is a writer that keeps what was written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

// FreePort returns a TCP port that was free on 127.0.0.1 a moment ago, for a
// Forward.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("qemu: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("qemu: %w", err)
	}
	return port, nil
}

// endGrace is how long the readers of a dead QEMU's sockets may take to drain
// them.
const endGrace = 5 * time.Second
