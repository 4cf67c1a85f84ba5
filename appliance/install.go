package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/appliance/blockdev"
)

// errNoSource: there is nothing to install from.
var errNoSource = errors.New("this box was not started from a disk of its own, so there is nothing to install; boot it from a stick")

// findDisk gives the disk of that path or name (/dev/sda, sda).
func findDisk(device string) (blockdev.Facts, error) {
	if device == "" {
		return blockdev.Facts{}, errors.New("which disk? `disks` lists them")
	}
	if !strings.Contains(device, "/") {
		device = filepath.Join("/dev", device)
	}
	return blockdev.Host.Look(device)
}

// refuseInstall says why the system is not to be put on a disk.
func (b *Box) refuseInstall(disk blockdev.Facts, content string, force bool) error {
	boot, err := blockdev.Host.Look(b.Storage.Disk.Device)
	switch {
	case err != nil:
		return err
	case disk.Name == boot.Name:
		return fmt.Errorf("%s is the disk that the box runs from; give another one (`disks` lists them)", disk.Path)
	case len(disk.Users) > 0:
		return fmt.Errorf("%s is in use: %s", disk.Path, strings.Join(disk.Users, ", "))
	case disk.Bytes == 0:
		return fmt.Errorf("%s has no medium in it", disk.Path)
	case disk.ReadOnly:
		return fmt.Errorf("%s is write-protected", disk.Path)
	case content != blockdev.Empty && !force:
		return fmt.Errorf("%s is not empty (%s); --force erases it", disk.Path, content)
	}
	return nil
}

// diskContent says what is on a disk.
func diskContent(disk blockdev.Facts) string {
	f, err := os.Open(disk.Path)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	defer f.Close()
	return blockdev.Content(f, disk.Bytes, disk.SectorSize)
}

// Installed is the outcome of an installation.
type Installed struct {
	// BootEntry is the firmware's new entry, e.g. Boot0003; empty when the
	// firmware could not be told, for the reason Warning.
	BootEntry string
	Warning   error
}

// Install puts this system, with the box's settings and no data, on another
// disk, reads all of it back, and has the firmware start it first from now on.
// What was on the disk is lost.
func (b *Box) Install(ctx context.Context, device string, force bool, progress func(step string, done, total int64)) (Installed, error) {
	if b.Storage.Disk == nil {
		return Installed{}, errNoSource
	}
	disk, err := findDisk(device)
	if err != nil {
		return Installed{}, err
	}
	if err := b.refuseInstall(disk, diskContent(disk), force); err != nil {
		return Installed{}, err
	}
	source, err := b.openSystem()
	if err != nil {
		return Installed{}, fmt.Errorf("this box's own disk: %w", err)
	}
	defer source.Close()
	if err := source.Fits(disk.Bytes, disk.SectorSize); err != nil {
		return Installed{}, fmt.Errorf("%s: %w", disk.Path, err)
	}
	target, err := blockdev.OpenExclusive(disk.Path)
	if err != nil {
		return Installed{}, err
	}
	defer target.Close()
	// Of an installation that this one replaces, the firmware may know.
	var replaced []blockdev.Partition
	if old, err := blockdev.ReadTable(target, target.Bytes, target.SectorSize); err == nil {
		replaced = old.Partitions
	}
	b.Logger.Warn("install", "on", disk.Path, "model", disk.Model)
	table, err := source.Put(ctx, target, progress)
	if err != nil {
		return Installed{}, fmt.Errorf("%s is unfinished and starts nothing; install again: %w", disk.Path, err)
	}
	if err := target.Reread(); err != nil {
		b.Logger.Warn("install: the kernel keeps the disk's old partition table until the next boot", "error", err)
	}
	var done Installed
	done.BootEntry, done.Warning = tellFirmware(table, replaced)
	return done, nil
}

// ownSystem is this box's system as it lies on its disk.
type ownSystem struct {
	blockdev.System
	closers []func()
}

// Close ends the reading.
func (s *ownSystem) Close() {
	for _, c := range s.closers {
		c()
	}
}

// keepStill has what would write to the ESP or to the settings wait until release
// is called.
func (b *Box) keepStill() (release func()) {
	b.own.Lock()
	esp := func() {}
	if t := b.found(); t != nil {
		esp = t.slots.Hold()
	}
	return func() {
		esp()
		b.own.Unlock()
	}
}

// openSystem opens this box's system: its ESP and settings, which stay as they
// are until it is closed, and fresh data.
func (b *Box) openSystem() (*ownSystem, error) {
	s := &ownSystem{closers: []func(){b.keepStill()}}
	fail := func(err error) (*ownSystem, error) { s.Close(); return nil, err }
	open := func(path string) (*os.File, error) {
		f, err := os.Open(path)
		if err == nil {
			s.closers = append(s.closers, func() { _ = f.Close() }) // it was only read
		}
		return f, err
	}
	disk, err := open(b.Storage.Disk.Device)
	if err != nil {
		return fail(err)
	}
	size, err := blockdev.Size(disk)
	if err != nil {
		return fail(err)
	}
	sector, err := blockdev.SectorSize(disk)
	if err != nil {
		return fail(err)
	}
	if s.Layout, err = blockdev.ReadTable(disk, size, sector); err != nil {
		return fail(err)
	}
	if err := blockdev.CheckLayout(s.Layout); err != nil {
		return fail(err)
	}
	// Both are mounted, read-only but for moments: what was changed through the
	// mount is on the disk, and what was read from the disk before is forgotten.
	unix.Sync()
	esp, err := open(b.Storage.Disk.Partitions[PartitionESP])
	if err != nil {
		return fail(err)
	}
	settings, err := open(b.Storage.Disk.Partitions[PartitionSettings])
	if err != nil {
		return fail(err)
	}
	for _, f := range []*os.File{esp, settings} {
		if err := blockdev.Forget(f); err != nil {
			return fail(err)
		}
	}
	data, err := openTemplate()
	if err != nil {
		return fail(err)
	}
	s.closers = append(s.closers, data.Close)
	s.ESP, s.Settings, s.Data, s.DataSize = esp, settings, data.Content, data.Size
	return s, nil
}
