package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
)

// mountPoint is one of the kernel's file systems.
type mountPoint struct {
	fstype, path, data string
	flags              uintptr
	mode               fs.FileMode
	optional           bool // a kernel or a firmware may not have it
}

var earlyMounts = []mountPoint{
	{fstype: "proc", path: "/proc", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o555},
	{fstype: "sysfs", path: "/sys", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o555},
	{fstype: "devtmpfs", path: "/dev", data: "mode=0755", flags: unix.MS_NOSUID, mode: 0o755},
	{fstype: "devpts", path: "/dev/pts", data: "mode=0620,gid=5,ptmxmode=0666", flags: unix.MS_NOSUID | unix.MS_NOEXEC, mode: 0o755},
	{fstype: "tmpfs", path: "/dev/shm", data: "mode=1777", flags: unix.MS_NOSUID | unix.MS_NODEV, mode: 0o1777},
	{fstype: "mqueue", path: "/dev/mqueue", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o755, optional: true},
	{fstype: "tmpfs", path: "/run", data: "mode=0755,size=64m", flags: unix.MS_NOSUID | unix.MS_NODEV, mode: 0o755},
	{fstype: "tmpfs", path: "/tmp", data: "mode=1777,size=64m", flags: unix.MS_NOSUID | unix.MS_NODEV, mode: 0o1777},
	{fstype: "cgroup2", path: "/sys/fs/cgroup", data: "nsdelegate", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o755},
	{fstype: "efivarfs", path: "/sys/firmware/efi/efivars", flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o755, optional: true},
	{fstype: "securityfs", path: "/sys/kernel/security", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o755, optional: true},
	{fstype: "pstore", path: "/sys/fs/pstore", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, mode: 0o750, optional: true},
}

// MountEarly mounts the kernel's file systems and the temporary ones. What
// stage0 has mounted already stays. All are tried; the error names each that
// failed.
func MountEarly() error {
	var failed []error
	for _, m := range earlyMounts {
		if err := m.mount(); err != nil && !(m.optional && absent(err)) {
			failed = append(failed, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, fs.ErrExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// absent says that the kernel does not know the file system, or that sysfs has
// no place for it (no EFI, no pstore backend).
func absent(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

func (m mountPoint) mount() error {
	if err := os.Mkdir(m.path, m.mode); err != nil {
		// sysfs allows no folders, a read-only root neither; what counts is
		// whether it is there.
		if _, serr := os.Stat(m.path); serr != nil {
			return fmt.Errorf("mount %s: %w", m.path, serr)
		}
	}
	mounted, err := isMounted(m.path)
	if err != nil || mounted {
		return err
	}
	_, err = mount.Mount(m.fstype, m.path, m.fstype, m.data, m.flags)
	return err
}

// isMounted says whether something is mounted at path: whether it is on another
// file system than its parent folder. Early in the boot there is no /proc to
// ask.
func isMounted(path string) (bool, error) {
	same, err := mount.SameFilesystem(path, filepath.Dir(path))
	if err != nil {
		return false, fmt.Errorf("mount %s: %w", path, err)
	}
	return !same, nil
}

// DefaultSysctls are the kernel's settings that a box wants other than the
// kernel's own defaults.
var DefaultSysctls = map[string]string{
	// Kernel messages go to the log; only an emergency may tear a console.
	// (A panic prints in any case.)
	"kernel/printk": "1 4 1 7",
	// PID 1's own messages must not be dropped from the kernel's log.
	"kernel/printk_devkmsg": "on",
	"kernel/panic_on_oops":  "1",
	// A processor that takes no interrupts any more tells where it is, before
	// a watchdog resets the box.
	"kernel/hardlockup_panic": "1",
	"kernel/kptr_restrict":    "1",
	"kernel/dmesg_restrict":   "1",
	// Containers watch many files.
	"fs/inotify/max_user_instances": "1024",
	"fs/inotify/max_user_watches":   "131072",
	"fs/protected_hardlinks":        "1",
	"fs/protected_symlinks":         "1",
	"fs/protected_fifos":            "1",
	"fs/protected_regular":          "1",
	// Someone on the local network must not reroute the box.
	"net/ipv4/conf/all/accept_redirects":     "0",
	"net/ipv4/conf/default/accept_redirects": "0",
	"net/ipv4/conf/all/send_redirects":       "0",
	"net/ipv6/conf/all/accept_redirects":     "0",
	"net/ipv6/conf/default/accept_redirects": "0",
	"vm/overcommit_memory":                   "1",
}

// Sysctls sets kernel settings, paths below /proc/sys. A setting that the
// kernel does not have is left out.
func Sysctls(settings map[string]string) error {
	var failed []error
	for path, value := range settings {
		err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value+"\n"), 0o644)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("sysctl %s: %w", strings.ReplaceAll(path, "/", "."), err))
		}
	}
	return errors.Join(failed...)
}
