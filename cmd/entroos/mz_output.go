package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// newFile is a file that is made whole or not at all: it has another name until
// it is finished.
type newFile struct {
	*os.File
	path string
}

// createFile begins a file in the place of path, for its owner alone unless it
// is to have the mode that new files have.
func createFile(path string, private bool) (*newFile, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	mode := fs.FileMode(0o666)
	if private {
		mode = 0o600
	}
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".mz-%016x", rand.Uint64()))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if err == nil {
			return &newFile{f, path}, nil
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// discard takes the file away, unless it is finished.
func (f *newFile) discard() {
	if f.File != nil {
		f.Close()
		os.Remove(f.Name()) // it is of no use; nothing more can be done
	}
}

// finish gives the file its name, when all of it is on disk. It has the mode,
// the time and, where we may, the owner of like, if that is not nil. Without
// replace a file of that name stays as it is.
func (f *newFile) finish(like os.FileInfo, replace bool) error {
	if like != nil {
		if err := f.become(like); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if like != nil {
		if err := os.Chtimes(f.Name(), like.ModTime(), like.ModTime()); err != nil {
			return err
		}
	}
	if err := rename(f.Name(), f.path, replace); errors.Is(err, fs.ErrExist) {
		return errExists(f.path)
	} else if err != nil {
		return err
	}
	file := f.File
	f.File = nil // nothing to discard any more
	if err := file.Close(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// become gives the file the owner, where we may, and the mode of another.
func (f *newFile) become(like os.FileInfo) error {
	mode := like.Mode().Perm()
	if owner, ok := like.Sys().(*syscall.Stat_t); ok {
		err := f.Chown(int(owner.Uid), int(owner.Gid))
		if errors.Is(err, fs.ErrPermission) { // then what is for its group is not for ours
			mode &^= 0o070
		} else if err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

func errExists(path string) error {
	return warning(fmt.Errorf("%s exists already; -f overwrites it", path))
}

// rename is the system's; without replace it fails where there is a file.
func rename(from, to string, replace bool) error {
	if replace {
		return os.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot
		if _, err := os.Lstat(to); err == nil {
			return fs.ErrExist
		}
		return os.Rename(from, to)
	}
	return os.NewSyscallError("rename", err)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // which some file systems say
		return err
	}
	return nil
}

// whole makes a file by write, or leaves nothing. It is there when done is true,
// whatever it is that write warns of.
func whole(ctx context.Context, path string, like os.FileInfo, replace bool, write func(*os.File) error) (done bool, err error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return false, errExists(path)
	}
	f, err := createFile(path, like != nil)
	if err != nil {
		return false, err
	}
	defer f.discard()
	warned := write(f.File)
	var status *statusError
	if warned != nil && !(errors.As(warned, &status) && status.status == exitWarning) {
		return false, warned
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err := f.finish(like, replace); err != nil {
		return false, err
	}
	return true, warned
}
