package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
	"github.com/entroos/entroos/runtime/tree"
)

// unpacker writes a layer's entries below a directory in overlayfs's form:
// whiteouts are devices 0/0, opaque directories have an attribute. The kernel
// resolves every path with that directory as its root, out of which no link
// leads. What the unpacker remembers does not grow with the layer.
type unpacker struct {
	root   layerRoot
	lowers Layers // the layers below, which give directories that this one implies their attributes
	room   *space.Room
	times  *timesFile

	parent     *os.File // the directory that was opened last
	parentName string
	buffer     []byte
	implied    bool // a directory was made that only what is in it implies
}

// unpack applies a layer's tar to the empty directory dir, as far as there is
// room. Each entry's size is told to allow before its content is read.
// Implied says that what it made depends on the layers below.
func unpack(ctx context.Context, plain io.Reader, allow func(size int64), dir string, lowers Layers, left *space.Room) (implied bool, err error) {
	root, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	times, err := newTimesFile(filepath.Dir(dir))
	if err != nil {
		return false, err
	}
	defer times.close()
	u := &unpacker{root: layerRoot{root, dir}, lowers: lowers, room: left, times: times, buffer: make([]byte, 64<<10)}
	defer u.forgetParent()
	tr := tar.NewReader(plain)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return u.implied, times.set(u.root)
		}
		if err != nil {
			return false, malformed(err)
		}
		if n == maxLayerEntries {
			return false, fmt.Errorf("%w: more than %d files", ErrTooLarge, maxLayerEntries)
		}
		e, err := checkEntry(h)
		if err != nil {
			return false, err
		}
		if e == nil || e.base == "." { // a container's / is its own
			continue
		}
		allow(e.size)
		if err := u.write(e, tr); err != nil {
			return false, fmt.Errorf("%.300q: %w", path.Join(e.dir, e.base), err)
		}
	}
}

func (u *unpacker) write(e *layerEntry, content io.Reader) error {
	if err := u.openParent(e.dir); err != nil {
		return err
	}
	if strings.HasPrefix(e.base, whiteoutPrefix) {
		return u.whiteout(e)
	}
	opaque, err := u.makeWay(e)
	if err != nil {
		return err
	}
	// What is charged here is the inode and what it takes beside its content.
	charge := int64(len(e.base)) + 16
	if len(e.attributes) > 0 {
		charge += space.Blocks(1)
	}
	switch e.kind {
	case tar.TypeReg:
		err = u.writeFile(e, content)
	case tar.TypeDir:
		charge += space.Blocks(1)
		err = u.writeFolder(e, opaque)
	case tar.TypeSymlink:
		charge += space.Blocks(int64(len(e.target)))
		err = unix.Symlinkat(e.target, int(u.parent.Fd()), e.base)
	case tar.TypeFifo:
		err = unix.Mknodat(int(u.parent.Fd()), e.base, unix.S_IFIFO|0o600, 0)
	case tar.TypeLink:
		if err := u.link(e); err != nil {
			return err
		}
		return u.room.Wrote(charge, 0)
	}
	if err == nil && e.kind != tar.TypeReg && e.kind != tar.TypeDir {
		err = u.describe(e)
	}
	if err != nil {
		return err
	}
	return u.room.Wrote(charge, 1)
}

// makeWay removes what an earlier entry has put in the entry's place. Opaque
// says that a folder of lower layers was hidden there.
func (u *unpacker) makeWay(e *layerEntry) (opaque bool, err error) {
	var s unix.Stat_t
	err = unix.Fstatat(int(u.parent.Fd()), e.base, &s, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	kind := s.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR && e.kind == tar.TypeDir {
		return false, nil
	}
	u.parentName = noParent // its path may have led through what goes
	return kind == unix.S_IFCHR, tree.RemoveAt(u.parent, e.base)
}

func (u *unpacker) writeFile(e *layerEntry, content io.Reader) error {
	if err := u.room.Need(space.Blocks(e.size)); err != nil {
		return fmt.Errorf("%d bytes: %w", e.size, err)
	}
	fd, err := unix.Openat(int(u.parent.Fd()), e.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.base)
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, u.room)}, struct{ io.Reader }{content}, u.buffer)
	if err != nil {
		return malformed(err)
	}
	if n != e.size {
		return fmt.Errorf("%w: %d bytes, where its header says %d", ErrMalformed, n, e.size)
	}
	if err := u.describeOpen(e, f); err != nil {
		return err
	}
	if err := u.room.Wrote(space.Blocks(n)-n, 0); err != nil {
		return err
	}
	return f.Close()
}

func (u *unpacker) writeFolder(e *layerEntry, opaque bool) error {
	if err := unix.Mkdirat(int(u.parent.Fd()), e.base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	f, err := tree.OpenFolder(u.parent, e.base)
	if err != nil {
		return err
	}
	defer f.Close()
	if opaque {
		if err := makeOpaque(f); err != nil {
			return err
		}
	}
	if err := u.describeOpen(e, f); err != nil {
		return err
	}
	return u.times.add(path.Join(e.dir, e.base), e.modified, u.room)
}

// link makes a hard link, to a file of this layer alone.
func (u *unpacker) link(e *layerEntry) error {
	missing := fmt.Errorf("%w: a hard link to %.300q, which is not in this layer", ErrUnsafe, e.target)
	dir, base := path.Split(e.target)
	from, err := u.root.open(path.Clean(dir))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return missing
	}
	if err != nil {
		return err
	}
	defer from.Close()
	var s unix.Stat_t
	err = unix.Fstatat(int(from.Fd()), base, &s, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return missing
	case err != nil:
		return err
	}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFIFO:
	default:
		return fmt.Errorf("%w: a hard link to %.300q, which is no file", ErrUnsafe, e.target)
	}
	return unix.Linkat(int(from.Fd()), base, int(u.parent.Fd()), e.base, 0)
}

// whiteout hides what lower layers have under a name. A file of this layer
// under it stays, and a folder stays with what this layer has in it.
func (u *unpacker) whiteout(e *layerEntry) error {
	if e.base == opaqueMarker {
		return makeOpaque(u.parent)
	}
	hidden := strings.TrimPrefix(e.base, whiteoutPrefix)
	fd := int(u.parent.Fd())
	err := unix.Mknodat(fd, hidden, unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		f, err := tree.OpenFolder(u.parent, hidden)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return makeOpaque(f)
	}
	if err != nil {
		return err
	}
	return u.room.Wrote(int64(len(hidden))+16, 1)
}

func makeOpaque(dir *os.File) error {
	if err := unix.Fsetxattr(int(dir.Fd()), opaqueAttribute, []byte{'y'}, 0); err != nil {
		return fmt.Errorf("mark it as opaque: %w", err)
	}
	return nil
}
