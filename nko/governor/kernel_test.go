package governor_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entroos/entroos/nko/governor"
)

// kernel is a simulated box: files as the kernel shows them, and CPUs that give
// the workloads what they want, within the quota in cpu.max.
type kernel struct {
	testing.TB
	dir   string
	cpus  int
	shown map[string]string // by file

	// What is wanted and used besides, as shares of all CPUs.
	demand, system float64
	// noise moves the counter of the box's CPU time about, by at most that.
	noise time.Duration
	// countedTwice is a share of the workloads' time that counts more than once.
	overhead float64

	making bool // a container

	now               int // periods since the start
	busy, work        time.Duration
	periods, throttle int
	stalled           time.Duration
	stall             float64 // share of the time that all wait for memory
	containers        []*simulatedContainer
	used              func(period int) float64 // extra system use
}

type simulatedContainer struct {
	governor.Container
	used, waited time.Duration
	idle         bool
}

const simulatedPeriod = governor.Period

// memory is a folder in memory, where there is one: much is written.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func newKernel(t testing.TB, cpus int) *kernel {
	dir, err := os.MkdirTemp(memory(), "governor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	k := &kernel{TB: t, dir: dir, cpus: cpus, shown: make(map[string]string)}
	k.write("cgroup/workloads/cpu.max", "max 100000")
	k.write("cgroup/workloads/memory.max", fmt.Sprint(320<<20))
	k.write("cgroup/workloads/memory.current", fmt.Sprint(100<<20))
	k.write("cgroup/workloads/memory.stat", "anon 1\nactive_file 4096\ninactive_file 8192\nslab_reclaimable 0\n")
	k.write("proc/meminfo", "MemTotal:  500000 kB\nMemFree: 1 kB\nMemAvailable: 300000 kB\n")
	k.show()
	return k
}

func (k *kernel) path(name string) string { return filepath.Join(k.dir, name) }

func (k *kernel) write(name, text string) {
	k.Helper()
	if k.shown[name] == text {
		return
	}
	if err := os.MkdirAll(filepath.Dir(k.path(name)), 0o755); err != nil {
		k.Fatal(err)
	}
	if err := os.WriteFile(k.path(name), []byte(text+"\n"), 0o644); err != nil {
		k.Fatal(err)
	}
	if name != "cgroup/workloads/cpu.max" && !strings.HasSuffix(name, "cpu.weight") { // the governor writes these
		k.shown[name] = text
	}
}

func (k *kernel) read(name string) string {
	k.Helper()
	text, err := os.ReadFile(k.path(name))
	if err != nil {
		k.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (k *kernel) add(id string, share uint64) *simulatedContainer {
	c := &simulatedContainer{Container: governor.Container{ID: id, Share: share}}
	k.write("cgroup/workloads/"+id+"/cpu.weight", "10000")
	k.write("cgroup/workloads/"+id+"/cpu.max", "max 100000")
	k.write("cgroup/workloads/"+id+"/memory.max", fmt.Sprint(256<<20))
	k.write("cgroup/workloads/"+id+"/memory.high", fmt.Sprint(240<<20))
	k.containers = append(k.containers, c)
	k.show()
	return k.containers[len(k.containers)-1]
}

// quota is what cpu.max gives, as a share of all CPUs.
func (k *kernel) quota() float64 {
	k.Helper()
	fields := strings.Fields(k.read("cgroup/workloads/cpu.max"))
	if fields[0] == "max" {
		return 1
	}
	q, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		k.Fatal(err)
	}
	p, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		k.Fatal(err)
	}
	return q / p / float64(k.cpus)
}

