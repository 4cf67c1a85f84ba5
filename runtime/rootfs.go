package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// rootfs is a container's root file system: its image's layers below, what it
// has written itself above.
//
// Files in layers belong to the ids that the image gives them, from 0. The
// container's are others, so the lowers are taken from a clone of the layers'
// mount which maps ids by the container's user namespace. Upper and work are
// plain: what the container writes has its own ids on the disk. (The overlay
// itself cannot be mapped, and with a mapped upper it is read-only.)
type rootfs struct {
	layers   string   // the folder of all layers
	lowers   []string // layers within it, the topmost first
	writable string   // the container's own folder, for upper and work
	clone    string   // an empty folder to have the mapped layers in for a moment
	target   string   // where it is mounted
	root     int      // the container's root: user and group id
}

// mount mounts it. The user namespace maps the container's ids.
func (f *rootfs) mount(namespace *os.File) error {
	if err := f.prepare(); err != nil {
		return err
	}
	layers, err := os.Open(f.layers)
	if err != nil {
		return err
	}
	defer layers.Close()
	if err := cloneMapped(layers, f.clone, namespace, true); err != nil {
		return err
	}
	// The overlay keeps clones of its own of what it is made from.
	err = errors.Join(f.mountOverlay(), unix.Unmount(f.clone, unix.MNT_DETACH))
	if err != nil {
		return err
	}
	// An overlay whose upper does not suit it is mounted all the same.
	var s unix.Statfs_t
	if err := unix.Statfs(f.target, &s); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		return errors.Join(errors.New("root file system: the overlay came up read-only (the kernel's log says why)"), f.unmount())
	}
	return nil
}

func (f *rootfs) unmount() error {
	if err := unix.Unmount(f.target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount root file system: %w", err)
	}
	return nil
}

func (f *rootfs) upper() string { return filepath.Join(f.writable, "upper") }
func (f *rootfs) work() string  { return filepath.Join(f.writable, "work") }

func (f *rootfs) prepare() error {
	for _, dir := range []string{f.work(), f.clone, f.target} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if _, err := os.Stat(f.upper()); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// The upper's root is the container's /. It appears when it is complete.
	next := f.upper() + ".next"
	if err := os.MkdirAll(next, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(next, 0o755); err != nil { // whatever the umask says
		return err
	}
	if err := os.Chown(next, f.root, f.root); err != nil {
		return err
	}
	return os.Rename(next, f.upper())
}

// cloneMapped attaches a clone of source's mount, from source down, to target,
// its ids mapped by the namespace.
func cloneMapped(source *os.File, target string, namespace *os.File, readOnly bool) error {
	tree, err := unix.OpenTree(int(source.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("clone the mount of %s: %w", source.Name(), err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_IDMAP,
		Propagation: unix.MS_PRIVATE,
		Userns_fd:   uint64(namespace.Fd()),
	}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("map the ids of %s: %w", source.Name(), err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

func (f *rootfs) mountOverlay() error {
	overlay, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	defer unix.Close(overlay)
	options := [][2]string{{"source", "entroos"}}
	for _, l := range f.lowers {
		below, err := filepath.Rel(f.layers, l)
		if err != nil {
			return err
		}
		options = append(options, [2]string{"lowerdir+", filepath.Join(f.clone, below)})
	}
	options = append(options, [2]string{"upperdir", f.upper()}, [2]string{"workdir", f.work()})
	for _, o := range options {
		if err := unix.FsconfigSetString(overlay, o[0], o[1]); err != nil {
			return fmt.Errorf("overlay: %s=%s: %w", o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(overlay); err != nil {
		return fmt.Errorf("overlay of %d layers: %w", len(f.lowers), err)
	}
	// The container has devices of its own at /dev, and needs none elsewhere.
	mount, err := unix.Fsmount(overlay, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	defer unix.Close(mount)
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, f.target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", f.target, err)
	}
	return nil
}
