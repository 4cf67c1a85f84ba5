package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// settingsFlags are those of the settings partition's mount.
const settingsFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// ownSettings is the box's own file of settings, on a partition that is
// writable only while it changes.
type ownSettings struct {
	sync.Mutex // from the reading of what there is to the writing
	path       string
	// remount makes the partition writable, or read-only again.
	remount func(writable bool) error
}

func newOwnSettings() *ownSettings {
	return &ownSettings{path: OwnConfig, remount: remountSettings}
}

func remountSettings(writable bool) error {
	mounted, err := isMounted(SettingsPath)
	if err != nil {
		return err
	}
	if !mounted {
		return errors.New("the settings partition is not mounted; `status` says why")
	}
	flags := uintptr(unix.MS_REMOUNT | settingsFlags)
	if !writable {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", SettingsPath, "", flags, ""); err != nil {
		return fmt.Errorf("remount the settings partition: %w", err)
	}
	return nil
}

// write puts text in place of the file, and is on disk when it returns; empty
// takes the file away. FAT has no rename in one step, but there is no moment at
// which the file's name stands for anything but the old text or the new one.
// replaced says that what is read from now on is text, also when an error says
// that it may not be on disk, or that the partition is still writable. The caller
// has locked.
func (o *ownSettings) write(text []byte) (replaced bool, err error) {
	if err := o.remount(true); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, o.remount(false)) }()
	if len(text) == 0 {
		if err := os.Remove(o.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		return true, syncFolder(filepath.Dir(o.path))
	}
	temporary := o.path + ".new"
	if err := writeSynced(temporary, string(text)); err != nil {
		return false, errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, o.path); err != nil {
		return false, errors.Join(err, os.Remove(temporary))
	}
	return true, syncFolder(filepath.Dir(o.path))
}
