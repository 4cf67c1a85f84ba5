package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
)

// A container that may write to a volume could put a symbolic link where a
// folder was. So volumes are opened within the volumes' folder, out of which no
// link leads, and what was opened is what is mounted: with the container's ids,
// in its bundle, where no container can reach.

// mountVolumes mounts the workload's volumes in the bundle, in which the i-th
// is then at bundle.volume(i). Those that are not there are made. A new volume
// that is named gets owner and mode of what the image has at its target.
func (c *Container) mountVolumes(namespace *os.File, layers oci.Layers) error {
	if len(c.workload.Mounts) == 0 {
		return nil
	}
	if err := os.Mkdir(c.bundle.volumes(), 0o711); err != nil {
		return err
	}
	if err := os.Chmod(c.bundle.volumes(), 0o711); err != nil {
		return err
	}
	root, err := os.OpenRoot(c.runtime.config.Volumes)
	if err != nil {
		return err
	}
	defer root.Close()
	for i, m := range c.workload.Mounts {
		if err := c.mountVolume(root, m, c.bundle.volume(i), namespace, layers); err != nil {
			return fmt.Errorf("volume %s: %w", m.Source, err)
		}
	}
	return nil
}

func (c *Container) mountVolume(root *os.Root, m Mount, target string, namespace *os.File, layers oci.Layers) error {
	name := m.Source
	if path.IsAbs(name) {
		below, err := filepath.Rel(c.runtime.config.Volumes, name)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return invalid("it is not below %s", c.runtime.config.Volumes)
		}
		name = below
	}
	f, err := openVolume(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeVolume(root, name, m, layers); err == nil {
			f, err = openVolume(root, name)
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := mountPoint(f, target); err != nil {
		return err
	}
	if err := cloneMapped(f, target, namespace, m.ReadOnly); err != nil {
		return err
	}
	c.later(func() error {
		if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount volume %s: %w", m.Source, err)
		}
		return nil
	})
	return nil
}

// mountPoint makes target what f is, a folder or a file.
func mountPoint(f *os.File, target string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.Mkdir(target, 0o700)
	}
	return os.WriteFile(target, nil, 0o600)
}

func openVolume(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, errors.New("neither a folder nor a file")
	}
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func makeVolume(root *os.Root, name string, m Mount, layers oci.Layers) error {
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	if path.IsAbs(m.Source) {
		return nil
	}
	_, like, err := layers.Lookup(m.Target)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !like.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	owner := like.Sys().(*syscall.Stat_t)
	if err := root.Chown(name, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return root.Chmod(name, like.Mode().Perm()|like.Mode()&fs.ModeSticky)
}
