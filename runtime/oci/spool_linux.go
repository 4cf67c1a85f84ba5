package oci

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// unnamedFile makes a file in dir that is gone when it is closed, or when the
// power is cut.
func unnamedFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, fmt.Errorf("spool in %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

// freeSpace is what an unprivileged writer could still use in dir, in bytes
// and in inodes.
func freeSpace(dir string) (bytes, inodes uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	if s.Files == 0 { // a file system that does not count them
		return s.Bavail * uint64(s.Bsize), 1 << 62, nil
	}
	return s.Bavail * uint64(s.Bsize), s.Ffree, nil
}

// syncFileSystem writes all of dir's file system to the disk.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", dir, err)
	}
	return nil
}

// syncDirectory writes dir's entries to the disk.
func syncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// inode tells files apart.
type inode struct{ device, number, links uint64 }

func inodeOf(info os.FileInfo) inode {
	s := info.Sys().(*syscall.Stat_t)
	return inode{device: s.Dev, number: s.Ino, links: uint64(s.Nlink)}
}
