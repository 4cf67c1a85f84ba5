//go:build linux && amd64

package oci_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotTraced says that the system does not let a process trace its child.
var errNotTraced = errors.New("cannot trace a process of its own")

// runTraced runs the helper, kills it right before its n-th change of a file
// (0: never), and gives the number of changes seen. One thread does it all: the
// kernel lets no other touch the traced process.
func runTraced(killAt int, args ...string) (changes int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotTraced, err)
	}
	pid := cmd.Process.Pid
	defer cmd.Process.Release() //nolint:errcheck // it has been waited for
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotTraced, err)
	}
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotTraced, err)
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return 0, err
	}
	inside := make(map[int]bool) // threads within a system call
	for {
		// Of this thread's children alone: other tests have theirs.
		tid, err := syscall.Wait4(-1, &status, syscall.WALL|unix.WNOTHREAD, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return changes, err
		}
		if status.Exited() || status.Signaled() {
			if tid != pid {
				continue
			}
			if killAt == 0 && (!status.Exited() || status.ExitStatus() != 0) {
				return changes, fmt.Errorf("the helper ended with %#x", status)
			}
			return changes, nil
		}
		deliver := 0
		switch stop := status.StopSignal(); {
		case stop == syscall.SIGTRAP|0x80:
			if inside[tid] = !inside[tid]; inside[tid] && changing(tid) {
				if changes++; changes == killAt {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						return changes, err
					}
				}
			}
		case stop == syscall.SIGTRAP, stop == syscall.SIGSTOP: // a new thread
		default:
			deliver = int(stop)
		}
		if err := syscall.PtraceSyscall(tid, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
			return changes, err
		}
	}
}

// changing tells whether the thread is about to change a file.
func changing(tid int) bool {
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return false // killed
	}
	switch regs.Orig_rax {
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_SYMLINKAT,
		unix.SYS_LINKAT, unix.SYS_FSETXATTR, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT,
		unix.SYS_UTIMENSAT, unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS:
		return true
	case unix.SYS_OPENAT:
		return regs.Rdx&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0
	case unix.SYS_WRITE:
		return regs.Rdx > 8 // the runtime wakes its threads with fewer bytes
	}
	return false
}
