package runtime

import (
	"errors"
	"io/fs"
	"os"

	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/space"
)

// A new container takes so much of the disk before it writes anything: its
// folders, its log, and its records. One that was made before is started on a
// full disk, too.
const (
	newContainerBytes = 1 << 20
	newContainerFiles = 16
)

// checkRoom fails when the disk is too full for a container that is new.
func (c *Container) checkRoom() error {
	_, err := os.Lstat(c.runtime.writableDir(c.id))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.fresh = true
	return space.Check(c.runtime.config.Containers, newContainerBytes, newContainerFiles)
}

func (c *Container) mount(layers oci.Layers) error {
	r := c.runtime
	namespace, err := r.userNamespace(c.record)
	if err != nil {
		return err
	}
	writable := r.writableDir(c.id)
	if err := os.MkdirAll(writable, 0o700); err != nil {
		return err
	}
	c.rootfs = &rootfs{
		layers: r.images.LayersDir(), lowers: layers, writable: writable, clone: c.bundle.layers(), target: c.bundle.rootfs(),
		root: int(c.record.rootID()),
	}
	if err := c.rootfs.mount(namespace); err != nil {
		return err
	}
	c.later(c.rootfs.unmount)
	return c.mountVolumes(namespace)
}
