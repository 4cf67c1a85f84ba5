//go:build linux && amd64

package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/ledger"
)

// TestKillAtEachWrite runs ledgerd from its first start through two receipts
// and kills it right before its n-th write to its home folder, for each n:
// each write, truncation, creation, renaming and removal of a file that any of
// its parts makes. After a restart and the same receipts again, the ledger is
// the one that an undisturbed run makes.
//
// All of some 200 points take minutes; without ENTROOS_EXHAUSTIVE set, a
// sample is taken that differs from run to run.
func TestKillAtEachWrite(t *testing.T) {
	raws := receipts(t, 2)
	total, err := runTraced(t, filepath.Join(t.TempDir(), "home"), raws, 0)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this system does not let a process trace its own child")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes", total)
	if total < 50 {
		t.Fatalf("only %d writes seen", total)
	}
	step := 1
	if os.Getenv("ENTROOS_EXHAUSTIVE") == "" {
		step = total / 16
	}
	for n := 1 + int(time.Now().UnixNano()%int64(step)); n <= total; n += step {
		home := filepath.Join(t.TempDir(), "home")
		if _, err := runTraced(t, home, raws, n); err != nil {
			t.Fatal(err)
		}
		d := start(t, home)
		for i, raw := range raws {
			if s, err := d.submit(raw); err != nil || s.Outcome != ledger.Committed {
				t.Fatalf("killed at write %d: receipt %d: %+v, %v\n%s", n, i+1, s, err, d.stderr(t))
			}
		}
		d.holdsExactly(t, raws)
		d.stop(t)
	}
}

// runTraced starts ledgerd and offers it the receipts, one after the other. It
// kills ledgerd at its killAt-th write (0: never), or ends it when all
// receipts are proved, and returns the number of writes seen.
func runTraced(t *testing.T, home string, raws [][]byte, killAt int) (writes int, err error) {
	t.Helper()
	d := command(t, home)
	tr := &tracer{daemon: d, killAt: killAt, started: make(chan error, 1), ended: make(chan struct{})}
	go tr.run()
	if err := <-tr.started; err != nil {
		return 0, err
	}
	offer := func() error {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := d.client.Status(t.Context()); err == nil {
				break
			} else if tr.hasEnded() || time.Now().After(deadline) {
				return err
			}
		}
		for _, raw := range raws {
			if _, err := d.submit(raw); err != nil {
				return err
			}
		}
		_, err := d.client.Export(t.Context(), "#"+strconv.Itoa(len(raws)))
		return err
	}
	err = offer()
	if err != nil && killAt == 0 {
		t.Errorf("undisturbed run: %v\n%s", err, d.stderr(t))
	}
	_ = syscall.Kill(tr.pid, syscall.SIGTERM) // it may be dead already
	<-tr.ended
	return tr.writes, tr.err
}

// A tracer runs a process under ptrace and counts its writes.
type tracer struct {
	daemon  *daemon
	killAt  int
	pid     int
	writes  int
	err     error
	started chan error
	ended   chan struct{}
}

func (tr *tracer) hasEnded() bool {
	select {
	case <-tr.ended:
		return true
	default:
		return false
	}
}

// run starts and traces the process until it has ended. One thread does it
// all: the kernel lets no other touch the traced process.
func (tr *tracer) run() {
	runtime.LockOSThread() // and is never unlocked: the thread ends with run
	defer close(tr.ended)
	cmd := tr.daemon.cmd
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		tr.started <- err
		return
	}
	tr.pid = cmd.Process.Pid
	var status syscall.WaitStatus
	_, err := syscall.Wait4(tr.pid, &status, 0, nil)
	if err == nil {
		err = syscall.PtraceSetOptions(tr.pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL)
	}
	if err == nil {
		err = syscall.PtraceSyscall(tr.pid, 0)
	}
	tr.started <- err
	if err == nil {
		tr.err = tr.loop()
	}
}

func (tr *tracer) loop() error {
	inside := make(map[int]bool) // threads within a system call
	for {
		var status syscall.WaitStatus
		// Only this thread's children: others start processes of their own.
		tid, err := syscall.Wait4(-1, &status, syscall.WALL|unix.WNOTHREAD, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			if tid == tr.pid {
				return nil
			}
			continue
		}
		signal := 0
		switch stop := status.StopSignal(); {
		case stop == syscall.SIGTRAP|0x80:
			if inside[tid] = !inside[tid]; inside[tid] && tr.writing(tid) {
				if tr.writes++; tr.writes == tr.killAt {
					if err := syscall.Kill(tr.pid, syscall.SIGKILL); err != nil {
						return err
					}
				}
			}
		case stop == syscall.SIGTRAP, stop == syscall.SIGSTOP: // a new thread
		default:
			signal = int(stop)
		}
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
}

// writing tells whether the thread is about to change a file in the home
// folder.
func (tr *tracer) writing(tid int) bool {
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return false // killed
	}
	switch regs.Orig_rax {
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_RENAME, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT:
		return true
	case unix.SYS_OPENAT:
		return regs.Rdx&unix.O_CREAT != 0
	case unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_WRITEV, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE:
		path, err := os.Readlink("/proc/" + strconv.Itoa(tr.pid) + "/fd/" + strconv.FormatUint(regs.Rdi, 10))
		return err == nil && strings.HasPrefix(path, tr.daemon.home)
	}
	return false
}
