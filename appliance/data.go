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
// is wrong is given as problems, each with a way out. settings is called when
// the settings partition is mounted, before the check of the data partition,
// which may take long.
func MountStorage(ctx context.Context, reaper *nko.Reaper, settings func()) (Storage, []string) {
	var s Storage
	var problems []string
	fail := func(err error) (Storage, []string) {
		problems = append(problems, err.Error())
		if err := mountVolatile(PermPath); err != nil {
			problems = append(problems, err.Error())
		}
		return s, problems
	}
	partition, err := BootPartition()
	if err != nil {
		return fail(fmt.Errorf("data is kept in memory only and lost at the next boot: %w", err))
	}
	s.Disk, err = FindBootDisk(ctx, partition)
	switch {
	case errors.Is(err, ErrAmbiguousDisk):
		return fail(fmt.Errorf("the data partition is not mounted: %w; unplug all but one and reboot", err))
	case err != nil:
		return fail(fmt.Errorf("the data partition is not mounted: %w; check the disk's cable and reboot", err))
	}
	if err := s.Disk.settle(); err != nil {
		problems = append(problems, fmt.Sprintf("the boot disk's partition table is not as it should be, and the data partition does not fill the disk: %s; "+
			"the box runs; check the disk and reboot", err))
	}
	const vfat = "utf8,umask=0077"
	for _, m := range []mountPoint{
		{path: ESPPath, fstype: "vfat", data: vfat, flags: unix.MS_RDONLY | unix.MS_DIRSYNC | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{path: SettingsPath, fstype: "vfat", data: vfat, flags: unix.MS_RDONLY | unix.MS_DIRSYNC | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	} {
		number := PartitionESP
		if m.path == SettingsPath {
			number = PartitionSettings
		}
		if err := mendFAT(s.Disk.Partitions[number]); err != nil {
			problems = append(problems, err.Error())
		}
		if _, err := mount.Mount(s.Disk.Partitions[number], m.path, m.fstype, m.data, m.flags); err != nil {
			problems = append(problems, fmt.Sprintf("%s; the box runs without it", err))
		}
	}
	settings()
	device := s.Disk.Partitions[PartitionData]
	err = checkExt4(ctx, reaper, device)
	if err == nil {
		_, err = mount.Mount(device, PermPath, "ext4", dataOptions, unix.MS_NOATIME|unix.MS_NODEV)
	}
	if err != nil {
		return fail(fmt.Errorf("the data partition %s is not mounted and left as it is: %w; "+
			"`data repair` mends it, `data reset` makes a new, empty one", device, err))
	}
	s.Data = device
	if err := takeReset(PermPath); err != nil {
		problems = append(problems, fmt.Sprintf("`data reset` is not done: %s; it is tried again at the next boot", err))
	}
	if err := growData(device); err != nil {
		problems = append(problems, fmt.Sprintf("the data partition does not fill the disk: %s; it serves as it is, and the next boot tries again", err))
	}
	return s, problems
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