// tick lets one period of the quota pass.
func (k *kernel) tick() {
	period := float64(simulatedPeriod) * float64(k.cpus)
	system := k.system
	if k.used != nil {
		system += k.used(k.now)
	}
	system = min(1, system)
	q := k.quota()
	got := min(k.demand, q, 1-system)
	k.busy += time.Duration(system*period + got*(1+k.overhead)*period)
	k.work += time.Duration(got * period)
	if q < 1 && k.demand > 0 {
		k.periods++
		if k.demand > q {
			k.throttle++
		}
	}
	var total uint64
	for _, c := range k.containers {
		if !c.idle {
			weight, err := strconv.ParseUint(k.read("cgroup/workloads/"+c.ID+"/cpu.weight"), 10, 64)
			if err != nil {
				k.Fatal(err)
			}
			total += weight
		}
	}
	for _, c := range k.containers {
		if c.idle {
			continue
		}
		weight, _ := strconv.ParseUint(k.read("cgroup/workloads/"+c.ID+"/cpu.weight"), 10, 64)
		used := time.Duration(got * period * float64(weight) / float64(total))
		c.used += used
		c.waited += max(0, simulatedPeriod-used)
	}
	k.stalled += time.Duration(k.stall * float64(simulatedPeriod))
	k.now++
	k.show()
}

// show writes the kernel's files.
func (k *kernel) show() {
	busy := k.busy
	if k.noise > 0 {
		busy += time.Duration(float64(k.noise) * (1 + math.Sin(float64(k.now)*1.7)) / 2)
	}
	k.write("cgroup/cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec 1\nsystem_usec 2", busy.Microseconds()))
	k.write("cgroup/workloads/cpu.stat", fmt.Sprintf("usage_usec %d\nnr_periods %d\nnr_throttled %d\nthrottled_usec 1", k.work.Microseconds(), k.periods, k.throttle))
	for _, r := range []string{"cpu", "memory", "io"} {
		stalled := time.Duration(0)
		if r == "memory" {
			stalled = k.stalled
		}
		k.write("proc/pressure/"+r, fmt.Sprintf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=%[1]d", stalled.Microseconds()))
	}
	for _, c := range k.containers {
		k.write("cgroup/workloads/"+c.ID+"/cpu.stat", fmt.Sprintf("usage_usec %d\nnr_periods 0\nnr_throttled 0", c.used.Microseconds()))
		k.write("cgroup/workloads/"+c.ID+"/cpu.pressure", fmt.Sprintf("some avg10=0.00 total=%d\nfull total=0", c.waited.Microseconds()))
	}
}

// run lets time pass.
func (k *kernel) run(d time.Duration) {
	k.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(simulatedPeriod)
		synctest.Wait() // the governor does not look at files that change
		k.tick()
	}
}

// utilisation is the box's over some time from now, without the counter's noise.
func (k *kernel) utilisation(d time.Duration) float64 {
	k.Helper()
	busy, at := k.busy, time.Now()
	k.run(d)
	return float64(k.busy-busy) / float64(time.Since(at)) / float64(k.cpus)
}

func (k *kernel) config(target float64) governor.Config {
	return governor.Config{
		Cgroup: k.path("cgroup"), Proc: k.path("proc"), Sys: k.path("sys"), CPUs: k.cpus, Target: target,
		Containers: func() (all []governor.Container) {
			for _, c := range k.containers {
				all = append(all, c.Container)
			}
			return all
		},
		Making: func() bool { return k.making },
		Logger: slog.New(slog.DiscardHandler),
	}
}

// simulate has a governor serve on a simulated box, in simulated time.
func simulate(t *testing.T, cpus int, target float64, f func(k *kernel, g *governor.Governor)) {
	t.Helper()
	k := newKernel(t, cpus)
	synctest.Test(t, func(t *testing.T) {
		k.TB = t
		g, err := governor.New(k.config(target))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Serve(ctx) }()
		synctest.Wait()
		f(k, g)
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("it ended with %v", err)
		}
		if got := k.read("cgroup/workloads/cpu.max"); got != "max" {
			t.Errorf("cpu.max is left as %q", got)
		}
	})
}
