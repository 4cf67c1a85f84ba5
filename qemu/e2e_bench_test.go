//go:build vm

package qemu_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkBoot measures power-on to ready, as a watch beside the machine
// sees it and as the box tells it (from the kernel's start), and what memory
// is in use when every service runs and nothing else does.
func BenchmarkBoot(b *testing.B) {
	var watch, told, memory float64
	for range b.N {
		machine := newBox(b, nil)
		start := time.Now()
		seconds, err := strconv.ParseFloat(machine.powerOn(), 64)
		if err != nil {
			b.Fatal(err)
		}
		watch += time.Since(start).Seconds()
		told += seconds
		var status struct {
			Total     uint64 `json:"memory_total_bytes"`
			Available uint64 `json:"memory_available_bytes"`
		}
		machine.get(&status, "status")
		memory += float64(status.Total-status.Available) / (1 << 20)
		machine.powerOff()
	}
	n := float64(b.N)
	b.ReportMetric(watch/n, "s-power-on-to-ready")
	b.ReportMetric(told/n, "s-kernel-to-ready")
	b.ReportMetric(memory/n, "MiB-in-use-idle")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRun measures a job from the command to its receipt on disk: image
// resolved, container made, /bin/true run, receipt signed and synced.
func BenchmarkRun(b *testing.B) {
	machine := boot(b, nil)
	machine.importFixture("busybox.tar")
	machine.run("run", "--rm", "busybox", "true")
	for b.Loop() {
		machine.run("run", "--rm", "busybox", "true")
	}
}

// BenchmarkSize reports the sizes of what is flashed and what is updated.
func BenchmarkSize(b *testing.B) {
	version, err := os.ReadFile("../VERSION")
	if err != nil {
		b.Fatal(err)
	}
	for name, unit := range map[string]string{
		"entroos-" + strings.TrimSpace(string(version)) + ".efi": "MB-UKI",
		"entroos.img": "MB-disk-image-apparent",
	} {
		info, err := os.Stat(built(b, name))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, unit)
	}
	b.ReportMetric(0, "ns/op")
}
