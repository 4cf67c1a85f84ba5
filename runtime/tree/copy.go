package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
)

// maxCopyDepth is how deep Copy goes: an image's folders are not deeper.
const maxCopyDepth = 300

// ErrTooDeep is returned by Copy.
var ErrTooDeep = errors.New("its folders are nested too deep to be copied")

// Copy copies what is in a folder into an empty one: folders, files, links and
// named pipes, with owners, modes, times and extended attributes, and the
// folder's own. Ids are mapped by id. What it writes is taken from room.
func Copy(to, from *os.File, id func(uint32) (uint32, error), room *space.Room) error {
	c := &copier{to: to, id: id, room: room, linked: make(map[uint64]string), buffer: make([]byte, 64<<10)}
	if err := c.folder(to, from, ".", 0); err != nil {
		return err
	}
	var s unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &s); err != nil {
		return err
	}
	return c.describe(to, from, &s)
}

type copier struct {
	to     *os.File
	id     func(uint32) (uint32, error)
	room   *space.Room
	linked map[uint64]string // copies of files with more than one name, by inode
	buffer []byte
}

func (c *copier) folder(to, from *os.File, name string, depth int) error {
	if depth > maxCopyDepth {
		return ErrTooDeep
	}
	for {
		names, err := from.Readdirnames(1000)
		for _, n := range names {
			if err := c.entry(to, from, n, path.Join(name, n), depth); err != nil {
				return fmt.Errorf("%.300q: %w", n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *copier) entry(to, from *os.File, base, name string, depth int) error {
	var s unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), base, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	kind := s.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && s.Nlink > 1 {
		if first, ok := c.linked[s.Ino]; ok {
			return unix.Linkat(int(c.to.Fd()), first, int(to.Fd()), base, 0)
		}
		c.linked[s.Ino] = name
	}
	if err := c.room.Wrote(int64(len(base))+16, 1); err != nil {
		return err
	}
	switch kind {
	case unix.S_IFDIR:
		return c.subfolder(to, from, base, name, &s, depth)
	case unix.S_IFREG:
		return c.file(to, from, base, &s)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(from.Fd()), base, target)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(string(target[:n]), int(to.Fd()), base); err != nil {
			return err
		}
		return c.describeName(to, base, &s)
	case unix.S_IFIFO:
		if err := unix.Mknodat(int(to.Fd()), base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		return c.describeName(to, base, &s)
	}
	return nil // sockets are nobody's any more, and devices a container's own
}

func (c *copier) subfolder(to, from *os.File, base, name string, s *unix.Stat_t, depth int) error {
	source, err := OpenFolder(from, base)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := unix.Mkdirat(int(to.Fd()), base, 0o700); err != nil {
		return err
	}
	copied, err := OpenFolder(to, base)
	if err != nil {
		return err
	}
	defer copied.Close()
	if err := c.room.Wrote(space.Blocks(1), 0); err != nil {
		return err
	}
	if err := c.folder(copied, source, name, depth+1); err != nil {
		return err
	}
	return c.describe(copied, source, s)
}

func (c *copier) file(to, from *os.File, base string, s *unix.Stat_t) error {
	if err := c.room.Need(space.Blocks(s.Size)); err != nil {
		return err
	}
	fd, err := unix.Openat(int(from.Fd()), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	source := os.NewFile(uintptr(fd), base)
	defer source.Close()
	fd, err = unix.Openat(int(to.Fd()), base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	copied := os.NewFile(uintptr(fd), base)
	defer copied.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(copied, c.room)}, struct{ io.Reader }{source}, c.buffer)
	if err != nil {
		return err
	}
	if err := c.room.Wrote(space.Blocks(n)-n, 0); err != nil {
		return err
	}
	if err := c.describe(copied, source, s); err != nil {
		return err
	}
	return copied.Close()
}

// describe gives a copy owner, attributes, mode and time, in this order: a
// change of the owner takes setuid and capabilities away.
func (c *copier) describe(to, from *os.File, s *unix.Stat_t) error {
	uid, gid, err := c.owner(s)
	if err != nil {
		return err
	}
	if err := to.Chown(uid, gid); err != nil {
		return err
	}
	if err := copyAttributes(to, from); err != nil {
		return err
	}
	if err := unix.Fchmod(int(to.Fd()), s.Mode&0o7777); err != nil {
		return err
	}
	times := []unix.Timeval{timeval(s.Atim), timeval(s.Mtim)}
	return unix.Futimes(int(to.Fd()), times)
}

// describeName is describe for what is not to be opened.
func (c *copier) describeName(to *os.File, base string, s *unix.Stat_t) error {
	uid, gid, err := c.owner(s)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(int(to.Fd()), base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(int(to.Fd()), base, s.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(int(to.Fd()), base, []unix.Timespec{s.Atim, s.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *copier) owner(s *unix.Stat_t) (uid, gid int, err error) {
	u, err := c.id(s.Uid)
	if err != nil {
		return 0, 0, err
	}
	g, err := c.id(s.Gid)
	return int(u), int(g), err
}

func timeval(t unix.Timespec) unix.Timeval { return unix.NsecToTimeval(unix.TimespecToNsec(t)) }
