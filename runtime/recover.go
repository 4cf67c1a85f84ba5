package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/record"
	"github.com/entroos/entroos/runtime/tree"
)

// Recover clears what an earlier life has left: processes of containers,
// mounts, bundles, interfaces, imports that were cut short, and files of
// containers that are not recorded. It is called once, before the first
// Create.
func (r *Runtime) Recover(ctx context.Context) error {
	return errors.Join(
		r.recoverCgroups(ctx),
		r.recoverMounts(),
		emptyFolder(r.bundles(), removeBundle),
		emptyFolder(r.state(), os.RemoveAll),
		r.network.Recover(),
		r.images.Recover(),
		r.recoverFolders(),
		r.recoverVolumes(),
		r.resolver.refresh(),
	)
}

func (r *Runtime) recoverCgroups(ctx context.Context) error {
	if err := checkCgroups(); err != nil {
		return err
	}
	entries, err := os.ReadDir(cgroupDir(r.config.Cgroup))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, removeCgroup(ctx, filepath.Join(cgroupDir(r.config.Cgroup), e.Name())))
		}
	}
	return errors.Join(append(errs, err)...)
}

func (r *Runtime) recoverMounts() error {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, r.bundles()+"/"), false
	})
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var errs []error
	for _, m := range slices.Backward(mounts) { // the last are on top
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}

func emptyFolder(dir string, remove func(string) error) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, remove(filepath.Join(dir, e.Name())))
	}
	return err
}

// recoverFolders removes the files and the logs of containers without a record,
// whose removal was cut short.
func (r *Runtime) recoverFolders() error {
	recorded := make(map[string]bool)
	err := record.View(r.db, func(tx *bbolt.Tx) error {
		return containerBucket.Each(tx, func(id string, _ containerRecord) error {
			recorded[id] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	errs := []error{r.recoverLogs(recorded)}
	entries, err := os.ReadDir(r.config.Containers)
	errs = append(errs, err)
	for _, e := range entries {
		if !recorded[e.Name()] {
			errs = append(errs, tree.Remove(filepath.Join(r.config.Containers, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Remove deletes what a closed container has left: what it wrote, anonymous
// volumes too (a declared workload has none), its log, and its slot. Removing one that was never made is no error.
func (r *Runtime) Remove(_ context.Context, id string) error {
	if !idPattern.MatchString(id) {
		return invalid("container id %q", id)
	}
	r.mu.Lock()
	if _, ok := r.containers[id]; ok {
		r.mu.Unlock()
		return fmt.Errorf("remove container %s: it was not closed", id)
	}
	r.containers[id] = nil // keeps it from being created meanwhile
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.containers, id)
		r.mu.Unlock()
	}()
	c, ok, err := r.lookup(id)
	if err != nil {
		return err
	}
	r.written.forget(id)
	r.habits.forget(id)
	// The slot is free for another only when nothing has its ids any more.
	err = errors.Join(tree.Remove(r.writableDir(id)), r.logs.Remove(logStream(id)))
	if err != nil || !ok {
		return err
	}
	if err := r.forgetUserNamespace(c.Slot); err != nil {
		return err
	}
	return record.Update(r.db, func(tx *bbolt.Tx) error { return containerBucket.Delete(tx, id) })
}
