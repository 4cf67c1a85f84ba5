package appliance

import (
	"fmt"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// fullPart is the part of the data partition that is free when it is full: one
// hundredth. What root has in reserve is not counted.
const fullPart = 100

// problem says that the data partition is full; else it is empty.
func (s Storage) problem() string {
	if s.Data == "" {
		return "" // why is among the problems already
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

// dataSpace gives the size of the file system at /perm, and what of it is free
// to all, in bytes.
func dataSpace() (total, free uint64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(PermPath, &fs); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", PermPath, err)
	}
	return fs.Blocks * uint64(fs.Bsize), fs.Bavail * uint64(fs.Bsize), nil
}
