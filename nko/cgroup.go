package nko

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SystemReserve is the memory that workloads together leave to the services of
// the box, in bytes.
const SystemReserve = 160 << 20

// CgroupTree is the box's cgroup v2 tree: /system/<service> for the services
// and /workloads/<container> for the containers. The root's own processes are
// PID 1 and the kernel's.
type CgroupTree struct {
	Root string // where cgroup2 is mounted: /sys/fs/cgroup
}

// WorkloadMemory is the memory of the workloads together, in bytes, on a box
// that has so much. One with less than twice the reserve shares what it has.
func WorkloadMemory(total uint64) uint64 {
	if total < 2*SystemReserve {
		return total / 2
	}
	return total - SystemReserve
}

// Init makes both branches, hands every controller down to their children, and
// keeps SystemReserve of memoryTotal (bytes) from the workloads.
func (t CgroupTree) Init(memoryTotal uint64) error {
	available, err := os.ReadFile(filepath.Join(t.Root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cgroup v2: %w", err)
	}
	controllers := strings.Fields(string(available))
	if err := enableControllers(t.Root, controllers); err != nil {
		return err
	}
	for _, branch := range []string{"system", "workloads"} {
		path := filepath.Join(t.Root, branch)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cgroup v2: %w", err)
		}
		if err := enableControllers(path, controllers); err != nil {
			return err
		}
	}
	limit := int64(WorkloadMemory(memoryTotal))
	for _, w := range []struct {
		path  string
		bytes int64
	}{
		{"workloads/memory.max", limit},
		// Workloads' page cache does not push the services out either.
		{"system/memory.low", int64(memoryTotal) - limit},
	} {
		if err := os.WriteFile(filepath.Join(t.Root, w.path), []byte(strconv.FormatInt(w.bytes, 10)), 0o644); err != nil {
			return fmt.Errorf("cgroup v2: %w", err)
		}
	}
	return nil
}

// enableControllers hands each controller to the children of the cgroup. Some
// controllers (in a threaded or a partly delegated tree) refuse; the others
// must not suffer from that.
func enableControllers(path string, controllers []string) error {
	var failed []error
	for _, c := range controllers {
		err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+c), 0o644)
		if err != nil {
			failed = append(failed, fmt.Errorf("cgroup v2: controller %s: %w", c, err))
		}
	}
	return errors.Join(failed...)
}

// Service makes the cgroup of a service and gives its path.
func (t CgroupTree) Service(name string) (string, error) {
	path := filepath.Join(t.Root, "system", name)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cgroup v2: %w", err)
	}
	return path, nil
}

// openCgroup opens a cgroup's folder for SysProcAttr.CgroupFD.
func openCgroup(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// killCgroup kills every process in the cgroup and below.
func killCgroup(path string) error {
	return os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0o644)
}

// cgroupMemory is the memory that the cgroup's processes use, in bytes.
func cgroupMemory(path string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(path, "memory.current"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
