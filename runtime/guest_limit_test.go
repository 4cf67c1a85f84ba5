//go:build guest

package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime"
)

// cgroupFile is a file of the container's cgroup, on the box.
func cgroupFile(t *testing.T, c *runtime.Container, name string) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimPrefix(strings.TrimSpace(string(raw)), "0::")
	raw, err = os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

func TestLimitsAreTheKernels(t *testing.T) {
	b := newBox(t)
	s := spec("wait")
	s.Limits = &entroosv1.Limits{MemoryBytes: 48 << 20, Pids: 33, CpuMilli: 250}
	limited, plain := b.start(s, runtime.IO{}), b.start(spec("wait"), runtime.IO{})
	for _, f := range []struct{ name, limited, plain string }{
		{"memory.max", fmt.Sprint(48 << 20), fmt.Sprint(runtime.DefaultMemoryBytes)},
		{"pids.max", "33", fmt.Sprint(runtime.DefaultPids)},
		{"cpu.max", "25000 100000", "max 100000"},
	} {
		if got := cgroupFile(t, limited, f.name); got != f.limited {
			t.Errorf("%s of the limited is %q, not %q", f.name, got, f.limited)
		}
		if got := cgroupFile(t, plain, f.name); got != f.plain {
			t.Errorf("%s of the other is %q, not %q", f.name, got, f.plain)
		}
	}
}

// TestForkBomb has a container fork without end.
func TestForkBomb(t *testing.T) {
	b := newBox(t)
	const limit = 30
	s := spec("bomb")
	s.Limits = &entroosv1.Limits{Pids: limit}
	out := newLines()
	c := b.start(s, runtime.IO{Stdout: out})
	out.expect(t, "forking")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		events := cgroupFile(t, c, "pids.events")
		if refused, err := strconv.Atoi(strings.TrimPrefix(events, "max ")); err != nil {
			t.Fatalf("pids.events %q", events)
		} else if refused > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s processes, and none was refused", cgroupFile(t, c, "pids.current"))
		}
	}
	if n := cgroupFile(t, c, "pids.current"); n != strconv.Itoa(limit) {
		t.Errorf("%s processes, not %d", n, limit)
	}
	// The box goes on, and others on it.
	if got := b.mustRun(spec("hello")); got != "hello from stdout\n" {
		t.Errorf("another container wrote %q", got)
	}
	cgroup := filepath.Join("/sys/fs/cgroup", b.config.Cgroup)
	if err := c.Kill(t.Context(), int(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	if r := result(t, c); r.Signal != int(unix.SIGKILL) || r.OOMKilled || r.Usage.PidsPeak != limit || r.Err != nil {
		t.Errorf("%+v", r)
	}
	raw, err := os.ReadFile(filepath.Join(cgroup, "pids.current"))
	if err != nil || strings.TrimSpace(string(raw)) != "0" {
		t.Errorf("%s processes are left, %v", raw, err)
	}
}

func TestKernelFilesAreHidden(t *testing.T) {
	b := newBox(t)
	hidden := []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle",
	}
	// Others are not in the box's kernel, or not in this machine.
	sure := []string{"/proc/interrupts", "/proc/keys", "/proc/timer_list", "/sys/firmware"}
	there := command(t, append([]string{"/bin/payload", "look"}, sure...)...)
	if strings.Count(there, " full") != len(sure) {
		t.Errorf("the box itself sees\n%s", there)
	}
	fixed := []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys", "/sys/fs/cgroup"}
	for _, mode := range []string{"bridge", "host"} {
		s := spec(append([]string{"look"}, hidden...)...)
		s.Network = mode
		seen := b.mustRun(s)
		if lines := strings.Count(seen, "\n"); lines != len(hidden) || strings.Contains(seen, " full") {
			t.Errorf("%s: a container sees\n%s", mode, seen)
		}
		for _, name := range sure {
			if !strings.Contains(seen, name+" empty") {
				t.Errorf("%s: %s is not masked:\n%s", mode, name, seen)
			}
		}
		s.Args = append([]string{"look"}, fixed...)
		for line := range strings.Lines(b.mustRun(s)) {
			if !strings.HasSuffix(line, " read-only\n") && !strings.Contains(line, " absent ") && !strings.Contains(line, "/proc/sysrq-trigger unreadable ") {
				t.Errorf("%s: it may write to %s", mode, line)
			}
		}
	}
	// Of its own network namespace the container's root owns the settings, and
	// the mount alone keeps it from them.
	for _, name := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/fs/cgroup/memory.max"} {
		if _, stderr, r := b.run(spec("write", name, "1")); r.ExitCode == 0 || !strings.Contains(stderr, "read-only file system") {
			t.Errorf("written to %s: exit %d, %s", name, r.ExitCode, stderr)
		}
	}
}
