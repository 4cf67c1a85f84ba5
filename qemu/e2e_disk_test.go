//go:build vm

package qemu_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/appliance/blockdev"
	"github.com/entroos/entroos/qemu"
)

const terabyte = 1 << 40

// TestFirstBootGrowsThroughPowerCuts puts the image on a disk of 1 TB and cuts
// the power twice while the first boot makes the data partition as large: the
// box comes up with all of it, in time, and both table and file system are well.
func TestFirstBootGrowsThroughPowerCuts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	file := filepath.Join(t.TempDir(), "disk")
	b := newBox(t, func(c *qemu.Config) {
		c.Disks[0].File, c.Disks[0].Raw, c.Disks[0].Size = file, true, terabyte
	})
	disk, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	image := readTable(t, disk)
	ctx, cancel := context.WithTimeout(context.Background(), 2*bootDeadline)
	defer cancel()

	// The first cut comes once the backup table is at the disk's end, the second
	// once the file system has begun to grow, or later.
	for cut, begun := range []func() bool{
		func() bool { return endsInTable(t, disk) },
		func() bool { return dataBlocks(t, disk, image) > 256<<20/4096 },
	} {
		if err := b.vm.Start(ctx); err != nil {
			t.Fatal(err)
		}
		for !begun() {
			if ctx.Err() != nil {
				t.Fatalf("cut %d: the first boot does not begin to grow the disk", cut)
			}
			time.Sleep(5 * time.Millisecond) // between two looks at the disk
		}
		after := time.Duration(chance.Int64N(int64(4 * time.Second)))
		time.Sleep(after) // the moment of the cut
		if err := b.vm.PowerCut(); err != nil {
			t.Fatal(err)
		}
		t.Logf("cut %d %v after it began, with %d blocks", cut, after, dataBlocks(t, disk, image))
	}

	b.powerOn()
	b.checkReady("/dev/vda4")
	s := b.diskStatus()
	if s.DataTotal < terabyte*95/100 {
		t.Errorf("the data file system has %d bytes on a disk of %d", s.DataTotal, int64(terabyte))
	}
	b.powerOff()
	table := readTable(t, disk)
	if blockdev.OfImage(table.DiskGUID) || table.DiskGUID == image.DiskGUID || !table.Complete() {
		t.Errorf("the disk is %s, complete: %v", table.DiskGUID, table.Complete())
	}
	for _, p := range table.Partitions {
		if blockdev.OfImage(p.GUID) {
			t.Errorf("partition %d still is %s", p.Number, p.GUID)
		}
	}
	checkDisk(t, file)
}

