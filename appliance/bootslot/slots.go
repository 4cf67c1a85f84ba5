package bootslot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Folder is where on the ESP systemd-boot finds UKIs.
const Folder = "EFI/Linux"

// tempFolder is where files are written before they get their names.
const tempFolder = "entroos"

// Slots are the UKIs on one ESP. Methods may be called from several goroutines.
type Slots struct {
	// ESP is where the partition is mounted, read-only and dirsync.
	ESP string
	// Selected tells what was booted; nil is the function Selected.
	Selected func() (UKI, error)
	// Remount makes the ESP writable, or read-only again; nil does what it
	// takes for a mount of its own.
	Remount func(writable bool) error

	mu sync.Mutex
}

// List gives the UKIs that can be booted, in the directory's order. Empty files
// cannot: a rename that was cut off leaves one.
func (s *Slots) List() ([]UKI, error) {
	entries, err := os.ReadDir(filepath.Join(s.ESP, Folder))
	if err != nil {
		return nil, fmt.Errorf("UKIs: %w", err)
	}
	var found []UKI
	for _, e := range entries {
		uki, ok := ParseName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("UKIs: %w", err)
		}
		if uki.Size = info.Size(); uki.Size > 0 {
			found = append(found, uki)
		}
	}
	return found, nil
}

// Running gives the UKI that runs, under the name that its file has now. Its
// errors wrap ErrNotTold, or are about the ESP.
func (s *Slots) Running() (UKI, error) {
	selected := s.Selected
	if selected == nil {
		selected = Selected
	}
	want, err := selected()
	if err != nil {
		return UKI{}, err
	}
	all, err := s.List()
	if err != nil {
		return UKI{}, err
	}
	return find(all, want)
}

// find looks for the selected UKI. Where a cut rename left it twice, the one
// later in its life counts.
func find(all []UKI, want UKI) (found UKI, err error) {
	for _, uki := range all {
		if uki.same(want) && (found.Name == "" || Later(Folder+"/"+uki.Name, Folder+"/"+found.Name)) {
			found = uki
		}
	}
	if found.Name == "" {
		return UKI{}, fmt.Errorf("%s, which runs, is not in %s of the ESP", want.Name, Folder)
	}
	return found, nil
}

// Fallback gives a blessed UKI other than that one, which the boot loader takes
// when that one's tries are used up; ok is false when there is none.
func (s *Slots) Fallback(uki UKI) (other UKI, ok bool, err error) {
	all, err := s.List()
	if err != nil {
		return UKI{}, false, err
	}
	for _, other := range all {
		if !other.OnTrial && !other.same(uki) {
			return other, true, nil
		}
	}
	return UKI{}, false, nil
}

// Bless drops the counter from a UKI's name, on disk when it returns. That the
// UKI has none is no error. vfat's rename is not atomic: a power cut within it
// leaves the old name, or both, and the next boot's check mends that.
func (s *Slots) Bless(uki UKI) (UKI, error) {
	if !uki.OnTrial {
		return uki, nil
	}
	blessed := uki
	blessed.Name, blessed.OnTrial, blessed.Left, blessed.Done = uki.Blessed(), false, 0, 0
	err := s.change(func() error { return s.rename(filepath.Join(Folder, uki.Name), blessed.Name) })
	if err != nil {
		return uki, fmt.Errorf("blessing %s: %w", uki.Name, err)
	}
	return blessed, nil
}

// Place puts a new UKI of that version on the ESP, on trial. It is complete and
// on disk before it gets its name. The error of a version that is there already
// is fs.ErrExist: a UKI that was booted is never written again.
func (s *Slots) Place(ctx context.Context, version string, content io.Reader) (UKI, error) {
	uki, ok := ParseName(onTrial(version))
	if !ok {
		return UKI{}, fmt.Errorf("placing a UKI: %q is no version", version)
	}
	all, err := s.List()
	if err != nil {
		return UKI{}, err
	}
	if there, err := find(all, uki); err == nil {
		return UKI{}, fmt.Errorf("placing %s: %s is there: %w", uki.Name, there.Name, fs.ErrExist)
	}
	err = s.change(func() (err error) {
		temp := filepath.Join(s.ESP, tempFolder, "uki.partial")
		if err := os.MkdirAll(filepath.Dir(temp), 0o700); err != nil {
			return err
		}
		// What an earlier attempt left.
		if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(temp))
			}
		}()
		if uki.Size, err = writeSynced(ctx, temp, content); err != nil {
			return err
		}
		return s.rename(filepath.Join(tempFolder, "uki.partial"), uki.Name)
	})
	if err != nil {
		return UKI{}, fmt.Errorf("placing %s: %w", uki.Name, err)
	}
	return uki, nil
}

// rename gives a file of the ESP a name in Folder, on disk when it returns.
func (s *Slots) rename(from, name string) error {
	folder := filepath.Join(s.ESP, Folder)
	if err := os.Rename(filepath.Join(s.ESP, from), filepath.Join(folder, name)); err != nil {
		return err
	}
	return syncPath(folder)
}

// Hold keeps the ESP as it is until release is called: what would change it
// waits.
func (s *Slots) Hold() (release func()) {
	s.mu.Lock()
	return s.mu.Unlock
}

// change makes the ESP writable while f runs. What f wrote is on disk when it
// returns.
func (s *Slots) change(f func() error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remount := s.Remount
	if remount == nil {
		remount = s.remount
	}
	if err := remount(true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remount(false)) }()
	return f()
}

// remount changes nothing but whether the ESP is writable: vfat keeps its other
// options, dirsync included. Going read-only it writes all, and notes in the
// boot sector that it is clean.
func (s *Slots) remount(writable bool) error {
	flags := uintptr(unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if !writable {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", s.ESP, "", flags, ""); err != nil {
		return fmt.Errorf("remounting %s: %w", s.ESP, err)
	}
	if writable {
		return nil
	}
	return syncPath(s.ESP)
}

// syncPath flushes a folder and what is under it to the medium: on vfat, its
// directory entries and FAT, and then the disk's own cache.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeSynced writes a new file, to the medium.
func writeSynced(ctx context.Context, path string, content io.Reader) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size, err = io.Copy(f, contextReader{ctx, content}); err != nil {
		return size, err
	}
	if size == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return size, f.Sync()
}

// contextReader is a reader that ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
