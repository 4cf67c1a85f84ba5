package blockdev

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is where the kernel tells of block devices.
type Kernel struct{ Sys, Dev, Proc string }

// Host is the running system's.
var Host = Kernel{Sys: "/sys", Dev: "/dev", Proc: "/proc"}

// Facts is what the kernel knows of a disk.
type Facts struct {
	Name       string // e.g. nvme0n1
	Path       string // e.g. /dev/nvme0n1
	Bytes      int64  // size; 0 is a reader without a medium
	SectorSize int64  // bytes
	Model      string // as the disk says; empty when it does not
	// Removable says that the medium can be taken out of the machine: a stick,
	// a card, a disk on USB, and loop devices.
	Removable bool
	ReadOnly  bool
	// Users is by what the disk or a partition of it is in use, in plain words.
	Users []string
}

// ErrNoDisk says that a path does not name a whole disk.
var ErrNoDisk = errors.New("it is no disk")

// Disks lists the machine's disks that have a medium, in the order of their
// names. Loop devices, and what the kernel makes of memory or other disks, are
// left out.
func (k Kernel) Disks() ([]Facts, error) {
	entries, err := os.ReadDir(filepath.Join(k.Sys, "class/block"))
	if err != nil {
		return nil, fmt.Errorf("block devices: %w", err)
	}
	var disks []Facts
	for _, e := range entries {
		if k.parent(e.Name()) != "" || Virtual(e.Name()) || strings.HasPrefix(e.Name(), "sr") {
			continue
		}
		if f := k.facts(e.Name()); f.Bytes > 0 {
			disks = append(disks, f)
		}
	}
	return disks, nil
}

// Virtual says that a block device of that name is the kernel's own, not a
// disk's.
func Virtual(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "nbd"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Look gives the facts of the disk at a path, which may be a link to it. It is
// ErrNoDisk when that is something else.
func (k Kernel) Look(path string) (Facts, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Facts{}, fmt.Errorf("%s: %w", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
	case unix.S_IFREG:
		return Facts{}, fmt.Errorf("%s: %w but a file; `losetup --find --show` makes a disk of it", path, ErrNoDisk)
	default:
		return Facts{}, fmt.Errorf("%s: %w", path, ErrNoDisk)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	link, err := filepath.EvalSymlinks(filepath.Join(k.Sys, "dev/block", number))
	if err != nil {
		return Facts{}, fmt.Errorf("%s: %w", path, err)
	}
	name := filepath.Base(link)
	if parent := k.parent(name); parent != "" {
		return Facts{}, fmt.Errorf("%s: %w but a partition of one; give %s", path, ErrNoDisk, filepath.Join(k.Dev, parent))
	}
	f := k.facts(name)
	f.Path = path
	return f, nil
}

// parent is the disk of which a block device is a partition, or empty.
func (k Kernel) parent(name string) string {
	node := filepath.Join(k.Sys, "class/block", name)
	if _, err := os.Stat(filepath.Join(node, "partition")); err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(node); err == nil {
		return filepath.Base(filepath.Dir(real))
	}
	return "its disk"
}

// facts gathers what sysfs says; what it does not say is left out.
func (k Kernel) facts(name string) Facts {
	node := filepath.Join(k.Sys, "class/block", name)
	f := Facts{
		Name: name, Path: filepath.Join(k.Dev, name),
		Bytes:      k.number(node, "size") * 512, // always in these units, sysfs says
		SectorSize: k.number(node, "queue/logical_block_size"),
		ReadOnly:   k.number(node, "ro") == 1,
		Removable:  k.number(node, "removable") == 1 || strings.HasPrefix(name, "loop"),
	}
	for _, attribute := range []string{"device/model", "device/name"} { // of SCSI and NVMe; of MMC
		if f.Model == "" {
			f.Model = k.text(node, attribute)
		}
	}
	if vendor := k.text(node, "device/vendor"); f.Model != "" && vendor != "" && vendor != "ATA" && !strings.HasPrefix(vendor, "0x") {
		f.Model = vendor + " " + f.Model
	}
	if real, err := filepath.EvalSymlinks(node); err == nil {
		f.Removable = f.Removable || strings.Contains(real, "/usb") || k.text(node, "device/type") == "SD"
	}
	f.Users = k.users(name)
	return f
}

// users says who uses a disk and its partitions.
func (k Kernel) users(name string) []string {
	nodes := map[string]string{} // device number, path and name → name
	add := func(name string) {
		nodes[k.text(filepath.Join(k.Sys, "class/block", name), "dev")] = name
		nodes[filepath.Join(k.Dev, name)] = name
	}
	add(name)
	holders := []string{name}
	entries, err := os.ReadDir(filepath.Join(k.Sys, "class/block", name))
	if err == nil {
		for _, e := range entries {
			if k.number(filepath.Join(k.Sys, "class/block", name), e.Name()+"/partition") > 0 {
				add(e.Name())
				holders = append(holders, e.Name())
			}
		}
	}
	delete(nodes, "")
	var users []string
	k.lines("self/mountinfo", func(fields []string) {
		// 36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw: proc(5).
		source := ""
		if i := slices.Index(fields, "-"); i >= 0 && i+2 < len(fields) {
			source = fields[i+2]
		}
		if len(fields) < 5 {
			return
		}
		for _, key := range []string{fields[2], source} {
			if device, used := nodes[key]; used {
				users = append(users, fmt.Sprintf("%s is mounted at %s", device, fields[4]))
				return
			}
		}
	})
	k.lines("swaps", func(fields []string) {
		if device, used := nodes[fields[0]]; used {
			users = append(users, device+" is swap space")
		}
	})
	for _, holder := range holders {
		held, err := os.ReadDir(filepath.Join(k.Sys, "class/block", holder, "holders"))
		if err == nil && len(held) > 0 {
			users = append(users, fmt.Sprintf("%s is part of %s", holder, held[0].Name()))
		}
	}
	return users
}

// lines calls do with the fields of each line of a file below /proc.
func (k Kernel) lines(file string, do func(fields []string)) {
	f, err := os.Open(filepath.Join(k.Proc, file))
	if err != nil {
		return // a kernel without swap has none; exclusive opening has the last word
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 0 {
			do(fields)
		}
	}
}

func (k Kernel) text(node, attribute string) string {
	b, err := os.ReadFile(filepath.Join(node, attribute))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

func (k Kernel) number(node, attribute string) int64 {
	n, err := strconv.ParseInt(k.text(node, attribute), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
