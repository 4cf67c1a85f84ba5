package oci

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
)

// describe gives what was made its owner, mode and time.
func (u *unpacker) describe(e *layerEntry) error {
	fd := int(u.parent.Fd())
	if err := unix.Fchownat(fd, e.base, e.uid, e.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if e.target == "" { // symbolic links have no modes
		if err := unix.Fchmodat(fd, e.base, e.mode, 0); err != nil {
			return err
		}
	}
	return setTime(fd, e.base, e.modified)
}

// describeOpen is describe for a file or folder that is open, with extended
// attributes.
func (u *unpacker) describeOpen(e *layerEntry, f *os.File) error {
	fd := int(f.Fd())
	// A change of the owner takes setuid and capabilities away.
	if err := unix.Fchown(fd, e.uid, e.gid); err != nil {
		return err
	}
	for name, value := range e.attributes {
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		switch {
		case errors.Is(err, unix.ENOTSUP): // by this file system
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE):
			return fmt.Errorf("%w: its extended attributes", ErrTooLarge)
		case err != nil:
			return fmt.Errorf("%w: the attribute %.300q: %w", ErrMalformed, name, err)
		}
	}
	if err := unix.Fchmod(fd, e.mode); err != nil {
		return err
	}
	return setTime(int(u.parent.Fd()), e.base, e.modified)
}

func setTime(dir int, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// timesFile remembers the times of directories, which can be set only when
// nothing changes in them any more, on the disk: there may be very many.
type timesFile struct {
	file *os.File
	w    *bufio.Writer
}

func newTimesFile(dir string) (*timesFile, error) {
	f, err := unnamedFile(dir)
	if err != nil {
		return nil, err
	}
	return &timesFile{file: f, w: bufio.NewWriter(f)}, nil
}

func (t *timesFile) close() { t.file.Close() } // nobody reads it again

func (t *timesFile) add(name string, at time.Time, left *space.Room) error {
	record := binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano()))
	record = binary.BigEndian.AppendUint16(record, uint16(len(name)))
	record = append(record, name...)
	if _, err := t.w.Write(record); err != nil {
		return err
	}
	return left.Wrote(int64(len(record)), 0)
}

// set sets the times of those directories that are still there.
func (t *timesFile) set(root layerRoot) error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(t.file)
	for {
		var header [10]byte
		if _, err := io.ReadFull(r, header[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		name := make([]byte, binary.BigEndian.Uint16(header[8:]))
		if _, err := io.ReadFull(r, name); err != nil {
			return err
		}
		at := time.Unix(0, int64(binary.BigEndian.Uint64(header[:])))
		if err := setFolderTime(root, string(name), at); err != nil {
			return err
		}
	}
}

func setFolderTime(root layerRoot, name string, at time.Time) error {
	dir, base := path.Split(name)
	parent, err := root.open(path.Clean(dir))
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := setTime(int(parent.Fd()), base, at); !gone(err) {
		return err
	}
	return nil
}

// gone says that a later entry has put something else in a folder's place.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
