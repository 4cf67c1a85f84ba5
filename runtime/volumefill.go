package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
	"github.com/entroos/entroos/runtime/tree"
)

// unfinishedVolume begins the name of a volume that is being made. No volume's
// name begins with a dot.
const unfinishedVolume = ".new-"

// makeVolume makes a volume in place of nothing or of an empty folder, with
// what the container's root file system has at the target, and opens it. It
// appears when it is complete and on the disk.
func (c *Container) makeVolume(v volume, target string) (_ *os.File, err error) {
	next := unfinishedVolume + v.name
	defer func() {
		// After a success, there is nothing.
		err = errors.Join(err, tree.Remove(filepath.Join(v.root.Name(), next)))
	}()
	if err := tree.Remove(filepath.Join(v.root.Name(), next)); err != nil {
		return nil, err
	}
	if err := v.root.Mkdir(next, 0o755); err != nil {
		return nil, err
	}
	f, err := openVolume(v.root, next)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Chmod(0o755); err != nil { // whatever the umask says
		return nil, err
	}
	if err := c.fillVolume(f, target); err != nil {
		return nil, space.Explain(err)
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return nil, fmt.Errorf("bring it to the disk: %w", err)
	}
	if err := replaceFolder(v.root, next, v.name); err != nil {
		return nil, err
	}
	return openVolume(v.root, v.name)
}

// replaceFolder puts one folder in place of nothing or of an empty one, which
// os.Root does not.
func replaceFolder(root *os.Root, from, to string) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Renameat(int(dir.Fd()), from, int(dir.Fd()), to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// fillVolume copies what the container's root file system has at the target.
func (c *Container) fillVolume(f *os.File, target string) error {
	room, err := space.NewRoom(c.runtime.config.Volumes)
	if err != nil {
		return err
	}
	if err := room.Need(space.Blocks(1)); err != nil {
		return err
	}
	root, err := os.Open(c.bundle.rootfs())
	if err != nil {
		return err
	}
	defer root.Close()
	from, err := openWithin(root, target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // runc makes the mount point, or says why it cannot
	}
	if err != nil {
		return err
	}
	defer from.Close()
	return tree.Copy(f, from, c.record.imageID, room)
}

// openWithin opens a folder. Links are followed as if root were all there is.
func openWithin(root *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// imageID is the id in the image of one of the container's on the box.
func (c containerRecord) imageID(id uint32) (uint32, error) {
	if id < c.rootID() || id >= c.rootID()+idsPerContainer {
		return 0, fmt.Errorf("it belongs to %d, who is not among the container's %d ids", int64(id)-int64(c.rootID()), idsPerContainer)
	}
	return id - c.rootID(), nil
}

// recoverVolumes removes volumes whose making was cut short.
func (r *Runtime) recoverVolumes() error {
	entries, err := os.ReadDir(r.config.Volumes)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinishedVolume) {
			err = errors.Join(err, tree.Remove(filepath.Join(r.config.Volumes, e.Name())))
		}
	}
	return err
}
