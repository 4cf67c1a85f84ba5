//go:build guest

package runtime_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

func TestJob(t *testing.T) {
	b := newBox(t)
	stdout, stderr, r := b.run(spec())
	if stdout != "hello from stdout\n" || stderr != "hello from stderr\n" {
		t.Errorf("output %q, %q", stdout, stderr)
	}
	if r.StdoutDigest != sha256.Sum256([]byte(stdout)) || r.StderrDigest != sha256.Sum256([]byte(stderr)) {
		t.Error("the digests are not the output's")
	}
	if r.ExitCode != 0 || r.Signal != 0 || r.OOMKilled || r.Err != nil {
		t.Errorf("%+v", r)
	}
	if _, _, r := b.run(spec("exit", "42")); r.ExitCode != 42 || r.Signal != 0 {
		t.Errorf("exit %d, signal %d", r.ExitCode, r.Signal)
	}
}

func TestConfinement(t *testing.T) {
	b := newBox(t)
	first := b.start(spec("wait"), runtime.IO{}) // it has the first range of ids
	status := b.mustRun(spec("status"))
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "pid: 1", "CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb"} {
		if !strings.Contains(status, want) {
			t.Errorf("the status lacks %q:\n%s", want, status)
		}
	}
	var inside, outside, size, other int
	if _, err := fmt.Sscanf(status, "/proc/self/uid_map: %d %d %d", &inside, &outside, &size); err != nil {
		t.Fatal(err)
	}
	raw := command(t, "/bin/payload", "cat", fmt.Sprintf("/proc/%d/uid_map", first.PID()))
	if _, err := fmt.Sscan(raw, &inside, &other, &size); err != nil {
		t.Fatal(err)
	}
	if inside != 0 || size != 65536 || outside < 1<<20 || other < 1<<20 || outside == other {
		t.Errorf("ids %d+%d and %d+%d", outside, size, other, size)
	}
	dropped := spec("status")
	dropped.CapDrop = []string{"all"}
	if status := b.mustRun(dropped); !strings.Contains(status, "CapEff:\t0000000000000000") {
		t.Error("capabilities are left when all are dropped")
	}
	user := spec("status")
	user.User = "worker"
	if status := b.mustRun(user); !strings.Contains(status, "CapEff:\t0000000000000000") || !strings.Contains(status, "Uid:\t1000\t1000") {
		t.Errorf("a user has root's capabilities:\n%s", status)
	}
}

