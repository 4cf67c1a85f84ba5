//go:build vm

package qemu_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/entroos/entroos/qemu"
)

// The boot matrix: how the disk is attached, what CPU, how many, what network
// card, all in 512 MiB. Four machines meet every pair of a CPU model, a card and
// a number of CPUs with each other, and each disk once.

// bootMatrix boots such a machine, which has to become ready with its data on
// device, get an address, and run a container.
func bootMatrix(t *testing.T, device string, disk qemu.Interface, cpu string, cpus int, card string) *box {
	t.Helper()
	t.Parallel()
	b := boot(t, func(c *qemu.Config) {
		c.Disks[0].Interface = disk
		c.CPU, c.CPUs, c.Network.Model, c.MemoryMB = cpu, cpus, card, 512
	})
	b.checkReady(device)
	b.importFixture("busybox.tar")
	if out := b.run("run", "--rm", "busybox", "nproc"); strings.TrimSpace(out) != string(rune('0'+cpus)) {
		t.Errorf("a container sees %q CPUs, want %d", out, cpus)
	}
	if r := b.receipts(1)[0]; r.Outcome != "exited" || r.ExitCode != 0 {
		t.Errorf("its receipt says %+v", r)
	}
	return b
}

func TestBootFromVirtioDisk(t *testing.T) {
	b := bootMatrix(t, "/dev/vda4", qemu.Virtio, "SandyBridge", 1, "virtio-net-pci")

	// The serial console takes the same words.
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos> `)); err != nil {
		t.Fatal(err)
	}
	if err := b.vm.Send("version\r"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`(?i)kernel:?\s+6\.12`)); err != nil {
		t.Fatal(err)
	}
	if err := b.vm.Send("poweroff\r"); err != nil {
		t.Fatal(err)
	}
	if err := b.vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestBootFromUSBDisk(t *testing.T) {
	b := bootMatrix(t, "/dev/sda4", qemu.USB, "Haswell", 2, "virtio-net-pci")

	// Screen and keyboard are a console too.
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	for _, key := range append(strings.Split("poweroff", ""), "ret") {
		err := b.vm.QMP(ctx, "human-monitor-command", map[string]string{"command-line": "sendkey " + key}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestBootFromSATADisk(t *testing.T) {
	bootMatrix(t, "/dev/sda4", qemu.SATA, "SandyBridge", 2, "e1000e").powerOff()
}

func TestBootFromNVMeDisk(t *testing.T) {
	bootMatrix(t, "/dev/nvme0n1p4", qemu.NVMe, "Haswell", 1, "e1000e").powerOff()
}
