package blockdev

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Disk is what a table is written to: a block device or a disk image.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when what was written is on the medium.
	Sync() error
}

// pageSize is what the kernel writes to a disk at once, and what today's disks
// write without tearing.
const pageSize = 4096

// Write puts the table on a disk of that size in bytes: backup, protective MBR
// and primary. When power fails in between, the disk has the table that it had
// or this one: at each moment one copy is whole. The copy that the table was
// read from is written last.
func (t *Table) Write(disk Disk, size int64) error {
	sectors := uint64(size / t.SectorSize)
	if int64(sectors)*t.SectorSize != size || t.End(size) <= int64(t.firstUsable)*t.SectorSize {
		return fmt.Errorf("a disk of %d bytes in sectors of %d has no room for a partition table", size, t.SectorSize)
	}
	lastUsable := uint64(t.End(size)/t.SectorSize) - 1
	if err := t.check(lastUsable); err != nil {
		return err
	}
	for _, p := range t.Partitions {
		if p.Number < 1 || p.Number > t.entries {
			return fmt.Errorf("there is no partition number %d in a table of %d", p.Number, t.entries)
		}
	}
	entries := t.array()

	backup := func() error {
		array := lastUsable + 1
		tail := append(slices.Clone(entries), t.header(sectors-1, 1, array, lastUsable, entries)...)
		if _, err := disk.WriteAt(tail, int64(array)*t.SectorSize); err != nil {
			return fmt.Errorf("the backup partition table: %w", err)
		}
		return disk.Sync()
	}
	primary := func() error { return t.writePrimary(disk, sectors, lastUsable, entries) }
	steps := []func() error{backup, primary}
	if t.fromBackup {
		steps = []func() error{primary, backup}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	t.complete, t.fromBackup = true, false
	return nil
}

// writePrimary writes protective MBR, primary header and its array. The first
// page holds the first two and the entries that a box uses: nearly always it is
// all that changes, and then one write does it.
func (t *Table) writePrimary(disk Disk, sectors, lastUsable uint64, entries []byte) error {
	const array = 2 // after protective MBR and header
	length := int64(array)*t.SectorSize + int64(len(entries))
	old := make([]byte, (length+pageSize-1)/pageSize*pageSize)
	if _, err := disk.ReadAt(old, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the primary partition table: %w", err)
	}
	head := slices.Clone(old)
	protectiveMBR(head, sectors)
	copy(head[t.SectorSize:], t.header(1, sectors-1, array, lastUsable, entries))
	copy(head[array*t.SectorSize:], entries)
	for _, at := range slices.Backward(changed(old, head, pageSize)) {
		if _, err := disk.WriteAt(head[at:at+pageSize], int64(at)); err != nil {
			return fmt.Errorf("the primary partition table: %w", err)
		}
		if err := disk.Sync(); err != nil {
			return fmt.Errorf("the primary partition table: %w", err)
		}
	}
	return nil
}

// Erase removes both copies of a disk's table, so that nothing takes what is on
// it for a whole. size is the disk's in bytes.
func Erase(disk Disk, size int64) error {
	const most = 1 << 20 // more than either copy takes, whatever the sector's size
	zeroes := make([]byte, min(most, size/2))
	if _, err := disk.WriteAt(zeroes, 0); err != nil {
		return fmt.Errorf("erasing the partition table: %w", err)
	}
	if _, err := disk.WriteAt(zeroes, size-int64(len(zeroes))); err != nil {
		return fmt.Errorf("erasing the backup partition table: %w", err)
	}
	return disk.Sync()
}
