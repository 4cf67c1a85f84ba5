//go:build linux && amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
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

// TestKillAtEachWrite runs ledgerd from its first start through a receipt and
// kills it right before its n-th write to its home folder, for each n: each
// write, truncation, creation, renaming and removal of a file that any of its
// parts makes. After a restart and the same receipt again, the ledger is the
// one that an undisturbed run makes. With -short, some of the n are tried.
func TestKillAtEachWrite(t *testing.T) {
	raws := receipts(t, 1)
	total, err := runTraced(t, filepath.Join(t.TempDir(), "home"), raws, 0)
	if errors.Is(err, errNotTraced) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes", total)
	if total < 50 {
		t.Fatalf("only %d writes seen", total)
	}
	step := 1
	if testing.Short() {
		step = 10
	}
	for n := 1; n <= total; n += step {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			home := filepath.Join(t.TempDir(), "home")
			if _, err := runTraced(t, home, raws, n); err != nil {
				t.Fatal(err)
			}
			d := start(t, home)
			defer d.stop(t)
			for _, raw := range raws {
				if s, err := d.submit(raw); err != nil || s.Outcome != ledger.Committed {
					t.Fatalf("%+v, %v\n%s", s, err, d.stderr(t))
				}
			}
			d.holdsExactly(t, raws)
		})
	}
}

// errNotTraced says that the system does not let a process trace its child.
var errNotTraced = errors.New("cannot trace a process of its own")

// runTraced starts ledgerd and offers it the receipts, one after the other. It
// kills ledgerd at its killAt-th write (0: never), or ends it when all
// receipts are proved, and returns the number of writes seen.
func runTraced(t *testing.T, home string, raws [][]byte, killAt int) (writes int, err error) {
	t.Helper()
	d := command(t, home)
	// A tracer of its own process waits for nobody else's children.
	d.cmd.Env = append(os.Environ(), traceEnv+"="+strconv.Itoa(killAt))
	out := new(strings.Builder)
	d.cmd.Stdout = out
	if err := d.cmd.Start(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = d.cmd.Wait()
		cancel() // what is offered to a process that is gone fails
	}()
	if offered := d.offer(ctx, raws); offered != nil && killAt == 0 {
		t.Errorf("undisturbed run: %v", offered)
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	<-ended
	if err != nil {
		if strings.Contains(d.stderr(t), errNotTraced.Error()) {
			return 0, errNotTraced
		}
		return 0, fmt.Errorf("%w\n%s", err, d.stderr(t))
	}
	return strconv.Atoi(out.String())
}

// offer waits until ledgerd answers, offers the receipts and has the last one
// proved.
func (d *daemon) offer(ctx context.Context, raws [][]byte) error {
	for {
		if _, err := d.client.Status(ctx); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, raw := range raws {
		if _, err := d.client.Submit(ctx, raw); err != nil {
			return err
		}
	}
	_, err := d.client.Export(ctx, "#"+strconv.Itoa(len(raws)))
	return err
}

func init() { tracerMain = traceMain }

// traceMain is the tracer's main. It prints the number of writes seen.
func traceMain() {
	killAt, err := strconv.Atoi(os.Getenv(traceEnv))
	if err == nil {
		tr := &tracer{killAt: killAt, home: os.Args[2]}
		if err = tr.run(); err == nil {
			fmt.Print(tr.writes)
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A tracer runs ledgerd under ptrace and counts its writes to its home folder.
type tracer struct {
	home   string
	killAt int
	pid    int
	writes int
}

// run starts and traces the process until it has ended. One thread does it
// all: the kernel lets no other touch the traced process.
func (tr *tracer) run() error {
	runtime.LockOSThread()
	os.Unsetenv(traceEnv)
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), "LEDGERD_TEST_MAIN=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNotTraced, err)
	}
	tr.pid = cmd.Process.Pid
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() {
		for range terminate {
			_ = syscall.Kill(tr.pid, syscall.SIGTERM)
		}
	}()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(tr.pid, &status, 0, nil); err != nil {
		return fmt.Errorf("%w: %w", errNotTraced, err)
	}
	if err := syscall.PtraceSetOptions(tr.pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return fmt.Errorf("%w: %w", errNotTraced, err)
	}
	if err := syscall.PtraceSyscall(tr.pid, 0); err != nil {
		return err
	}
	return tr.loop()
}

func (tr *tracer) loop() error {
	inside := make(map[int]bool) // threads within a system call
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, syscall.WALL, nil)
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
		deliver := 0
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
			deliver = int(stop)
		}
		if err := syscall.PtraceSyscall(tid, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
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
		return err == nil && strings.HasPrefix(path, tr.home)
	}
	return false
}
