package image

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

// newDisk writes a disk image with a UKI of random bytes.
func newDisk(t *testing.T) (disk string, uki []byte) {
	t.Helper()
	if err := requireTools(); err != nil {
		t.Skip(err)
	}
	folder := t.TempDir()
	uki = make([]byte, 3<<20+17)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range uki {
		uki[i] = byte(random.Uint32())
	}
	path := filepath.Join(folder, "uki")
	if err := os.WriteFile(path, uki, 0o600); err != nil {
		t.Fatal(err)
	}
	disk = filepath.Join(folder, "disk.img")
	if err := writeDisk(context.Background(), disk, diskContents{Version: "1.2.3", UKI: path, DataSize: minDataSize}); err != nil {
		t.Fatal(err)
	}
	return disk, uki
}

// output runs a checking program; one that is not installed skips the test.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "MTOOLSRC=/dev/null", "LC_ALL=C")
	if _, err := exec.LookPath(name); err != nil {
		if _, err := os.Stat("/sbin/" + name); err != nil {
			t.Skip(err)
		}
		cmd.Path, cmd.Err = "/sbin/"+name, nil
	}
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, text)
	}
	return string(text)
}

// cut copies a partition into a file of its own, sparse.
func cut(t *testing.T, disk string, offset, size int64) string {
	t.Helper()
	from, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(t.TempDir(), "partition"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := to.Truncate(size); err != nil {
		t.Fatal(err)
	}
	block, zeroes := make([]byte, mebibyte), make([]byte, mebibyte)
	for at := int64(0); at < size; at += mebibyte {
		if _, err := from.ReadAt(block, offset+at); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(block, zeroes) {
			continue
		}
		if _, err := to.WriteAt(block, at); err != nil {
			t.Fatal(err)
		}
	}
	return to.Name()
}

func TestDisk(t *testing.T) {
	disk, uki := newDisk(t)
	t.Run("partitions", func(t *testing.T) { checkPartitions(t, disk) })
	t.Run("nothing between them", func(t *testing.T) { checkGap(t, disk) })
	t.Run("ESP", func(t *testing.T) { checkESP(t, disk, uki) })
	t.Run("settings", func(t *testing.T) { checkSettings(t, disk) })
	t.Run("data", func(t *testing.T) { checkData(t, disk) })
}

func checkPartitions(t *testing.T, path string) {
	if text := output(t, "sgdisk", "-v", path); !strings.Contains(text, "No problems found") {
		t.Error(text)
	}
	disk, err := diskfs.Open(path, diskfs.WithOpenMode(diskfs.ReadOnly))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	read, err := disk.GetPartitionTable()
	if err != nil {
		t.Fatal(err)
	}
	table, ok := read.(*gpt.Table)
	if !ok {
		t.Fatalf("the table is a %T", read)
	}
	if table.GUID != diskGUID {
		t.Errorf("the disk's GUID is %s", table.GUID)
	}
	type entry struct {
		kind       gpt.Type
		guid, name string
		start, end uint64
	}
	want := map[int]entry{
		1: {gpt.EFISystemPartition, espGUID, "EntroOS ESP", 2048, 526335},
		2: {gpt.MicrosoftBasicData, settingsGUID, "EntroOS settings", 526336, 559103},
		4: {gpt.LinuxFilesystem, dataGUID, "EntroOS data", 559104, 559104 + minDataSize/sector - 1},
	}
	found := 0
	for _, p := range table.Partitions {
		if p.Type == gpt.Unused {
			continue
		}
		found++
		got := entry{p.Type, p.GUID, p.Name, p.Start, p.End}
		if got != want[p.Index] {
			t.Errorf("partition %d is %+v, want %+v", p.Index, got, want[p.Index])
		}
	}
	if found != len(want) {
		t.Errorf("%d partitions, want %d", found, len(want))
	}
	if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Blocks*512 > 80<<20 {
		t.Errorf("the image is not sparse: %+v (%v)", info.Sys(), err)
	}
}

func checkESP(t *testing.T, disk string, uki []byte) {
	partition := cut(t, disk, espOffset, espSize)
	output(t, "fsck.vfat", "-n", partition)
	if text := output(t, "fsck.vfat", "-n", "-v", partition); !strings.Contains(text, "32 bit entries") {
		t.Errorf("not FAT32:\n%s", text)
	}
	loader, err := os.ReadFile(bootLoader)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		"EFI/BOOT/BOOTX64.EFI":        loader,
		"EFI/Linux/entroos_1.2.3.efi": uki,
		"loader/loader.conf":          []byte(loaderConfiguration),
	} {
		if got := output(t, "mtype", "-i", partition, "::"+name); got != string(want) {
			t.Errorf("%s is not what was put there (%d bytes, want %d)", name, len(got), len(want))
		}
	}
}

func checkSettings(t *testing.T, disk string) {
	partition := cut(t, disk, settingsOffset, settingsSize)
	if text := output(t, "fsck.vfat", "-n", "-v", partition); !strings.Contains(text, "16 bit entries") {
		t.Errorf("not FAT16:\n%s", text)
	}
	if text := output(t, "mlabel", "-s", "-i", partition, "::"); !strings.Contains(text, "ENTROOS") {
		t.Errorf("the label: %s", text)
	}
}

func checkData(t *testing.T, disk string) {
	checkExt4(t, cut(t, disk, dataOffset, minDataSize))
}

// checkExt4 checks a fresh data partition, and grows it.
func checkExt4(t *testing.T, partition string) {
	t.Helper()
	output(t, "e2fsck", "-f", "-n", partition)
	header := output(t, "dumpe2fs", "-h", partition)
	for _, want := range []string{
		"Filesystem UUID:          " + dataUUID,
		"Directory Hash Seed:      " + hashSeed,
		"Block size:               4096",
		"Errors behavior:          Remount read-only",
		"Total journal size:       64M",
		"metadata_csum_seed",
		"Reserved GDT blocks:      1023", // room for 8 TiB
		"Block count:              65536",
	} {
		if !strings.Contains(header, want) {
			t.Errorf("not in its header: %s\n%s", want, header)
		}
	}
	// The first boot grows it; so can resize2fs.
	if err := os.Truncate(partition, 8<<30); err != nil {
		t.Fatal(err)
	}
	output(t, "resize2fs", partition)
	output(t, "e2fsck", "-f", "-n", partition)
}

// What lies outside the partitions is only what a GPT needs.
func checkGap(t *testing.T, disk string) {
	file, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	gap, err := io.ReadAll(io.NewSectionReader(file, 34*sector, firstOffset-34*sector))
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.Trim(gap, "\x00")) != 0 {
		t.Error("something lies between the partition table and the first partition")
	}
}
