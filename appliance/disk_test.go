package appliance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"

	"github.com/entroos/entroos/appliance/bootslot"
)

// fakeMachine lays out /sys and /dev as the kernel would, with real GPTs in the
// devices.
type fakeMachine struct {
	*testing.T
	scan blockScan
}

func newMachine(t *testing.T) *fakeMachine {
	root := t.TempDir()
	return &fakeMachine{t, blockScan{sys: filepath.Join(root, "sys"), dev: filepath.Join(root, "dev"), tables: make(map[string][]string)}}
}

func (m *fakeMachine) write(path, text string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.Fatal(err)
	}
}

const diskBytes = 4 << 20

// disk attaches a disk whose ESP has that UUID.
func (m *fakeMachine) disk(name, separator, espUUID string) {
	m.Helper()
	image := filepath.Join(m.TempDir(), name)
	d, err := diskfs.Create(image, diskBytes, diskfs.SectorSize512)
	if err != nil {
		m.Fatal(err)
	}
	table := &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, ProtectiveMBR: true}
	for i, n := range []int{PartitionESP, PartitionSettings, PartitionData} {
		p := &gpt.Partition{Index: n, Start: uint64(2048 + 1024*i), End: uint64(2048 + 1024*i + 1023), Type: gpt.LinuxFilesystem, Name: fmt.Sprint(n)}
		if n == PartitionESP {
			p.Type, p.GUID = gpt.EFISystemPartition, espUUID
		}
		table.Partitions = append(table.Partitions, p)
	}
	if err := d.Partition(table); err != nil {
		m.Fatal(err)
	}
	if err := d.Close(); err != nil {
		m.Fatal(err)
	}
	content, err := os.ReadFile(image)
	if err != nil {
		m.Fatal(err)
	}
	m.write(filepath.Join(m.scan.dev, name), string(content))
	block := filepath.Join(m.scan.sys, "class/block", name)
	m.write(filepath.Join(block, "size"), fmt.Sprintln(diskBytes/512))
	m.write(filepath.Join(block, "queue/logical_block_size"), "512\n")
	for _, n := range []int{PartitionESP, PartitionSettings, PartitionData} {
		part := fmt.Sprintf("%s%s%d", name, separator, n)
		m.write(filepath.Join(block, part, "partition"), fmt.Sprintln(n))
		m.write(filepath.Join(m.scan.sys, "class/block", part, "partition"), fmt.Sprintln(n))
		m.write(filepath.Join(m.scan.dev, part), "")
	}
}

const (
	ownESP   = "11111111-2222-4333-8444-555555555555"
	otherESP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
)

func TestBootDiskIsTheOneBootedFrom(t *testing.T) {
	m := newMachine(t)
	m.disk("sda", "", strings.ToUpper(otherESP))
	m.disk("nvme0n1", "p", strings.ToUpper(ownESP))
	m.write(filepath.Join(m.scan.sys, "class/block/sr0/size"), "0\n")
	m.write(filepath.Join(m.scan.sys, "class/block/loop0/size"), "8192\n")
	found, err := m.scan.holders(ownESP)
	if err != nil || !slices.Equal(found, []string{"nvme0n1"}) {
		t.Fatalf("found %v, error %v", found, err)
	}
	d, err := m.scan.disk("nvme0n1")
	if err != nil || d == nil || filepath.Base(d.Partitions[PartitionData]) != "nvme0n1p4" || filepath.Base(d.Device) != "nvme0n1" {
		t.Fatalf("disk %+v, error %v", d, err)
	}
	// Its data partition's device is still to come.
	if err := os.Remove(d.Partitions[PartitionData]); err != nil {
		t.Fatal(err)
	}
	if d, err := m.scan.disk("nvme0n1"); err != nil || d != nil {
		t.Fatalf("disk %+v, error %v", d, err)
	}
}

func TestTwinsAreSeen(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", "", ownESP)
	m.disk("vdb", "", ownESP)
	if found, err := m.scan.holders(ownESP); err != nil || len(found) != 2 {
		t.Fatalf("found %v, error %v", found, err)
	}
}

