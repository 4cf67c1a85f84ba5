//go:build vm

package qemu_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// usage is what `top --json` tells.
type usage struct {
	Time time.Time
	Box  struct {
		CPU uint64 `json:"cpu_micros"`
	}
	Containers []struct {
		Name string
		CPU  uint64 `json:"cpu_micros"`
	}
	Services []struct {
		Name string
		CPU  uint64 `json:"cpu_micros"`
	}
	Resources struct {
		Target, Utilisation, Quota float64
		ThrottleRatio              float64 `json:"throttle_ratio"`
	}
	CPUs int
}

// share is the part of the box's CPUs that was used between two looks, by the
// counters of the kernel's that have nothing to do with the governor's quota;
// own is what cgroups and PID 1 account for, to the nanosecond.
func share(before, after usage) (whole, own float64) {
	elapsed := float64(after.Time.Sub(before.Time).Microseconds()) * float64(after.CPUs)
	for _, c := range after.Containers {
		own += float64(c.CPU)
	}
	for _, c := range before.Containers {
		own -= float64(c.CPU)
	}
	for _, s := range after.Services {
		own += float64(s.CPU)
	}
	for _, s := range before.Services {
		own -= float64(s.CPU)
	}
	return float64(after.Box.CPU-before.Box.CPU) / elapsed, own / elapsed
}

// watch looks at the box's use over some time.
func (b *box) watch(d time.Duration) (before, after usage) {
	b.Helper()
	b.get(&before, "top")
	time.Sleep(d)
	b.get(&after, "top")
	return before, after
}

func (u usage) container(t testing.TB, name string) float64 {
	t.Helper()
	for _, c := range u.Containers {
		if c.Name == name {
			return float64(c.CPU)
		}
	}
	t.Fatalf("no container %s in %+v", name, u)
	return 0
}

// TestGovernor has containers want all there is: with the settings as they come
// the box uses a fifth of its CPU, divided by the containers' weights, while
// more containers start; without a target they get what they want.
func TestGovernor(t *testing.T) {
	const (
		settle = 12 * time.Second
		window = 30 * time.Second
		busy   = "while :; do :; done"
	)
	b := boot(t, func(c *qemu.Config) { c.SMBIOS = []string{targetOption} })
	b.importFixture("busybox.tar")
	start := time.Now()
	b.run("run", "--rm", "busybox", "true")
	t.Logf("a job on an idle box takes %.1f s", time.Since(start).Seconds())
	b.run("run", "-d", "--name", "one", "--cpu-shares", "1024", "busybox", "sh", "-c", busy)
	b.run("run", "-d", "--name", "three", "--cpu-shares", "3072", "busybox", "sh", "-c", busy)
	near := func(what string, target, off float64) {
		t.Helper()
		time.Sleep(settle)
		before, after := b.watch(window)
		whole, own := share(before, after)
		t.Logf("%s: %.2f %% by the kernel's count of the whole box, %.2f %% by that of its parts; the box says %.2f %%, quota %.2f %%, throttled in %.0f %%",
			what, whole*100, own*100, after.Resources.Utilisation*100, after.Resources.Quota*100, after.Resources.ThrottleRatio*100)
		if math.Abs(whole-target) > off {
			t.Errorf("%s: the box uses %.2f %% of its CPU, not %.0f %% ± %.0f", what, whole*100, target*100, off*100)
		}
		if after.Resources.Target != target {
			t.Errorf("%s: its target is %v, not %v", what, after.Resources.Target, target)
		}
		one := after.container(t, "one") - before.container(t, "one")
		three := after.container(t, "three") - before.container(t, "three")
		if ratio := three / one; ratio < 2.7 || ratio > 3.3 {
			t.Errorf("%s: containers of weights 1:3 got CPU 1:%.2f", what, ratio)
		}
	}
	near("by default", 0.2, 0.01)
	b.until("a judgement of the step", func() (bool, string) {
		time.Sleep(settle) // each look is a load of its own
		out, _, _ := b.try("equations", "check", "--json")
		return !strings.Contains(out, "stayed for 10 s"), out
	})
	b.checkRows(22, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 39)
	if out := b.run("status"); !strings.Contains(out, "target 20 %") {
		t.Errorf("status does not tell the target:\n%s", out)
	}

	// A container that is being made is not at the end of the others' queue.
	start = time.Now()
	b.run("run", "--rm", "busybox", "true")
	t.Logf("a job on a saturated box takes %.1f s", time.Since(start).Seconds())

	b.run("config", "set", "resources.target", "0.4")
	near("with another target", 0.4, 0.02)
	b.run("config", "set", "resources.target", "1")
	b.until("full speed without a target", func() (bool, string) {
		// On a busy host, ticks of the machine's clock are lost.
		whole, _ := share(b.watch(5 * time.Second))
		return whole > 0.5, fmt.Sprint(whole)
	})
	start = time.Now()
	b.run("run", "--rm", "busybox", "true")
	t.Logf("a job on a box without a target takes %.1f s beside two busy containers", time.Since(start).Seconds())
	b.run("stop", "-t", "1", "one", "three")
	start = time.Now()
	b.run("run", "--rm", "busybox", "true")
	t.Logf("and %.1f s alone", time.Since(start).Seconds())
}

// checkRows fails unless these rows of the model apply to the box, and hold.
func (b *box) checkRows(rows ...int) {
	b.Helper()
	var answer struct {
		Checks []struct {
			Number            int
			Name, State, Seen string
		}
	}
	stdout, stderr, _ := b.try("equations", "check", "--json") // 1 when a row fails
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		b.Fatalf("equations check: %v in %s%s", err, stdout, stderr)
	}
	seen := 0
	for _, c := range answer.Checks {
		if !slices.Contains(rows, c.Number) {
			if c.State == "fail" {
				b.Errorf("row %d, %s, does not hold: %s", c.Number, c.Name, c.Seen)
			}
			continue
		}
		seen++
		b.Logf("row %d, %s: %s, %s", c.Number, c.Name, c.State, c.Seen)
		if c.State != "pass" {
			b.Errorf("row %d, %s, is %q: %s", c.Number, c.Name, c.State, c.Seen)
		}
	}
	if seen != len(rows) {
		b.Errorf("%d of %d rows were checked", seen, len(rows))
	}
}
