package appliance

import (
	"fmt"
	"path/filepath"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// fullPart is the part of the data partition that is free when it is full: one
// hundredth. What root has in reserve is not counted.
const fullPart = 100

// problem says that the data partition is damaged or full; else it is empty.
func (s Storage) problem() string {
	if s.Data == "" {
		return "" // why is among the problems already
	}
	if p := s.damage(); p != "" {
		return p
	}
	total, free, err := dataSpace()
	switch {
	case err != nil:
		return err.Error()
	case free >= total/fullPart:
		return ""
	}
	return fmt.Sprintf("the data partition is full (%s of %s free): containers that run get no space, nothing is started or imported, receipts are still written from a reserve; "+
		"remove containers (`rm`) and images (`images prune`), or what fills the volumes",
		units.BytesSize(float64(free)), units.BytesSize(float64(total)))
}

// damage says that the kernel has found errors on the mounted data partition
// since its check; else it is empty.
func (s Storage) damage() string {
	if s.Data == "" {
		return ""
	}
	return damageOf(PermPath, "/sys", s.Data)
}

func damageOf(path, sys, device string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Sprintf("%s: %v", path, err)
	}
	// Where there is no count there are no errors.
	count, err := readInt(filepath.Join(sys, "fs/ext4", filepath.Base(device), "errors_count"))
	if err != nil {
		count = 0
	}
	return damageText(device, fs.Flags&unix.ST_RDONLY != 0, count)
}

func damageText(device string, readOnly bool, count int) string {
	const wayOut = "save what you can and reboot: it is checked at the start; if it comes again, replace the disk"
	switch {
	case readOnly:
		return fmt.Sprintf("the data partition %s has errors and takes no more writes (%d found; `services logs kernel` tells): %s", device, count, wayOut)
	case count > 0:
		return fmt.Sprintf("the data partition %s has errors (%d found; `services logs kernel` tells): %s", device, count, wayOut)
	}
	return ""
}

// dataSpace gives the size of the file system at /perm, and what of it is free
// to all, in bytes.
func dataSpace() (total, free uint64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(PermPath, &fs); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", PermPath, err)
	}
	return fs.Blocks * uint64(fs.Bsize), fs.Bavail * uint64(fs.Bsize), nil
}
