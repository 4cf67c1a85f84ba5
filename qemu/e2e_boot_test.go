//go:build vm

package qemu_test

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/qemu"
)

type status struct {
	State        string   `json:"state"`
	Problems     []string `json:"problems"`
	ChainID      string   `json:"chain_id"`
	GenesisHash  string   `json:"genesis_hash"`
	BootDisk     string   `json:"boot_disk"`
	DataDevice   string   `json:"data_device"`
	Waiting      uint64   `json:"receipts_waiting"`
	Committed    uint64   `json:"receipts_committed"`
	OrphansTaken uint64   `json:"orphans_reaped"`
	DataFree     uint64   `json:"data_free_bytes"`
	LogsStored   uint64   `json:"logs_stored_bytes"`
}

func (b *box) status() status {
	b.Helper()
	var s status
	b.get(&s, "status")
	return s
}

// checkReady fails the test unless the box is ready with its data on device.
func (b *box) checkReady(device string) {
	b.Helper()
	s := b.status()
	if s.State != "ready" || len(s.Problems) != 0 {
		b.Errorf("state is %q with problems %q, want ready without any", s.State, s.Problems)
	}
	if s.DataDevice != device {
		b.Errorf("data is on %q, want %q", s.DataDevice, device)
	}
}

func TestReboot(t *testing.T) {
	t.Parallel()
	b := boot(t, nil)
	b.importFixture("busybox.tar")
	b.run("run", "-d", "--name", "faithful", "--restart", "unless-stopped", "busybox", "sleep", "1000000")
	before := b.status()
	b.run("reboot")
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if _, err := b.vm.Expect(ctx, readyLine); err != nil {
		t.Fatal(err)
	}
	after := b.status()
	if after.ChainID != before.ChainID || after.GenesisHash != before.GenesisHash {
		t.Errorf("the box came back as chain %s (%s), was %s (%s)", after.ChainID, after.GenesisHash, before.ChainID, before.GenesisHash)
	}
	b.checkReady("/dev/vda4")
	b.checkPrevious("reboot")
	// What ran was ended in order, has its receipt, and runs again.
	if r := b.receipts(1)[0]; r.Outcome != "signaled" {
		t.Errorf("the receipt of a container that the reboot ended says %+v", r)
	}
	b.until("the container to run again", func() (bool, string) {
		out := b.run("ps")
		return strings.Contains(out, "faithful"), out
	})
}

// TestOwnDataBesideSecondDisk attaches another EntroOS disk, before and after
// the box's own in the kernel's order: the box mounts its own data.
func TestOwnDataBesideSecondDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := qemu.Disk{Image: built(t, "entroos.img"), File: dir + "/own.img", Raw: true}
	b := boot(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{own} })
	chain := b.status().ChainID
	b.powerOff()
	// The other disk is another box's: same system, its own partition GUIDs.
	other := qemu.Disk{Image: built(t, "entroos.img"), File: dir + "/other.img", Raw: true}
	spare := boot(t, func(c *qemu.Config) { c.Disks = []qemu.Disk{other} })
	otherChain := spare.status().ChainID
	spare.powerOff()
	if chain == otherChain {
		t.Fatalf("two boxes have one chain id, %s", chain)
	}
	if out, err := exec.Command("sgdisk", "-G", other.File).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v: %s", err, out)
	}

	for _, disks := range [][]qemu.Disk{{own, other}, {other, own}} {
		first := boot(t, func(c *qemu.Config) { c.Disks = disks })
		want := chain
		if disks[0].File == other.File {
			want = otherChain
		}
		s := first.status()
		if s.ChainID != want || s.State != "ready" {
			t.Errorf("booted from %s: state %q, chain %q, want ready and %q", disks[0].File, s.State, s.ChainID, want)
		}
		first.powerOff()
	}
}

// TestTwinDisks boots with a copy of the box's own disk attached: neither
// data partition is touched, and the box says why.
func TestTwinDisks(t *testing.T) {
	t.Parallel()
	b := newBox(t, func(c *qemu.Config) {
		c.Disks = append(c.Disks, qemu.Disk{Image: c.Disks[0].Image})
	})
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.vm.Expect(ctx, regexp.MustCompile(`entroos: degraded`)); err != nil {
		t.Fatal(err)
	}
	s := b.status()
	if s.State != "degraded" || len(s.Problems) == 0 {
		t.Errorf("state is %q with problems %q, want degraded and why", s.State, s.Problems)
	}
	if s.DataDevice != "" {
		t.Errorf("data is mounted from %s", s.DataDevice)
	}
}

// TestServices reaches the admin API through vsock's loopback, which the box
// takes only when the hypervisor said so (TestJob's does not), and kills
// services; their supervisor brings them back.
func TestServices(t *testing.T) {
	t.Parallel()
	b := boot(t, func(c *qemu.Config) { c.SMBIOS = []string{"entroos.vsock_loopback=1"} })
	if out := b.run("--admin", "vsock:1:1024", "version"); !strings.Contains(out, "6.12") {
		t.Errorf("version over vsock printed %q", out)
	}
	for _, name := range []string{"ledgerd", "ntp"} {
		before := b.service(name)
		b.run("services", "kill", name)
		b.until(name+" to come back", func() (bool, string) {
			now := b.service(name)
			up := now.State == "running" || now.State == "waiting"
			return up && now.PID != before.PID && now.PID != 0 && now.Restarts > before.Restarts, now.State
		})
	}
}

type service struct {
	Name     string
	State    string
	PID      int
	Restarts int
}

func (b *box) service(name string) service {
	b.Helper()
	var all []service
	b.get(&all, "services")
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	b.Fatalf("no service %q in %+v", name, all)
	return service{}
}

// powerOff powers the box off in order, and waits until it is.
func (b *box) powerOff() {
	b.Helper()
	b.run("poweroff")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.vm.Wait(ctx); err != nil {
		b.Fatal(err)
	}
}
