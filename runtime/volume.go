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

	"github.com/entroos/entroos/runtime/oci"
)

// volumeSource is a volume held open: a container that may write to a volume
// could put a symbolic link where a folder was, which then would be followed
// when it is mounted.
type volumeSource struct {
	mount Mount
	file  *os.File
}

// path is where runc finds what is held open.
func (v volumeSource) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), v.file.Fd())
}

// openVolumes opens the workload's volumes below the volumes' folder; those
// that are not there are made. A new volume that is named gets owner and mode
// of what the image has at its target.
func (r *Runtime) openVolumes(w *Workload, layers oci.Layers) (_ []volumeSource, err error) {
	if len(w.Mounts) == 0 {
		return nil, nil
	}
	root, err := os.OpenRoot(r.config.Volumes)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var sources []volumeSource
	defer func() {
		if err != nil {
			closeVolumes(sources)
		}
	}()
	for _, m := range w.Mounts {
		name := m.Source
		if path.IsAbs(name) {
			below, err := filepath.Rel(r.config.Volumes, name)
			if err != nil || below == ".." || strings.HasPrefix(below, "../") {
				return nil, invalid("volume %s is not below %s", name, r.config.Volumes)
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
			return nil, fmt.Errorf("volume %s: %w", m.Source, err)
		}
		sources = append(sources, volumeSource{m, f})
	}
	return sources, nil
}

func closeVolumes(sources []volumeSource) {
	for _, s := range sources {
		s.file.Close() // nothing was written through it
	}
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
