package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/efivarfs"

	"github.com/entroos/entroos/appliance/bootslot"

	"github.com/entroos/entroos/appliance/blockdev"
)

// Partition numbers of an EntroOS disk.
const (
	PartitionESP      = blockdev.ESP
	PartitionSettings = blockdev.Settings
	PartitionData     = blockdev.Data
)

const (
	// bootDiskTimeout is how long a slow disk (USB) may take to appear.
	bootDiskTimeout = 30 * time.Second
	// rivalTimeout is how long we wait, with a boot disk found, for USB
	// storage that is there and shows no disk yet: it might be another one
	// that claims to be this box's.
	rivalTimeout = 5 * time.Second
)

var (
	// ErrNoBootLoader says that no boot loader told from which disk it took
	// the kernel: it was started directly, as virtual machines can.
	ErrNoBootLoader = errors.New("no boot loader told which disk this is (EFI variable LoaderDevicePartUUID)")
	// ErrAmbiguousDisk says that several disks claim to be the boot disk.
	ErrAmbiguousDisk = errors.New("more than one disk claims to be this box's")
)

// loaderDevicePartUUID is set by systemd-boot and systemd-stub: the partition
// UUID of the ESP they were started from.
var loaderDevicePartUUID = efivarfs.VariableDescriptor{
	Name: "LoaderDevicePartUUID",
	GUID: uuid.MustParse("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"),
}

// BootPartition gives the UUID, in lower case, of the partition from which the
// firmware started the boot loader.
func BootPartition() (string, error) {
	vars, err := efivarfs.New()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoBootLoader, err)
	}
	_, data, err := vars.Get(loaderDevicePartUUID)
	if errors.Is(err, efivarfs.ErrVarNotExist) {
		return "", ErrNoBootLoader
	} else if err != nil {
		return "", fmt.Errorf("EFI variable LoaderDevicePartUUID: %w", err)
	}
	id, err := uuid.Parse(bootslot.DecodeUTF16(data))
	if err != nil {
		return "", fmt.Errorf("EFI variable LoaderDevicePartUUID: %w", err)
	}
	return id.String(), nil
}

// Disk is a block device with a GPT.
type Disk struct {
	Device     string         // e.g. /dev/vda
	Partitions map[int]string // device of each partition, e.g. 4: /dev/vda4
	// BootPartition is the UUID of its ESP, in lower case. The first boot gives
	// it another than the one that the boot loader knows.
	BootPartition string
}

// FindBootDisk waits for the one disk that holds the partition of that UUID,
// and for the devices of its partitions.
func FindBootDisk(ctx context.Context, partition string) (*Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, bootDiskTimeout)
	defer cancel()
	scan := blockScan{sys: "/sys", dev: "/dev", tables: make(map[string][]string)}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var first time.Time // when the disk was found
	for {
		found, err := scan.holders(partition)
		switch {
		case err != nil:
			return nil, err
		case len(found) > 1:
			return nil, fmt.Errorf("%w: %s", ErrAmbiguousDisk, strings.Join(found, ", "))
		case len(found) == 1:
			if first.IsZero() {
				first = time.Now()
			}
			if scan.pendingUSB() && time.Since(first) < rivalTimeout {
				break
			}
			if disk, err := scan.disk(found[0]); err != nil || disk != nil {
				if disk != nil {
					disk.BootPartition = partition
				}
				return disk, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no disk with the boot partition %s appeared within %v", partition, bootDiskTimeout)
		case <-tick.C:
		}
	}
}

// blockScan looks at the block devices. Each disk's partition table is read
// once.
type blockScan struct {
	sys, dev string
	tables   map[string][]string // partition UUIDs by the disk's name
}

// holders gives the names of the disks with a partition of that UUID.
func (s *blockScan) holders(partition string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.sys, "class/block"))
	if err != nil {
		return nil, fmt.Errorf("block devices: %w", err)
	}
	var found []string
	for _, e := range entries {
		name := e.Name()
		if s.isPartition(name) || blockdev.Virtual(name) || s.size(name) == 0 {
			continue
		}
		uuids, seen := s.tables[name]
		if !seen {
			uuids, err = s.readTable(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // its device node is still to come
			}
			// A disk without a GPT, or unreadable, is not ours.
			s.tables[name] = uuids
		}
		if slices.Contains(uuids, partition) {
			found = append(found, name)
		}
	}
	return found, nil
}

func (s *blockScan) isPartition(name string) bool {
	_, err := os.Stat(filepath.Join(s.sys, "class/block", name, "partition"))
	return err == nil
}

// size is a block device's size in bytes; 0 when it has no medium.
func (s *blockScan) size(name string) int64 {
	n, err := readInt(filepath.Join(s.sys, "class/block", name, "size"))
	if err != nil {
		return 0 // it was unplugged
	}
	return int64(n) * 512 // always in these units, sysfs says
}

func (s *blockScan) readTable(name string) ([]string, error) {
	logical, err := readInt(filepath.Join(s.sys, "class/block", name, "queue/logical_block_size"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(s.dev, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := blockdev.ReadTable(f, s.size(name), int64(logical))
	if err != nil {
		return nil, err
	}
	var uuids []string
	for _, p := range table.Partitions {
		uuids = append(uuids, p.GUID.String())
	}
	return uuids, nil
}

// disk gives the disk of that name, or nil while devices of its partitions are
// still to come.
func (s *blockScan) disk(name string) (*Disk, error) {
	d := &Disk{Device: filepath.Join(s.dev, name), Partitions: make(map[int]string)}
	entries, err := os.ReadDir(filepath.Join(s.sys, "class/block", name))
	if err != nil {
		return nil, fmt.Errorf("boot disk: %w", err)
	}
	for _, e := range entries {
		n, err := readInt(filepath.Join(s.sys, "class/block", name, e.Name(), "partition"))
		if err != nil {
			continue // another of the disk's attributes
		}
		node := filepath.Join(s.dev, e.Name())
		if _, err := os.Stat(node); err == nil {
			d.Partitions[n] = node
		}
	}
	for _, n := range []int{PartitionESP, PartitionSettings, PartitionData} {
		if d.Partitions[n] == "" {
			return nil, nil
		}
	}
	return d, nil
}

// pendingUSB says that a USB storage device is there whose disk is not.
func (s *blockScan) pendingUSB() bool {
	classes, err := filepath.Glob(filepath.Join(s.sys, "bus/usb/devices/*/bInterfaceClass"))
	if err != nil {
		return false
	}
	for _, class := range classes {
		text, err := os.ReadFile(class)
		if err != nil || strings.TrimSpace(string(text)) != "08" {
			continue
		}
		// interface/hostN/targetN:0:0/N:0:0:0/block/sdX, made in one go
		// with the disk's partitions.
		disks, err := filepath.Glob(filepath.Join(filepath.Dir(class), "host*/target*/*/block/*"))
		if err == nil && len(disks) == 0 {
			return true
		}
	}
	return false
}

func readInt(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
