package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A container that may write to a volume could put a symbolic link where a
// folder was. So volumes are opened within the volumes' folder, out of which no
// link leads, and what was opened is what is mounted: with the container's ids,
// in its bundle, where no container can reach.
//
// Named volumes are shared, and stay. Anonymous ones, which images ask for, lie
// beside what the container writes, and are removed with it; those of declared
// workloads have names, and stay.

// volume is what a Mount's source means: a name in a folder.
type volume struct {
	root *os.Root
	name string
	// own says that what is not there is made from the image's content.
	own bool
}

// mountVolumes mounts the workload's volumes in the bundle, in which the i-th
// is then at bundle.volume(i). The root file system is mounted.
func (c *Container) mountVolumes(namespace *os.File) error {
	if len(c.workload.Mounts) == 0 {
		return nil
	}
	if err := os.Mkdir(c.bundle.volumes(), 0o711); err != nil {
		return err
	}
	if err := os.Chmod(c.bundle.volumes(), 0o711); err != nil {
		return err
	}
	for i, m := range c.workload.Mounts {
		name := m.Source
		if name == "" {
			name = m.Target + " of the image"
		}
		if err := c.mountVolume(m, c.bundle.volume(i), namespace); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
	}
	return nil
}

func (c *Container) mountVolume(m Mount, target string, namespace *os.File) error {
	v, err := c.volume(m)
	if err != nil {
		return err
	}
	defer v.root.Close()
	f, err := c.takeVolume(v, m.Target)
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

// volume finds what a mount's source means.
func (c *Container) volume(m Mount) (volume, error) {
	r := c.runtime
	if m.Source == "" {
		dir := filepath.Join(r.writableDir(c.id), "volumes")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return volume{}, err
		}
		root, err := os.OpenRoot(dir)
		target := sha256.Sum256([]byte(m.Target))
		return volume{root: root, name: hex.EncodeToString(target[:16]), own: true}, err
	}
	v := volume{name: m.Source, own: !path.IsAbs(m.Source)}
	if !v.own {
		below, err := filepath.Rel(r.config.Volumes, m.Source)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return volume{}, invalid("it is not below %s", r.config.Volumes)
		}
		v.name = below
	}
	var err error
	v.root, err = os.OpenRoot(r.config.Volumes)
	return v, err
}

// takeVolume opens a volume, which is made if it is not there, and notes that
// the container uses it.
func (c *Container) takeVolume(v volume, target string) (*os.File, error) {
	r := c.runtime
	r.volumes.Lock()
	defer r.volumes.Unlock()
	key := filepath.Join(v.root.Name(), v.name)
	f, err := openVolume(v.root, v.name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !v.own:
		if err = v.root.MkdirAll(v.name, 0o755); err == nil {
			f, err = openVolume(v.root, v.name)
		}
	case errors.Is(err, fs.ErrNotExist):
		f, err = c.makeVolume(v, target)
	case err == nil && v.own && c.fresh && r.volumeUsers[key] == 0:
		// As docker has it, a container that is new fills a volume that is empty.
		var empty bool
		if empty, err = isEmpty(f); empty && err == nil {
			f.Close()
			f, err = c.makeVolume(v, target)
		}
	}
	if err != nil {
		return nil, err
	}
	r.volumeUsers[key]++
	c.later(func() error {
		r.volumes.Lock()
		defer r.volumes.Unlock()
		if r.volumeUsers[key]--; r.volumeUsers[key] == 0 {
			delete(r.volumeUsers, key)
		}
		return nil
	})
	return f, nil
}

func isEmpty(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || !info.IsDir() {
		return false, err
	}
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd())) // to leave f's own place alone
	if err != nil {
		return false, err
	}
	defer again.Close()
	_, err = again.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
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
