package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
	"github.com/entroos/entroos/runtime/tree"
)

// opaqueAttribute marks a directory that hides those of lower layers.
const opaqueAttribute = "trusted.overlay.opaque"

// layerRoot is a layer's directory, within which paths are resolved.
type layerRoot struct {
	*os.File
	path string
}

// open opens a directory. Links are followed as if the layer were all there is.
func (r layerRoot) open(name string) (*os.File, error) {
	return r.resolve(name, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
}

func (r layerRoot) resolve(name string, how uint64) (*os.File, error) {
	const attempts = 100 // it fails when something else on the machine is renamed meanwhile
	for n := 1; ; n++ {
		fd, err := unix.Openat2(int(r.Fd()), name, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: how,
		})
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EAGAIN) && n < attempts, errors.Is(err, unix.EINTR):
			continue
		}
		return nil, &fs.PathError{Op: "open", Path: fmt.Sprintf("%.300q", name), Err: err}
	}
}

// noParent is no path.
const noParent = "\x00"

func (u *unpacker) forgetParent() {
	if u.parent != nil {
		u.parent.Close()
	}
	u.parent, u.parentName = nil, noParent
}

// openParent makes u.parent the directory name. Those on the way that are not
// there are made.
func (u *unpacker) openParent(name string) error {
	if u.parent != nil && u.parentName == name {
		return nil
	}
	u.forgetParent()
	dir, err := u.root.open(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		dir, err = u.makeFolders(name)
	}
	if errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%w: too many symbolic links on the way", ErrUnsafe)
	}
	if err != nil {
		return err
	}
	// Links may have led deeper than the name says.
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err == nil && len(real)-len(u.root.path) > maxPath-maxName || errors.Is(err, unix.ENAMETOOLONG) {
		err = fmt.Errorf("%w: by symbolic links its path has more than %d bytes", ErrTooLarge, maxPath)
	}
	if err != nil {
		dir.Close()
		return err
	}
	u.parent, u.parentName = dir, name
	return nil
}

// maxLinks is how many symbolic links one lookup follows, as in the kernel.
const maxLinks = 40

// makeFolders opens the directory name, and makes it and those above it where
// they are not there, also where symbolic links lead.
func (u *unpacker) makeFolders(name string) (*os.File, error) {
	pending := components(name)
	var done []string // from the root to at, without links
	at, err := u.root.open(".")
	if err != nil {
		return nil, err
	}
	defer func() { at.Close() }()
	reopen := func() error {
		again, err := u.root.resolve(path.Join(".", path.Join(done...)), unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
		if err == nil {
			at.Close()
			at = again
		}
		return err
	}
	for links := 0; len(pending) > 0; {
		c := pending[0]
		pending = pending[1:]
		if c == ".." {
			done = done[:max(0, len(done)-1)]
			if err := reopen(); err != nil {
				return nil, err
			}
			continue
		}
		target, err := u.makeFolder(at, done, c)
		if err != nil {
			return nil, err
		}
		if target == "" {
			if done = append(done, c); len(done) > maxDepth {
				return nil, fmt.Errorf("%w: %d folders deep", ErrTooLarge, len(done))
			}
			below, err := tree.OpenFolder(at, c)
			if err != nil {
				return nil, err
			}
			at.Close()
			at = below
			continue
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		pending = append(components(target), pending...)
		if strings.HasPrefix(target, "/") {
			done = nil
			if err := reopen(); err != nil {
				return nil, err
			}
		}
	}
	return u.root.resolve(path.Join(".", path.Join(done...)), unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
}

// makeFolder makes a folder that only entries below it imply, unless there is
// one, or a symbolic link, whose target is given.
func (u *unpacker) makeFolder(at *os.File, done []string, name string) (target string, err error) {
	var s unix.Stat_t
	err = unix.Fstatat(int(at.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW)
	hidden := false
	switch {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		return "", err
	case s.Mode&unix.S_IFMT == unix.S_IFDIR:
		return "", nil
	case s.Mode&unix.S_IFMT == unix.S_IFLNK:
		buffer := make([]byte, maxLinkTarget+1)
		n, err := unix.Readlinkat(int(at.Fd()), name, buffer)
		return string(buffer[:max(0, n)]), err
	case s.Mode&unix.S_IFMT == unix.S_IFCHR: // a whiteout
		if err := unix.Unlinkat(int(at.Fd()), name, 0); err != nil {
			return "", err
		}
		hidden = true
	default:
		return "", fmt.Errorf("%w: %.300q is no folder", ErrUnsafe, path.Join(path.Join(done...), name))
	}
	if err := unix.Mkdirat(int(at.Fd()), name, 0o755); err != nil {
		return "", err
	}
	if err := u.room.Wrote(space.Blocks(1), 1); err != nil {
		return "", err
	}
	dir, err := tree.OpenFolder(at, name)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	if hidden {
		return "", errors.Join(dir.Chmod(0o755), makeOpaque(dir))
	}
	return "", u.inherit(dir, path.Join(path.Join(done...), name))
}

// inherit gives a folder the attributes that lower layers have for it.
func (u *unpacker) inherit(dir *os.File, name string) error {
	u.implied = true
	_, info, err := u.lowers.Lookup(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || err == nil && !info.IsDir() {
		return dir.Chmod(0o755) // whatever the umask says
	}
	if err != nil {
		return err
	}
	s := info.Sys().(*syscall.Stat_t)
	if err := dir.Chown(int(s.Uid), int(s.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dir.Fd()), s.Mode&0o7777); err != nil {
		return err
	}
	return u.times.add(name, boundTime(info.ModTime()), u.room)
}
