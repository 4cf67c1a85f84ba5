package appliance

import (
	"context"
	"errors"
	"fmt"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/nko"
)

// Where the box's own partitions are mounted.
const (
	PermPath     = "/perm"
	ESPPath      = "/esp"
	SettingsPath = "/settings"
)

// Storage is where the box keeps its state.
type Storage struct {
	Disk *Disk  // nil when not found
	Data string // device mounted at /perm; empty when that is in memory
}

// MountStorage finds the boot disk and mounts its partitions. It always leaves
// a writable /perm: when the data partition cannot be had, one in memory. What
// is wrong becomes problems of the box, each with a way out. settings is called
// when the settings partition is mounted, before the check of the data
// partition, which may take long. When ctx ends it leaves what it has.
//
// What stands on disks, the box's or any stick's, may be anything: each stage may
// panic, and the next has what the ones before it got.
func (b *Box) MountStorage(ctx context.Context, settings func()) {
	if b.stage("%w", func() error { return b.findDisk(ctx) }) {
		b.mountFAT()
		b.stage("the settings of the box are not followed: %w", func() error { settings(); return nil })
		b.mountData(ctx)
	}
	if b.Storage.Data == "" && ctx.Err() == nil {
		b.Problem(mountVolatile(PermPath))
	}
}

// stage does one stage of what is done to disks. When it fails, or panics, that
// is a problem of the box, in the format's words.
func (b *Box) stage(format string, do func() error) bool {
	err := nko.Protect("storage", do)
	if err != nil {
		b.Problem(fmt.Errorf(format, err))
	}
	return err == nil
}

// findDisk finds the boot disk.
func (b *Box) findDisk(ctx context.Context) error {
	partition, err := BootPartition()
	if err != nil {
		return fmt.Errorf("data is kept in memory only and lost at the next boot: %w", err)
	}
	disk, err := FindBootDisk(ctx, partition)
	switch {
	case errors.Is(err, ErrAmbiguousDisk):
		return outside(fmt.Errorf("the data partition is not mounted: %w; unplug all but one and reboot", err))
	case err != nil:
		return fmt.Errorf("the data partition is not mounted: %w; check the disk's cable and reboot", err)
	}
	b.Storage.Disk = disk
	return nil
}

// mountFAT makes the disk the box's own, and mounts the ESP and the settings.
func (b *Box) mountFAT() {
	disk := b.Storage.Disk
	b.stage("the boot disk's partition table is not as it should be, and the data partition does not fill the disk: %w; "+
		"the box runs; check the disk and reboot", disk.settle)
	for _, m := range []struct {
		path   string
		number int
	}{{ESPPath, PartitionESP}, {SettingsPath, PartitionSettings}} {
		device := disk.Partitions[m.number]
		b.stage("%w", func() error { return outside(mendFAT(device)) })
		b.stage("%w; the box runs without it", func() error {
			_, err := mount.Mount(device, m.path, "vfat", "utf8,umask=0077",
				unix.MS_RDONLY|unix.MS_DIRSYNC|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
			return err
		})
	}
}

// mountData checks and mounts the data partition, and does to it what waits to
// be done.
func (b *Box) mountData(ctx context.Context) {
	device := b.Storage.Disk.Partitions[PartitionData]
	err := nko.Protect("storage", func() error {
		if err := b.atLength(func() error { return checkExt4(ctx, b.Reaper, device) }); err != nil {
			return err
		}
		if _, err := mount.Mount(device, PermPath, "ext4", dataOptions, unix.MS_NOATIME|unix.MS_NODEV); err != nil {
			return err
		}
		b.Storage.Data = device
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		b.Problem(fmt.Errorf("the data partition %s is not mounted and left as it is: %w; "+
			"`data repair` mends it, `data reset` makes a new, empty one", device, err))
		return
	}
	b.stage("`data reset` is not done: %w; it is tried again at the next boot", func() error {
		return b.atLength(func() error { return takeReset(PermPath) })
	})
	if ctx.Err() != nil {
		return
	}
	b.stage("the data partition does not fill the disk: %w; it serves as it is, and the next boot tries again", func() error {
		return b.atLength(func() error { return growData(device) })
	})
}

// dataOptions are the data partition's. The blocks that mke2fs keeps for root (a
// twentieth) are kept for the box's own records: overlayfs writes what
// containers write as user 0, so the reserve is given to a user that nobody is,
// and is there for capable processes alone, which are PID 1 and the services.
const dataOptions = "errors=remount-ro,resuid=4294967294"

// mountVolatile mounts memory, at most a quarter of it.
func mountVolatile(path string) error {
	_, err := mount.Mount("tmpfs", path, "tmpfs", "mode=0755,size=25%", unix.MS_NODEV)
	return err
}
