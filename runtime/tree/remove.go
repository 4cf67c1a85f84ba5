// Package tree works on folders whose contents others have made: it follows
// none of their links, and no depth of theirs is too deep for it.
package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxDepth is how many folders are open at once.
const maxDepth = 64

// Remove deletes what is at path and all below it; nothing there is no error.
// A container may nest folders deeper than there are file descriptors, which
// os.RemoveAll has one open of for each: from maxDepth on they are moved up.
// Nothing is deleted through a mount.
func Remove(path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := RemoveAt(parent, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// RemoveAt is Remove for the name in a folder.
func RemoveAt(parent *os.File, name string) error {
	err := unix.Unlinkat(int(parent.Fd()), name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return ignoreMissing(err)
	}
	top, err := OpenFolder(parent, name)
	if err != nil {
		return ignoreMissing(err)
	}
	defer top.Close()
	r := remover{top: top}
	if err := r.empty(top, 0); err != nil {
		return err
	}
	return ignoreMissing(unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR))
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// OpenFolder opens a folder in another one, and no link to one.
func OpenFolder(parent *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

type remover struct {
	top   *os.File
	moved int
}

// empty deletes all that is in dir, which lies depth below the top.
func (r *remover) empty(dir *os.File, depth int) error {
	for {
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
		// What is moved up makes another round there.
		names, err := dir.Readdirnames(1000)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := r.remove(dir, name, depth); err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
		}
	}
}

func (r *remover) remove(dir *os.File, name string, depth int) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return ignoreMissing(err)
	}
	err = unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return ignoreMissing(err)
	}
	if depth == maxDepth {
		return r.moveUp(dir, name)
	}
	below, err := OpenFolder(dir, name)
	if err != nil {
		return err
	}
	defer below.Close()
	if err := r.empty(below, depth+1); err != nil {
		return err
	}
	return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
}

// moveUp moves a folder to the top.
func (r *remover) moveUp(dir *os.File, name string) error {
	for {
		r.moved++
		err := unix.Renameat2(int(dir.Fd()), name, int(r.top.Fd()), fmt.Sprint("deep-", r.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}
