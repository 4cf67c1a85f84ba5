package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// guestMounts are what GuestMain mounts, in this order; folders that others are
// mounted on are part of those.
var guestMounts = []struct{ kind, target, options string }{
	{"proc", "/proc", ""},
	{"sysfs", "/sys", ""},
	{"cgroup2", "/sys/fs/cgroup", ""},
	{"devtmpfs", "/dev", ""},
	{"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5"},
	{"tmpfs", "/dev/shm", ""},
	{"mqueue", "/dev/mqueue", ""},
	{"tmpfs", "/run", "mode=755"},
	{"tmpfs", "/tmp", "mode=1777"},
}

// GuestMain is TestMain's body in tests that RunGuestTests runs:
//
//	func TestMain(m *testing.M) { qemu.GuestMain(m) }
//
// As PID 1 it mounts what a system has, and the empty disk at /perm, brings the
// loopback up, runs the tests and powers the machine off. Orphans are left to
// the tests: whoever needs their exit waits for it. Anywhere else than in the
// guest the tests are refused, since they would change the machine.
func GuestMain(m interface{ Run() int }) {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "tests with the tag guest run in a virtual machine only: run the package's tests with the tag vm")
		os.Exit(1)
	}
	code := 1
	if err := prepareGuest(); err != nil {
		fmt.Println("prepare the guest:", err)
	} else {
		code = m.Run()
	}
	fmt.Printf("\nentroos-guest: exit %d\n", code)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("power off:", err)
		os.Exit(1) // the kernel panics, and the machine ends
	}
}

func prepareGuest() error {
	signal.Ignore(unix.SIGHUP)
	if err := leaveInitramfs(); err != nil {
		return err
	}
	for _, m := range guestMounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	// As a box does: through overlayfs, what containers write is root's, and what
	// ext4 keeps for root is not for them.
	if err := unix.Mount("/dev/vda", "/perm", "ext4", 0, "resuid=4294967294"); err != nil {
		return fmt.Errorf("mount /perm: %w", err)
	}
	return errors.Join(
		os.Symlink("/proc/self/fd", "/dev/fd"),
		os.WriteFile("/etc/resolv.conf", []byte("nameserver 10.0.2.3\n"), 0o644),
		os.Setenv("PATH", "/bin"), os.Setenv("HOME", "/tmp"), os.Setenv("TMPDIR", "/tmp"),
		loopbackUp(),
	)
}

// leaveInitramfs makes / a mount above the initramfs, which itself no container
// could change its root away from.
func leaveInitramfs() error {
	const above = "/above"
	if err := os.Mkdir(above, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", above, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := os.Chdir(above); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return os.Chdir("/")
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	return nil
}
