package qemu

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// binary is the emulator of a 64-bit PC.
const binary = "qemu-system-x86_64"

// firstExtraFD is the descriptor number of exec.Cmd's first extra file.
const firstExtraFD = 3

// start runs QEMU from a thread that lives as long as QEMU does: the kernel
// sends Pdeathsig when the thread that forked ends, not when its process does.
func (r *run) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := r.cmd.Start(); err != nil {
			started <- fmt.Errorf("qemu: %w", err)
			return
		}
		started <- nil
		err := r.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, r.stderr.bytes())
		}
		r.finish(err)
	}()
	return <-started
}

// finish lets the readers drain what QEMU left in the sockets, then closes
// them and tells everybody that the machine is off.
func (r *run) finish(err error) {
	deadline := time.Now().Add(endGrace)
	r.qmp.end(deadline)
	r.command.end(deadline)
	if r.serial != nil {
		r.serial.end(deadline)
	}
	if err != nil {
		r.err = fmt.Errorf("qemu: %w", err)
	}
	close(r.done)
}

// processAttributes make QEMU end with this process. Without a terminal it is
// in a process group of its own, so that Ctrl-C reaches only this process,
// which then decides how the machine ends.
func processAttributes(terminal bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: !terminal}
}

// socketPairs are connected sockets between this process and QEMU. Unlike
// sockets with a path they are connected from the first byte on, and their
// number or the length of a temporary folder's name does not matter.
type socketPairs struct {
	names  []string
	local  []net.Conn
	remote []*os.File
	err    error // the first that happened
}

// add makes a pair for the character device of that name and returns this
// process's end; nil after an error.
func (s *socketPairs) add(name string) net.Conn {
	if s.err != nil {
		return nil
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.fail(fmt.Errorf("qemu: socketpair: %w", err))
		return nil
	}
	file := os.NewFile(uintptr(fds[0]), name)
	conn, err := net.FileConn(file)
	file.Close()
	remote := os.NewFile(uintptr(fds[1]), name)
	if err != nil {
		remote.Close()
		s.fail(fmt.Errorf("qemu: %w", err))
		return nil
	}
	s.names = append(s.names, name)
	s.local = append(s.local, conn)
	s.remote = append(s.remote, remote)
	return conn
}

// args are the -chardev options; remote must become exec.Cmd's ExtraFiles.
func (s *socketPairs) args() []string {
	var args []string
	for i, name := range s.names {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", name, firstExtraFD+i))
	}
	return args
}

func (s *socketPairs) fail(err error) {
	s.err = err
	s.closeLocal()
}

func (s *socketPairs) closeLocal() {
	for _, c := range s.local {
		c.Close()
	}
}

func (s *socketPairs) closeRemote() {
	for _, f := range s.remote {
		f.Close()
	}
}