// checkGrowth fails the test unless this boot grew the data partition to 1 TB,
// and gives the seconds that it took.
func (b *box) checkGrowth() float64 {
	b.Helper()
	if s := b.diskStatus(); s.DataTotal < terabyte*95/100 {
		b.Errorf("the data file system has %d bytes", s.DataTotal)
	}
	_, log, _ := b.try("services", "logs", "init")
	grown := regexp.MustCompile(`data partition grown.*seconds=([0-9.]+)`).FindStringSubmatch(log)
	if grown == nil {
		b.Fatalf("the log does not say that the data partition was grown: %s", log)
	}
	seconds, err := strconv.ParseFloat(grown[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("growing to 1 TB took %s s", grown[1])
	return seconds
}

type diskStatus struct {
	DataTotal uint64 `json:"data_total_bytes"`
}

func (b *box) diskStatus() (s diskStatus) {
	b.Helper()
	b.get(&s, "status")
	return s
}

func readTable(t *testing.T, disk *os.File) *blockdev.Table {
	t.Helper()
	size, err := blockdev.Size(disk)
	if err != nil {
		t.Fatal(err)
	}
	table, err := blockdev.ReadTable(disk, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// endsInTable says whether the disk's last sector is a backup table's header.
func endsInTable(t *testing.T, disk *os.File) bool {
	t.Helper()
	size, err := disk.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	sector := make([]byte, 512)
	if _, err := disk.ReadAt(sector, size-512); err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(sector), "EFI PART")
}

// dataBlocks is how large the data file system says that it is.
func dataBlocks(t *testing.T, disk *os.File, table *blockdev.Table) uint32 {
	t.Helper()
	b := make([]byte, 4)
	if _, err := disk.ReadAt(b, table.Offset(table.Partition(4))+blockdev.Ext4SuperblockOffset+4); err != nil {
		t.Fatal(err)
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// checkDisk has sgdisk and e2fsck look at a disk that no machine uses.
func checkDisk(t *testing.T, file string) {
	t.Helper()
	out, err := exec.Command("/sbin/sgdisk", "-v", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
	disk, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	table := readTable(t, disk)
	data := fmt.Sprintf("%s?offset=%d", file, table.Offset(table.Partition(4)))
	if out, err := exec.Command("/sbin/e2fsck", "-f", "-n", data).CombinedOutput(); err != nil {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}

// TestInstallFromStick boots from a USB stick, installs to the NVMe disk, and
// reboots with the stick still in: the firmware starts the NVMe disk.
func TestInstallFromStick(t *testing.T) {
	t.Parallel()
	nvme := filepath.Join(t.TempDir(), "nvme")
	b := boot(t, func(c *qemu.Config) {
		c.Disks[0].Interface, c.Disks[0].Unordered = qemu.USB, true
		c.Disks = append(c.Disks, qemu.Disk{File: nvme, Raw: true, Size: 2 << 30, Interface: qemu.NVMe, Unordered: true})
	})
	b.checkReady("/dev/sda4")
	stick := b.status()
	if list := b.run("install"); !strings.Contains(list, "/dev/nvme0n1") || !strings.Contains(list, "the box runs from it") {
		t.Errorf("install lists %s", list)
	}
	for _, c := range []struct{ disk, want string }{
		{"/dev/sda", "the disk that the box runs from"}, {"/dev/sda1", "a partition"}, {"/dev/nothing", "no such file"}, {"/dev/null", "no disk"},
	} {
		if _, stderr, exit := b.try("install", c.disk, "--yes"); exit == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("install %s: exit %d, %s; want %q", c.disk, exit, stderr, c.want)
		}
	}
	begin := time.Now()
	out := b.run("install", "nvme0n1", "--yes")
	t.Logf("installing took %v", time.Since(begin).Round(time.Second))
	if !strings.Contains(out, "read back and verified; the firmware starts it first (Boot0") {
		t.Errorf("install says %s", out)
	}
	b.run("reboot")
	b.expectReady()
	b.checkReady("/dev/nvme0n1p4")
	s := b.status()
	if s.BootDisk != "/dev/nvme0n1" || s.ChainID == stick.ChainID || s.ChainID == "" {
		t.Errorf("booted from %s as chain %s; the stick is chain %s", s.BootDisk, s.ChainID, stick.ChainID)
	}
	if size := b.diskStatus().DataTotal; size < 1500<<20 {
		t.Errorf("the data file system has %d bytes of a disk of 2 GiB", size)
	}
	if _, stderr, exit := b.try("install", "/dev/sda", "--yes"); exit == 0 || !strings.Contains(stderr, "is not empty (EntroOS)") {
		t.Errorf("install on the stick: exit %d, %s", exit, stderr)
	}
	b.powerOff()
	checkDisk(t, nvme)
}

// TestDamagedData boots with a damaged data partition, and follows what the box
// says to do: first nothing is left of it; then the superblock is lost, and
// behind it the records are garbage. The first boot that can mount it grows it
// to the disk of 1 TB.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "disk")
	b := newBox(t, func(c *qemu.Config) { c.Disks[0].File, c.Disks[0].Raw, c.Disks[0].Size = file, true, terabyte })
	disk, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	table := readTable(t, disk)
	data := table.Offset(table.Partition(4))
	erase := func(bytes int) {
		if _, err := disk.WriteAt(make([]byte, bytes), data); err != nil {
			t.Fatal(err)
		}
	}

	erase(256 << 20)
	b.powerOnDegraded("data reset")
	if _, stderr, exit := b.try("data", "repair", "--yes"); exit == 0 || !strings.Contains(stderr, "`data reset`") {
		t.Errorf("repair of nothing: exit %d, %s", exit, stderr)
	}
	if _, stderr, exit := b.try("data", "reset"); exit == 0 || !strings.Contains(stderr, "--yes") {
		t.Errorf("data reset without a question: exit %d, %s", exit, stderr)
	}
	b.run("data", "reset", "--yes")
	b.powerOff()

	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no records ", 50000)), 0o600); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("%s?offset=%d", file, data)
	for _, command := range []string{"write " + garbage + " entroos.db", "mkdir volumes", "write " + garbage + " volumes/kept"} {
		if out, err := exec.Command("/sbin/debugfs", "-w", "-R", command, at).CombinedOutput(); err != nil {
			t.Fatalf("debugfs %s: %v\n%s", command, err, out)
		}
	}
	erase(4096) // the superblock
	b.powerOnDegraded("data repair")
	if _, stderr, exit := b.try("data", "reset", "--keep-volumes", "--yes"); exit == 0 || !strings.Contains(stderr, "data repair") {
		t.Errorf("volumes of a lost file system are kept: exit %d, %s", exit, stderr)
	}
	if out := b.run("data", "repair", "--yes"); !strings.Contains(out, "Pass 5") || !strings.Contains(out, "reboot") {
		t.Errorf("data repair says %s", out)
	}

	b.run("reboot")
	b.expectDegraded("data reset --keep-volumes")
	if _, stderr, exit := b.try("data", "repair", "--yes"); exit == 0 || !strings.Contains(stderr, "--keep-volumes") {
		t.Errorf("repair of records: exit %d, %s", exit, stderr)
	}
	b.checkGrowth()
	b.run("data", "reset", "--keep-volumes", "--yes")

	b.run("reboot")
	b.expectReady()
	b.checkReady("/dev/vda4")
	for _, verb := range []string{"repair", "reset"} {
		if _, stderr, exit := b.try("data", verb, "--yes"); exit == 0 || !strings.Contains(stderr, "mounted and well") {
			t.Errorf("data %s on a box that is well: exit %d, %s", verb, exit, stderr)
		}
	}
	b.powerOff()
	out, err := exec.Command("/sbin/debugfs", "-R", "ls -p volumes", at).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "/kept/") {
		t.Errorf("the volumes are gone (%v): %s", err, out)
	}
	checkDisk(t, file)
}

// expectReady waits until the box says, again, that it is ready.
func (b *box) expectReady() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if _, err := b.vm.Expect(ctx, readyLine); err != nil {
		b.Fatal(err)
	}
}

// powerOnDegraded starts the machine and waits until it says that it is not
// well, and that this command is the way out.
func (b *box) powerOnDegraded(wayOut string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if err := b.vm.Start(ctx); err != nil {
		b.Fatal(err)
	}
	b.expectDegraded(wayOut)
}

func (b *box) expectDegraded(wayOut string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootDeadline)
	defer cancel()
	if _, err := b.vm.Expect(ctx, regexp.MustCompile("entroos: degraded.*`"+wayOut)); err != nil {
		b.Fatal(err)
	}
	if s := b.status(); s.State != "degraded" || !strings.Contains(strings.Join(s.Problems, "\n"), "`"+wayOut+"`") {
		b.Errorf("state is %q with problems %q, want degraded and the way out %q", s.State, s.Problems, wayOut)
	} else {
		b.Logf("degraded: %s", s.Problems)
	}
}
