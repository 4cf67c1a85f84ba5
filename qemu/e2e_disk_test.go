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

// TestFirstBootGrowsInTime boots the image on a disk of 1 TB.
func TestFirstBootGrowsInTime(t *testing.T) {
	t.Parallel()
	b := boot(t, func(c *qemu.Config) { c.Disks[0].Size = terabyte })
	b.checkReady("/dev/vda4")
	if s := b.diskStatus(); s.DataTotal < terabyte*95/100 {
		t.Errorf("the data file system has %d bytes", s.DataTotal)
	}
	_, log, _ := b.try("services", "logs", "init")
	grown := regexp.MustCompile(`data partition grown.*seconds=([0-9.]+)`).FindStringSubmatch(log)
	if grown == nil {
		t.Fatalf("the log does not say that the data partition was grown: %s", log)
	}
	seconds, err := strconv.ParseFloat(grown[1], 64)
	if err != nil || seconds > 30 {
		t.Errorf("growing took %s s (%v), want less than 30", grown[1], err)
	}
	t.Logf("growing to 1 TB took %s s", grown[1])
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