func TestRootFileSystem(t *testing.T) {
	b := newBox(t)
	if got, want := b.mustRun(spec("stat", "/", "/bin/payload", "/home/worker/own")), "/ 0:0 40755\n/bin/payload 0:0 100755\n/home/worker/own 1000:1000 100600\n"; got != want {
		t.Errorf("owners\n%s, not\n%s", got, want)
	}
	if got := b.mustRun(spec("cat", "/etc/here")); got != "of the upper layer\n" {
		t.Errorf("the upper layer's file holds %q", got)
	}
	if _, _, r := b.run(spec("cat", "/etc/gone")); r.ExitCode == 0 {
		t.Error("a file that the upper layer deletes is there")
	}
	readOnly := spec("write", "/file", "text")
	readOnly.ReadOnly = true
	if _, stderr, r := b.run(readOnly); r.ExitCode == 0 || !strings.Contains(stderr, "read-only") {
		t.Errorf("a read-only root file system was written to: %s", stderr)
	}

	// What a container writes is there when it runs again, and nowhere else.
	id := b.id()
	for _, args := range [][]string{{"write", "/etc/passwd", "changed"}, {"cat", "/etc/passwd"}} {
		w, err := b.Resolve(spec(args...))
		if err != nil {
			t.Fatal(err)
		}
		out := newLines()
		c, err := b.Create(t.Context(), id, w, runtime.IO{Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := result(t, c); r.ExitCode != 0 {
			t.Fatalf("%v: exit %d", args, r.ExitCode)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if args[0] == "cat" && out.String() != "changed\n" {
			t.Errorf("it finds %q", out)
		}
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if got := b.mustRun(spec("cat", "/etc/passwd")); !strings.HasPrefix(got, "root:") {
		t.Errorf("another container sees %q", got)
	}
}

func TestUsersAndEnvironment(t *testing.T) {
	b := newBox(t)
	s := spec("ids")
	s.User = "worker"
	if got := b.mustRun(s); got != "1000 1000 [29]\n" {
		t.Errorf("ids %q", got)
	}
	s = spec("env")
	s.Env, s.Cwd, s.User = []string{"MINE=1"}, "/tmp", "worker"
	got := b.mustRun(s)
	for _, want := range []string{"cwd: /tmp", "FROM=image", "MINE=1", "HOME=/home/worker", "PATH=/usr/local/sbin:"} {
		if !strings.Contains(got, want) {
			t.Errorf("the environment lacks %q:\n%s", want, got)
		}
	}
	s = spec("reopen")
	s.User = "worker"
	if got := b.mustRun(s); got != "reopened\n" {
		t.Errorf("/dev/stdout gave %q", got)
	}
}

func TestFailures(t *testing.T) {
	b := newBox(t)
	w, err := b.Resolve(&entroosv1.WorkloadSpec{Image: testImage, Entrypoint: []string{"/no/such"}, SetEntrypoint: true})
	if err != nil {
		t.Fatal(err)
	}
	id := b.id()
	if _, err := b.Create(t.Context(), id, w, runtime.IO{}); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	// It was never started.
	c := b.create(b.id(), spec("hello"), runtime.IO{})
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if r := result(t, c); r.Signal != int(unix.SIGKILL) {
		t.Errorf("%+v", r)
	}
	if mounts := command(t, "/bin/payload", "cat", "/proc/self/mountinfo"); strings.Contains(mounts, "/bundles/") {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

func TestMemoryRunsOut(t *testing.T) {
	b := newBox(t)
	s := spec("eat", "100")
	s.Limits = &entroosv1.Limits{MemoryBytes: 32 << 20}
	_, _, r := b.run(s)
	if !r.OOMKilled || r.Signal != int(unix.SIGKILL) || r.ExitCode != 137 {
		t.Errorf("%+v", r)
	}
	if peak := r.Usage.MemoryPeakBytes; peak < 24<<20 || peak > 33<<20 {
		t.Errorf("peak of memory %d", peak)
	}
	s.Args = []string{"eat", "10"}
	if _, _, r := b.run(s); r.OOMKilled || r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
}

func TestKilled(t *testing.T) {
	b := newBox(t)
	out := newLines()
	c := b.start(spec("wait"), runtime.IO{Stdout: out})
	out.expect(t, "waiting")
	if err := c.Kill(t.Context(), int(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.Signal != int(unix.SIGKILL) || r.ExitCode != 137 || r.OOMKilled {
		t.Errorf("%+v", r)
	}
	if err := c.Kill(t.Context(), int(unix.SIGKILL)); err == nil {
		t.Error("a container that has ended can be killed")
	}
}

func TestStop(t *testing.T) {
	b := newBox(t)
	out := newLines()
	c := b.start(spec("wait"), runtime.IO{Stdout: out})
	out.expect(t, "waiting")
	if err := c.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if r := c.Result(); r.ExitCode != 7 || r.Signal != 0 {
		t.Errorf("%+v", r)
	}
	out = newLines()
	c = b.start(spec("ignore"), runtime.IO{Stdout: out})
	out.expect(t, "ignoring")
	if err := c.Stop(t.Context(), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r := c.Result(); r.Signal != int(unix.SIGKILL) || r.Finished.Sub(r.Started) < 300*time.Millisecond {
		t.Errorf("%+v", r)
	}
}

func TestUsage(t *testing.T) {
	b := newBox(t)
	_, stderr, r := b.run(spec("spin", "300"))
	if r.ExitCode != 0 {
		t.Fatalf("exit %d: %s", r.ExitCode, stderr)
	}
	u := r.Usage
	t.Logf("%+v", u)
	if cpu := u.CPUUserMicros + u.CPUSystemMicros; cpu < 300_000 || cpu > 3_000_000 {
		t.Errorf("CPU %d µs", cpu)
	}
	if u.IOWriteBytes < 1<<20 || u.IOWriteBytes == runtime.NotMeasured || u.IOReadBytes == runtime.NotMeasured {
		t.Errorf("I/O %d, %d", u.IOReadBytes, u.IOWriteBytes)
	}
	if u.PidsPeak < 1 || u.PidsPeak > 100 || u.MemoryPeakBytes < 1<<20 || u.MemoryPeakBytes > 256<<20 || u.WallMicros < 300_000 {
		t.Errorf("%+v", u)
	}
}

func TestParallel(t *testing.T) {
	b := newBox(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := b.id()
			w, err := b.Resolve(spec("exit", fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			c, err := b.Create(t.Context(), id, w, runtime.IO{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Start(t.Context()); err != nil {
				t.Error(err)
			}
			<-c.Done()
			if r := c.Result(); r.ExitCode != i || r.Err != nil {
				t.Errorf("container %d: %+v", i, r)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := b.Remove(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
