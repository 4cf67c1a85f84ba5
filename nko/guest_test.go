//go:build guest

package nko_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/qemu"
)

func TestMain(m *testing.M) { qemu.GuestMain(m) }

const cgroupRoot = "/sys/fs/cgroup"

func serve(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	nko.Go("serve", func() {
		defer close(done)
		if err := f(ctx); err != context.Canceled {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); <-done })
}

func newReaper(t *testing.T) *nko.Reaper {
	t.Helper()
	r := nko.NewReaper(slog.Default())
	serve(t, r.Serve)
	return r
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// zombies gives the ids of the children of PID 1 that nobody has waited for.
func zombies(t *testing.T) (found []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[0] == "Z" && fields[1] == "1" {
			found = append(found, path)
		}
	}
	return found
}

// orphan has the forker leave a process behind, and gives its id.
func orphan(t *testing.T, r *nko.Reaper, status int) int {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("/bin/forker", "orphan", strconv.Itoa(status))
	cmd.Stdout = &out
	child, err := r.Spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	<-child.Done()
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil || !child.State().Success() {
		t.Fatalf("forker: %v, %q, %v", child.State(), out.String(), err)
	}
	return pid
}

func TestPID1ReapsOrphans(t *testing.T) {
	r := newReaper(t)
	const n = 20
	for i := range n {
		pid := orphan(t, r, i)
		exits, err := r.WaitPID(pid)
		if err != nil {
			t.Fatal(err)
		}
		if e := <-exits; e.PID != pid || e.Code != i || e.Signal != 0 {
			t.Errorf("orphan %d: %+v", i, e)
		}
	}
	if got := r.Orphans(); got != 0 {
		t.Errorf("%d orphans, but each was asked for", got)
	}
	for range n {
		orphan(t, r, 0)
	}
	until(t, "all are reaped and counted", func() bool { return r.Orphans() == n })
	until(t, "no zombie is left", func() bool { return len(zombies(t)) == 0 })
}

func newTree(t *testing.T) nko.CgroupTree {
	t.Helper()
	tree := nko.CgroupTree{Root: cgroupRoot}
	if err := tree.Init(512 << 20); err != nil {
		t.Fatal(err)
	}
	return tree
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestCgroupTree(t *testing.T) {
	newTree(t)
	newTree(t) // again does no harm
	for _, branch := range []string{".", "system", "workloads"} {
		enabled := strings.Fields(read(t, cgroupRoot, branch, "cgroup.subtree_control"))
		for _, c := range []string{"cpu", "io", "memory", "pids"} {
			if !contains(enabled, c) {
				t.Errorf("%s: controller %s is not among %v", branch, c, enabled)
			}
		}
	}
	if got, want := read(t, cgroupRoot, "workloads/memory.max"), strconv.Itoa(512<<20-nko.SystemReserve); got != want {
		t.Errorf("workloads may use %s, want %s", got, want)
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func newSupervisor(t *testing.T) *nko.Supervisor {
	t.Helper()
	s := nko.NewSupervisor(newReaper(t), newTree(t), slog.Default())
	serve(t, s.Serve)
	t.Cleanup(s.Stop)
	return s
}

func TestServiceInItsCgroup(t *testing.T) {
	sup := newSupervisor(t)
	s, err := sup.Add(nko.ServiceSpec{Name: "sleeper", Process: &nko.ProcessSpec{Path: "/bin/forker", Args: []string{"sleep"}, Dir: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it runs", func() bool { return s.Status().State == nko.StateRunning && s.Status().PID != 0 })
	first := s.Status()
	if got := read(t, fmt.Sprintf("/proc/%d/cgroup", first.PID)); got != "0::/system/sleeper" {
		t.Errorf("its cgroup is %q", got)
	}
	if first.Memory == 0 {
		t.Error("it uses no memory")
	}
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is back", func() bool {
		now := s.Status()
		return now.State == nko.StateRunning && now.PID != 0 && now.PID != first.PID && now.Restarts == 1
	})
	if got := s.Status().LastExit; got != "signal: killed" {
		t.Errorf("last exit %q", got)
	}
}

func TestServiceLeavesNothingBehind(t *testing.T) {
	sup := newSupervisor(t)
	s, err := sup.Add(nko.ServiceSpec{Name: "stray", Process: &nko.ProcessSpec{Path: "/bin/forker", Args: []string{"stray"}, Dir: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	stray := 0
	until(t, "it has left a process", func() bool {
		err := s.Log().Follow(t.Context(), false, 1, func(l nko.LogLine) error {
			stray, err = strconv.Atoi(string(l.Text))
			return err
		})
		return err == nil && stray != 0
	})
	if err := unix.Kill(s.Status().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the process in a session of its own is gone, too", func() bool { return unix.Kill(stray, 0) == unix.ESRCH })
	until(t, "no zombie is left", func() bool { return len(zombies(t)) == 0 })
}
