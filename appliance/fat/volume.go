package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNotFAT says that there is no FAT16 or FAT32 file system that could be
// mended: neither its boot sector nor the copy of that is valid.
var ErrNotFAT = errors.New("no FAT16 or FAT32 file system")

// ErrTooLarge says that a file system has more clusters or entries than are
// looked at: a box's own partitions have far fewer.
var ErrTooLarge = errors.New("the file system is too large to be checked")

const (
	maxClusters = 1 << 21
	maxEntries  = 1 << 18
	// backupSector is where mkfs.vfat puts the boot sector's copy on FAT32.
	backupSector = 6
)

// Offsets in the boot sector.
const (
	bootState16 = 0x25 // Linux's dirty flag, which is also Windows's
	bootState32 = 0x41
	stateDirty  = 1
)

// volume is the geometry of a file system. Offsets are bytes from its begin.
type volume struct {
	sector   int64 // bytes
	cluster  int64 // bytes
	fat32    bool
	copies   int   // of the FAT
	fatStart int64 // of the first copy
	fatSize  int64 // bytes of one copy
	data     int64 // where cluster 2 is
	limit    uint32
	media    byte

	rootStart   int64  // FAT16: where the root directory is
	rootEntries int64  // FAT16
	rootCluster uint32 // FAT32
	info        int64  // FSInfo's sector; 0 is none
	backup      int64  // the boot sector's copy; 0 is none

	boot     []byte // the boot sector
	restored bool   // boot was taken from its copy
}

// openVolume reads the boot sector, or, where that is not valid, its copy.
func openVolume(dev io.ReaderAt, size int64) (*volume, error) {
	boot := make([]byte, 512)
	if _, err := dev.ReadAt(boot, 0); err != nil {
		return nil, fmt.Errorf("boot sector: %w", err)
	}
	v, err := parseBoot(boot, size)
	if err == nil {
		return v, nil
	}
	second := make([]byte, 512)
	if _, rerr := dev.ReadAt(second, backupSector*512); rerr != nil {
		return nil, fmt.Errorf("boot sector: %w", err)
	}
	if v, berr := parseBoot(second, size); berr == nil && v.fat32 && v.backup == backupSector*512 {
		v.restored = true
		return v, nil
	}
	return nil, err
}

// parseBoot takes a boot sector apart and refuses what contradicts itself.
func parseBoot(boot []byte, size int64) (*volume, error) {
	le := binary.LittleEndian
	wrong := func(what string, value any) (*volume, error) {
		return nil, fmt.Errorf("%w: %s is %v", ErrNotFAT, what, value)
	}
	if boot[510] != 0x55 || boot[511] != 0xaa {
		return wrong("the boot sector's signature", fmt.Sprintf("%x", boot[510:512]))
	}
	v := &volume{
		boot: boot, sector: int64(le.Uint16(boot[11:])), copies: int(boot[16]), media: boot[21],
		rootEntries: int64(le.Uint16(boot[17:])),
	}
	switch v.sector {
	case 512, 1024, 2048, 4096:
	default:
		return wrong("the sector size", v.sector)
	}
	perCluster := int64(boot[13])
	if perCluster == 0 || perCluster&(perCluster-1) != 0 {
		return wrong("sectors per cluster", perCluster)
	}
	v.cluster = perCluster * v.sector
	reserved := int64(le.Uint16(boot[14:]))
	if reserved == 0 {
		return wrong("reserved sectors", reserved)
	}
	if v.copies != 1 && v.copies != 2 {
		return wrong("copies of the FAT", v.copies)
	}
	total := int64(le.Uint16(boot[19:]))
	if total == 0 {
		total = int64(le.Uint32(boot[32:]))
	}
	if total*v.sector > size {
		return wrong("bytes, more than the partition has,", total*v.sector)
	}
	v.fatStart = reserved * v.sector
	v.fatSize = int64(le.Uint16(boot[22:])) * v.sector
	entry := int64(2)
	if v.fatSize == 0 { // as Linux tells them apart
		v.fat32, entry = true, 4
		v.fatSize = int64(le.Uint32(boot[36:])) * v.sector
	}
	if v.fatSize == 0 || v.fatSize > total*v.sector {
		return wrong("bytes of a FAT", v.fatSize)
	}
	v.rootStart = v.fatStart + int64(v.copies)*v.fatSize
	v.data = v.rootStart + (v.rootEntries*slotSize+v.sector-1)/v.sector*v.sector
	clusters := (total*v.sector - v.data) / v.cluster
	if clusters > v.fatSize/entry-2 {
		clusters = v.fatSize/entry - 2
	}
	switch {
	case clusters > maxClusters:
		return nil, fmt.Errorf("%w: %d clusters", ErrTooLarge, clusters)
	case clusters < 1, !v.fat32 && (clusters < 4085 || clusters >= 65525):
		return wrong("clusters", clusters)
	case !v.fat32 && v.rootEntries == 0, v.fat32 && v.rootEntries != 0:
		return wrong("entries of the root directory", v.rootEntries)
	}
	v.limit = uint32(clusters) + 2
	if v.fat32 {
		return v, v.parse32(boot, reserved)
	}
	return v, nil
}

