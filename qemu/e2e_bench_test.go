//go:build vm

package qemu_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

// series is what was measured several times.
type series []float64

// report reports the median of the series, and its least and greatest values.
func (s series) report(b *testing.B, unit string) {
	b.Helper()
	if len(s) == 0 {
		b.Fatalf("nothing was measured in %s", unit)
	}
	s = slices.Sorted(slices.Values(s))
	b.ReportMetric(s[len(s)/2], unit)
	if len(s) > 1 {
		b.ReportMetric(s[0], unit+"-min")
		b.ReportMetric(s[len(s)-1], unit+"-max")
	}
}

// BenchmarkBoot measures power-on to ready, as a watch beside the machine
// sees it and as the box tells it (from the kernel's start).
func BenchmarkBoot(b *testing.B) {
	var watch, told series
	for range b.N {
		machine := newBox(b, nil)
		start := time.Now()
		seconds, err := strconv.ParseFloat(machine.powerOn(), 64)
		if err != nil {
			b.Fatal(err)
		}
		watch = append(watch, time.Since(start).Seconds())
		told = append(told, seconds)
		machine.powerOff()
	}
	watch.report(b, "s-power-on-to-ready")
	told.report(b, "s-kernel-to-ready")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGrowth measures how long the first boot takes to make the data
// partition and its file system as large as a sparse disk of 1 TB.
func BenchmarkGrowth(b *testing.B) {
	var times series
	for range b.N {
		machine := boot(b, func(c *qemu.Config) { c.Disks[0].Size = terabyte })
		times = append(times, machine.checkGrowth())
		machine.powerOff()
	}
	times.report(b, "s-growth-to-1TB")
	b.ReportMetric(0, "ns/op")
}

// idleTime is how long an idle box is watched, after as long to settle.
const idleTime = 30 * time.Second

// BenchmarkIdle measures what the box uses with every service running, its clock
// set and no container, in 512 MiB: memory (MemTotal − MemAvailable) and CPU in percent of
// one core.
func BenchmarkIdle(b *testing.B) {
	machine := boot(b, func(c *qemu.Config) { addTimeServer(b, c) })
	machine.run("config", "set", "time.servers", "[10.0.2.2]")
	machine.until("the time", func() (bool, string) {
		log := machine.serviceLog("ntp")
		return strings.Contains(log, "clock set to"), log
	})
	time.Sleep(idleTime) // what the boot started shall have ended
	var cpu, memory series
	for range b.N {
		cpu = append(cpu, machine.cpuPercent(idleTime))
		memory = append(memory, machine.memoryInUse())
	}
	cpu.report(b, "%CPU-idle")
	memory.report(b, "MiB-in-use-idle")
	b.ReportMetric(0, "ns/op")
}

// cpuPercent is the CPU that the box uses meanwhile, the kernel's included, in
// percent of one core. It is asked for in one command, whose own start does not
// count.
func (b *box) cpuPercent(d time.Duration) float64 {
	b.Helper()
	out := b.run("top", "--once", "--interval", d.String())
	match := regexp.MustCompile(`CPU +([0-9.]+) %`).FindStringSubmatch(out)
	if match == nil {
		b.Fatalf("top does not tell the box's CPU:\n%s", out)
	}
	percent, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return percent
}

// memoryInUse is MemTotal − MemAvailable in MiB.
func (b *box) memoryInUse() float64 {
	b.Helper()
	var status struct {
		Total     uint64 `json:"memory_total_bytes"`
		Available uint64 `json:"memory_available_bytes"`
	}
	b.get(&status, "status")
	return float64(status.Total-status.Available) / (1 << 20)
}

// BenchmarkRun measures a job from the command to its receipt on disk: image
// resolved, container made, /bin/true run, receipt signed and synced.
func BenchmarkRun(b *testing.B) {
	machine := boot(b, nil)
	machine.importFixture("busybox.tar")
	machine.run("run", "--rm", "busybox", "true")
	var times series
	for range max(b.N, 7) {
		start := time.Now()
		machine.run("run", "--rm", "busybox", "true")
		times = append(times, time.Since(start).Seconds())
	}
	times.report(b, "s-job")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkContainers measures how a container's start and the memory in use
// grow with 1, 10 and 100 containers running, in 1 GiB.
func BenchmarkContainers(b *testing.B) {
	machine := boot(b, func(c *qemu.Config) { c.MemoryMB = 1024 })
	machine.importFixture("busybox.tar")
	machine.run("run", "--rm", "busybox", "true")
	empty := machine.memoryInUse()
	var times series
	for _, n := range []int{1, 10, 100} {
		for len(times) < n {
			start := time.Now()
			machine.run("run", "-d", "busybox", "sleep", "1000000")
			times = append(times, time.Since(start).Seconds())
		}
		last := times[max(0, n-10):]
		slices.Sort(last)
		b.ReportMetric(last[len(last)/2], fmt.Sprintf("s-start-of-%dth", n))
		b.ReportMetric((machine.memoryInUse()-empty)/float64(n), fmt.Sprintf("MiB-each-of-%d", n))
	}
	b.ReportMetric(0, "ns/op")
}

var (
	peerLine = regexp.MustCompile(`bench ([a-z_]+) ([0-9.]+)\r?\n`)
	// peerDeadline is for one boot of the peer and its measurements.
	peerDeadline = 15 * time.Minute
)

// BenchmarkDebian measures the same of Debian with podman, in the same machine.
// Its numbers come from a script on it (see bench_peer.sh): ready is when
// multi-user.target was reached, run_s is `podman run --rm busybox true`.
func BenchmarkDebian(b *testing.B) {
	measured := make(map[string]series)
	for range b.N {
		peer, err := qemu.New(qemu.Config{Disks: []qemu.Disk{{Image: built(b, "peer.img")}}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if b.Failed() {
				b.Logf("serial console:\n%s", peer.Transcript())
			}
			if err := peer.Close(); err != nil {
				b.Error(err)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), peerDeadline)
		defer cancel()
		start := time.Now()
		if err := peer.Start(ctx); err != nil {
			b.Fatal(err)
		}
		for {
			found, err := peer.Expect(ctx, peerLine)
			if err != nil {
				b.Fatal(err)
			}
			name := found[1]
			value, err := strconv.ParseFloat(found[2], 64)
			if err != nil {
				b.Fatal(err)
			}
			if name == "end" {
				break
			}
			if name == "ready_s" {
				measured["power_on_to_ready_s"] = append(measured["power_on_to_ready_s"], time.Since(start).Seconds())
			}
			measured[name] = append(measured[name], value)
		}
		if err := peer.PowerCut(); err != nil {
			b.Fatal(err)
		}
	}
	for name, unit := range map[string]string{
		"power_on_to_ready_s": "s-power-on-to-ready", "ready_s": "s-kernel-to-ready", "idle_cpu_percent": "%CPU-idle",
		"idle_memory_mib": "MiB-in-use-idle", "run_s": "s-job",
	} {
		measured[name].report(b, unit)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSize reports the sizes of what is flashed and what is updated.
func BenchmarkSize(b *testing.B) {
	version, err := os.ReadFile("../VERSION")
	if err != nil {
		b.Fatal(err)
	}
	for name, unit := range map[string]string{
		"entroos-" + strings.TrimSpace(string(version)) + ".efi": "MB-UKI",
		"entroos.img.zst": "MB-disk-image-compressed",
	} {
		info, err := os.Stat(built(b, name))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, unit)
	}
	b.ReportMetric(0, "ns/op")
}
