//go:build !guest

package nko

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime"
)

// startReaper makes the test process the reaper of its descendants.
func startReaper(t *testing.T) *Reaper {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatalf("become a subreaper: %v", err)
	}
	r := NewReaper(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	Go("reaper", func() {
		defer close(done)
		if err := r.Serve(ctx); err != context.Canceled {
			t.Errorf("reaper: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// orphan starts a shell that leaves `script` running and ends; it gives the
// orphan's process id. The script begins when its parent has ended.
func orphan(t *testing.T, r *Reaper, script string) int {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cmd := exec.Command("/bin/sh", "-c", `(read gate <&3; `+script+`) >/dev/null & echo $!`)
	cmd.Stdout = w
	cmd.ExtraFiles = []*os.File{gate}
	c, err := r.Spawn(cmd)
	w.Close()
	gate.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestReaperReapsOrphans(t *testing.T) {
	r := startReaper(t)
	pid := orphan(t, r, "exit 3")
	eventually(t, "the orphan is reaped", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
	eventually(t, "the orphan is counted", func() bool { return r.Orphans() == 1 })
	exits, err := r.WaitPID(pid)
	if err != nil {
		t.Fatalf("asking late: %v", err)
	}
	if e := <-exits; e.PID != pid || e.Code != 3 || e.Signal != 0 {
		t.Fatalf("asking late gave %+v", e)
	}
	if n := r.Orphans(); n != 0 {
		t.Fatalf("a claimed exit still counts as an orphan: %d", n)
	}
	if _, err := r.WaitPID(pid); err == nil {
		t.Fatal("an exit was given twice")
	}
}

func TestReaperHandsExitToWhoAsked(t *testing.T) {
	r := startReaper(t)
	for _, tt := range []struct {
		script       string
		kill         unix.Signal
		code, signal int
	}{
		{"exec sleep 100", unix.SIGKILL, 0, 9},
		{"trap 'exit 7' TERM; while :; do :; done", unix.SIGTERM, 7, 0},
	} {
		pid := orphan(t, r, tt.script)
		exits, err := r.WaitPID(pid)
		if err != nil {
			t.Fatal(err)
		}
		// Until its trap is set the shell would die of the signal itself.
		eventually(t, "signal is caught or the process is killed", func() bool {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				return true
			}
			for line := range strings.Lines(string(status)) {
				if hex, ok := strings.CutPrefix(line, "SigCgt:\t"); ok {
					mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
					return err == nil && (tt.kill == unix.SIGKILL || mask&(1<<(uint(tt.kill)-1)) != 0)
				}
			}
			return false
		})
		if err := unix.Kill(pid, tt.kill); err != nil {
			t.Fatal(err)
		}
		if e := <-exits; e.Code != tt.code || e.Signal != tt.signal {
			t.Errorf("%s: %+v", tt.script, e)
		}
	}
	if n := r.Orphans(); n != 0 {
		t.Errorf("%d orphans", n)
	}
}

func TestReaperLeavesOwnedChildrenToTheirOwner(t *testing.T) {
	r := startReaper(t)
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var out bytes.Buffer
			cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))
			cmd.Stdout = &out
			start := r.Start
			if i%2 == 1 {
				start = r.StartLocked
			}
			exits, err := start(cmd)
			if err != nil {
				t.Error(err)
				return
			}
			status, err := r.Wait(cmd, exits)
			if err != nil || status != i || out.String() != fmt.Sprintln(i) {
				t.Errorf("child %d: status %d, output %q, error %v", i, status, out.String(), err)
			}
		})
	}
	wg.Wait()
}

func TestReaperStartFailure(t *testing.T) {
	r := startReaper(t)
	for range 50 {
		if _, err := r.Spawn(exec.Command("/nonexistent")); err == nil {
			t.Fatal("a missing program was started")
		}
		bad := exec.Command("/bin/true")
		bad.Dir = "/nonexistent"
		if _, err := r.Spawn(bad); err == nil {
			t.Fatal("a program was started in a missing folder")
		}
	}
	if n := r.Orphans(); n != 0 {
		t.Fatalf("failed starts left %d orphans", n)
	}
}

// A grandchild that holds the output must neither keep the reaper nor the
// news of the child's own end from others.
func TestReaperIsNotHeldByOpenPipes(t *testing.T) {
	r := startReaper(t)
	cmd := exec.Command("/bin/sh", "-c", "sleep 100 & echo $!; exec 1>&-; exit 0")
	out, w := io.Pipe()
	cmd.Stdout = w
	holder, err := r.Spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	sleeper, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	<-holder.reaped
	other, err := r.Spawn(exec.Command("/bin/true"))
	if err != nil {
		t.Fatal(err)
	}
	<-other.Done()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Alive(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-holder.Done():
		t.Fatal("done before its output ended")
	default:
	}
	if err := unix.Kill(sleeper, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-holder.Done()
	eventually(t, "the grandchild is reaped", func() bool { return r.Orphans() == 1 })
}

func TestReaperHistoryIsBounded(t *testing.T) {
	r := NewReaper(slog.New(slog.DiscardHandler))
	for i := range 3 * exitHistory {
		r.deliver(runtime.Exit{PID: 1 + i%(2*exitHistory), At: time.Unix(int64(i), 0)})
	}
	if len(r.history) != exitHistory || len(r.order) != exitHistory {
		t.Fatalf("%d exits kept, %d in order", len(r.history), len(r.order))
	}
}