// parse32 reads what only FAT32 has.
func (v *volume) parse32(boot []byte, reserved int64) error {
	le := binary.LittleEndian
	if flags := le.Uint16(boot[40:]); flags&0x80 != 0 {
		return fmt.Errorf("%w: its FATs are not mirrored (flags %#x)", ErrNotFAT, flags)
	}
	if version := le.Uint16(boot[42:]); version != 0 {
		return fmt.Errorf("%w: version %#x of FAT32", ErrNotFAT, version)
	}
	v.rootCluster = le.Uint32(boot[44:])
	if !v.valid(v.rootCluster) {
		return fmt.Errorf("%w: the root directory is at cluster %d", ErrNotFAT, v.rootCluster)
	}
	if n := int64(le.Uint16(boot[48:])); n > 0 && n < reserved {
		v.info = n * v.sector
	}
	if n := int64(le.Uint16(boot[50:])); n > 0 && n < reserved {
		v.backup = n * v.sector
	}
	return nil
}

// valid says that a number is a cluster's.
func (v *volume) valid(c uint32) bool { return c >= 2 && c < v.limit }

// offset is where a cluster begins.
func (v *volume) offset(c uint32) int64 { return v.data + int64(c-2)*v.cluster }

// state is where in the boot sector the dirty flag is.
func (v *volume) state() int {
	if v.fat32 {
		return bootState32
	}
	return bootState16
}

// table is one copy of the FAT as on disk, an entry for each cluster and the two
// before them. FAT32's entries have 28 bits; the rest is kept.
type table struct {
	raw   []byte
	fat32 bool
}

const mask32 = 1<<28 - 1

// readTable reads the i-th copy.
func (v *volume) readTable(dev io.ReaderAt, i int) (table, error) {
	t := table{raw: make([]byte, 2*v.limit), fat32: v.fat32}
	if v.fat32 {
		t.raw = make([]byte, 4*v.limit)
	}
	if _, err := dev.ReadAt(t.raw, v.fatStart+int64(i)*v.fatSize); err != nil {
		return table{}, fmt.Errorf("copy %d of the FAT: %w", i+1, err)
	}
	return t, nil
}

func (t table) clone() table { return table{raw: bytes.Clone(t.raw), fat32: t.fat32} }

// entry is that of a cluster with all its bits.
func (t table) entry(c uint32) uint32 {
	if t.fat32 {
		return binary.LittleEndian.Uint32(t.raw[4*c:])
	}
	return uint32(binary.LittleEndian.Uint16(t.raw[2*c:]))
}

func (t table) setEntry(c, value uint32) {
	if t.fat32 {
		binary.LittleEndian.PutUint32(t.raw[4*c:], value)
	} else {
		binary.LittleEndian.PutUint16(t.raw[2*c:], uint16(value))
	}
}

// next is the entry of a cluster, as FAT32's numbers: free is 0, bad 0x0ffffff7,
// an end at least 0x0ffffff8.
func (t table) next(c uint32) uint32 {
	e := t.entry(c)
	if t.fat32 {
		return e & mask32
	}
	if e >= 0xfff0 {
		return e | 0x0fff0000
	}
	return e
}

// set makes next give value.
func (t table) set(c, value uint32) {
	if t.fat32 {
		value = t.entry(c)&^mask32 | value&mask32
	}
	t.setEntry(c, value)
}

const (
	free       = 0
	bad        = 0x0ffffff7
	endOfChain = 0x0fffffff
)

func isEnd(entry uint32) bool { return entry >= 0x0ffffff8 }