// TestTwinThatComesLater plugs in a copy of the box's disk while it runs.
func TestTwinThatComesLater(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", "", ownESP)
	m.disk("vdb", "", otherESP)
	own, err := m.scan.disk("vda")
	if err != nil || own == nil {
		t.Fatalf("%v, %v", own, err)
	}
	own.BootPartition = ownESP
	var watch twinWatch
	look := func() string {
		watch.look(own, m.scan.sys, m.scan.dev)
		return watch.Problem()
	}
	if problem := look(); problem != "" {
		t.Fatalf("alone: %q", problem)
	}
	m.disk("sda", "", strings.ToUpper(ownESP))
	if problem := look(); !strings.Contains(problem, "sda is a copy") || strings.Contains(problem, "vdb") {
		t.Fatalf("with a copy: %q", problem)
	}
	if problem := look(); !strings.Contains(problem, "sda is a copy") {
		t.Fatalf("at the second look: %q", problem)
	}
	for _, gone := range []string{"sda", "sda1", "sda2", "sda4"} {
		if err := os.RemoveAll(filepath.Join(m.scan.sys, "class/block", gone)); err != nil {
			t.Fatal(err)
		}
	}
	if problem := look(); problem != "" {
		t.Fatalf("unplugged: %q", problem)
	}
}

// TestTwinInAReader puts a copy of the box's disk into a card reader that was
// there all the time.
func TestTwinInAReader(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", "", ownESP)
	m.disk("sda", "", ownESP)
	size := filepath.Join(m.scan.sys, "class/block/sda/size")
	full, err := os.ReadFile(size)
	if err != nil {
		t.Fatal(err)
	}
	m.write(size, "0\n")
	own := &Disk{Device: "/dev/vda", BootPartition: ownESP}
	var watch twinWatch
	watch.look(own, m.scan.sys, m.scan.dev)
	if p := watch.Problem(); p != "" {
		t.Fatalf("empty: %q", p)
	}
	m.write(size, string(full))
	watch.look(own, m.scan.sys, m.scan.dev)
	if p := watch.Problem(); !strings.Contains(p, "sda is a copy") {
		t.Fatalf("with a card: %q", p)
	}
}

// TestDyingDiskHoldsUpNobody: what is wrong can be asked while a disk does not
// answer. A pipe without a writer answers as little.
func TestDyingDiskHoldsUpNobody(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", "", ownESP)
	m.disk("sda", "", otherESP)
	node := filepath.Join(m.scan.dev, "sda")
	if err := errors.Join(os.Remove(node), unix.Mkfifo(node, 0o600)); err != nil {
		t.Fatal(err)
	}
	b := quietBox()
	looked := make(chan struct{})
	nko.Go("look", func() {
		defer close(looked)
		b.twins.look(&Disk{Device: "/dev/vda", BootPartition: ownESP}, m.scan.sys, m.scan.dev)
	})
	asked := make(chan struct{})
	nko.Go("questions", func() {
		defer close(asked)
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			b.faults()
		}
	})
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("nobody can ask what is wrong while a disk does not answer")
	}
	select {
	case <-looked:
		t.Error("the disk has answered")
	default:
	}
	// A writer comes, and goes: the look ends.
	pipe, err := os.OpenFile(node, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	<-looked
}

func TestDiskWithoutTable(t *testing.T) {
	m := newMachine(t)
	m.write(filepath.Join(m.scan.dev, "vda"), strings.Repeat("\x00", 1<<20))
	m.write(filepath.Join(m.scan.sys, "class/block/vda/size"), "2048\n")
	m.write(filepath.Join(m.scan.sys, "class/block/vda/queue/logical_block_size"), "512\n")
	if found, err := m.scan.holders(ownESP); err != nil || len(found) != 0 {
		t.Fatalf("found %v, error %v", found, err)
	}
}

func TestPendingUSB(t *testing.T) {
	m := newMachine(t)
	if m.scan.pendingUSB() {
		t.Fatal("pending without a device")
	}
	storage := filepath.Join(m.scan.sys, "bus/usb/devices/1-1:1.0")
	m.write(filepath.Join(m.scan.sys, "bus/usb/devices/1-2:1.0/bInterfaceClass"), "03\n") // a keyboard
	if m.scan.pendingUSB() {
		t.Fatal("a keyboard is no disk to come")
	}
	m.write(filepath.Join(storage, "bInterfaceClass"), "08\n")
	if !m.scan.pendingUSB() {
		t.Fatal("a stick without its disk is not seen")
	}
	m.write(filepath.Join(storage, "host2/target2:0:0/2:0:0:0/block/sda/size"), "1\n")
	if m.scan.pendingUSB() {
		t.Fatal("its disk is there")
	}
}

func TestDecodeUTF16(t *testing.T) {
	if got := bootslot.DecodeUTF16([]byte("1\x00a\x00\xe4\x00\x00\x00x\x00")); got != "1aä" {
		t.Errorf("%q", got)
	}
	if got := bootslot.DecodeUTF16([]byte{'x'}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestBootPartitionWithoutEFI(t *testing.T) {
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		t.Skip("this machine has EFI variables of its own")
	}
	if _, err := BootPartition(); !errors.Is(err, ErrNoBootLoader) {
		t.Errorf("%v", err)
	}
}
