package blockdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/google/uuid"
)

// The form of a GUID Partition Table: UEFI specification, section 5.3.
const (
	gptSignature  = "EFI PART"
	gptRevision   = 0x00010000
	gptHeaderSize = 92
	gptEntrySize  = 128
	gptEntries    = 128  // in tables made here
	maxEntries    = 1024 // in tables read here: a hostile one must not take the memory
)

// ErrNoTable says that a disk has no valid GPT, neither at its beginning nor at
// its end.
var ErrNoTable = errors.New("no valid GUID partition table")

// Table is a disk's GUID Partition Table (GPT). It stands on the disk twice, at
// the beginning (the primary) and at the end (the backup); either is enough.
type Table struct {
	SectorSize int64 // bytes
	DiskGUID   uuid.UUID
	Partitions []Partition // in the order of their numbers

	entries     int    // slots of the partition array
	firstUsable uint64 // sector
	complete    bool   // both copies are valid and equal, the backup at the disk's end
	fromBackup  bool   // the primary is not valid
}

// Partition is an entry of a Table.
type Partition struct {
	Number      int // from 1
	Type, GUID  uuid.UUID
	First, Last uint64 // sectors
	Attributes  uint64
	Name        [72]byte // UTF-16, little-endian
}

// The types of partitions on an EntroOS disk.
var (
	TypeESP       = uuid.MustParse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	TypeBasicData = uuid.MustParse("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
	TypeLinux     = uuid.MustParse("0fc63daf-8483-4772-8e79-3d69d8477de4")
)

// NewTable is an empty table for disks with sectors of that size, in bytes.
func NewTable(sectorSize int64) *Table {
	t := &Table{SectorSize: sectorSize, DiskGUID: uuid.New(), entries: gptEntries}
	t.firstUsable = uint64(2 + t.arraySectors())
	return t
}

// ReadTable reads the table of a disk or disk image of that size in bytes: the
// primary, or, when that is not valid, the backup at the disk's end.
func ReadTable(disk io.ReaderAt, size, sectorSize int64) (*Table, error) {
	if sectorSize < 512 || sectorSize > 1<<16 || size/sectorSize < 8 {
		return nil, fmt.Errorf("%w on %d bytes in sectors of %d", ErrNoTable, size, sectorSize)
	}
	last := uint64(size/sectorSize) - 1
	primary, err := readCopy(disk, sectorSize, 1, last)
	if err == nil {
		backup, berr := readCopy(disk, sectorSize, last, last)
		primary.complete = berr == nil && primary.other == last && backup.other == 1 && primary.equal(&backup.Table)
		return &primary.Table, nil
	}
	backup, berr := readCopy(disk, sectorSize, last, last)
	if berr != nil {
		return nil, fmt.Errorf("%w: the primary: %w; the backup: %w", ErrNoTable, err, berr)
	}
	backup.fromBackup = true
	return &backup.Table, nil
}

// tableCopy is one of a table's two.
type tableCopy struct {
	Table
	other uint64 // the sector of the other copy's header
}

// readCopy reads the copy whose header is at that sector of a disk that ends
// with the sector last.
func readCopy(disk io.ReaderAt, sectorSize int64, at, last uint64) (*tableCopy, error) {
	header := make([]byte, sectorSize)
	if _, err := disk.ReadAt(header, int64(at)*sectorSize); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	headerSize := le.Uint32(header[12:])
	if string(header[:8]) != gptSignature || headerSize < gptHeaderSize || int64(headerSize) > sectorSize {
		return nil, errors.New("no header")
	}
	sum := le.Uint32(header[16:])
	le.PutUint32(header[16:], 0)
	if crc32.ChecksumIEEE(header[:headerSize]) != sum {
		return nil, errors.New("wrong checksum of the header")
	}
	count, entrySize, array := le.Uint32(header[80:]), le.Uint32(header[84:]), le.Uint64(header[72:])
	switch {
	case le.Uint64(header[24:]) != at:
		return nil, errors.New("the header is of another place")
	case entrySize != gptEntrySize || count == 0 || count > maxEntries:
		return nil, fmt.Errorf("%d entries of %d bytes are not what this system knows", count, entrySize)
	case array < 2 || array > last:
		return nil, errors.New("the partition array is outside of the disk")
	}
	entries := make([]byte, count*entrySize)
	if _, err := disk.ReadAt(entries, int64(array)*sectorSize); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(entries) != le.Uint32(header[88:]) {
		return nil, errors.New("wrong checksum of the partition array")
	}
	c := &tableCopy{
		Table: Table{
			SectorSize: sectorSize, DiskGUID: guidFrom(header[56:]), entries: int(count), firstUsable: le.Uint64(header[40:]),
		},
		other: le.Uint64(header[32:]),
	}
	for i := range int(count) {
		if p := partitionFrom(i+1, entries[i*gptEntrySize:]); p.Type != uuid.Nil {
			c.Partitions = append(c.Partitions, p)
		}
	}
	return c, c.check(last)
}

// check refuses partitions that lie outside of the disk, or upon each other.
func (t *Table) check(last uint64) error {
	byPlace := slices.Clone(t.Partitions)
	slices.SortFunc(byPlace, func(a, b Partition) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	free := t.firstUsable
	for _, p := range byPlace {
		if p.First < free || p.Last < p.First || p.Last > last {
			return fmt.Errorf("partition %d (sectors %d to %d) overlaps another, the table or the disk's end", p.Number, p.First, p.Last)
		}
		free = p.Last + 1
	}
	return nil
}

// equal says whether both tables say the same.
func (t *Table) equal(o *Table) bool {
	return t.DiskGUID == o.DiskGUID && t.entries == o.entries && t.firstUsable == o.firstUsable && slices.Equal(t.Partitions, o.Partitions)
}

// Complete says that the table was read from a disk on which both copies are
// valid, equal and in their places.
func (t *Table) Complete() bool { return t.complete }

// Partition gives the partition of that number, or nil.
func (t *Table) Partition(number int) *Partition {
	for i := range t.Partitions {
		if t.Partitions[i].Number == number {
			return &t.Partitions[i]
		}
	}
	return nil
}

// Offset is where a partition begins on the disk, in bytes.
func (t *Table) Offset(p *Partition) int64 { return int64(p.First) * t.SectorSize }

// Size is the size of a partition in bytes.
func (t *Table) Size(p *Partition) int64 { return int64(p.Last-p.First+1) * t.SectorSize }

// End is where partitions must end on a disk of that size, in bytes: beyond is
// the backup table.
func (t *Table) End(diskSize int64) int64 {
	return (diskSize/t.SectorSize - 1 - t.arraySectors()) * t.SectorSize
}

// Grow makes a partition as large as the disk allows, to whole MiB and at most
// to most bytes; it never shrinks one. It says whether it did.
func (t *Table) Grow(number int, diskSize, most int64) bool {
	const mebibyte = 1 << 20
	p := t.Partition(number)
	if p == nil {
		return false
	}
	end := min(t.End(diskSize), t.Offset(p)+most)
	for _, o := range t.Partitions {
		if o.First > p.First {
			end = min(end, t.Offset(&o))
		}
	}
	last := uint64(end/mebibyte*mebibyte/t.SectorSize) - 1
	if last <= p.Last {
		return false
	}
	p.Last = last
	return true
}

func (t *Table) arraySectors() int64 {
	return (int64(t.entries)*gptEntrySize + t.SectorSize - 1) / t.SectorSize
}

// array is the partition array, whole sectors.
func (t *Table) array() []byte {
	b := make([]byte, t.arraySectors()*t.SectorSize)
	for _, p := range t.Partitions {
		p.put(b[(p.Number-1)*gptEntrySize:])
	}
	return b
}

// header is the header at the sector at, when the other copy's is at other.
func (t *Table) header(at, other, array, lastUsable uint64, entries []byte) []byte {
	b := make([]byte, t.SectorSize)
	le := binary.LittleEndian
	copy(b, gptSignature)
	le.PutUint32(b[8:], gptRevision)
	le.PutUint32(b[12:], gptHeaderSize)
	le.PutUint64(b[24:], at)
	le.PutUint64(b[32:], other)
	le.PutUint64(b[40:], t.firstUsable)
	le.PutUint64(b[48:], lastUsable)
	putGUID(b[56:], t.DiskGUID)
	le.PutUint64(b[72:], array)
	le.PutUint32(b[80:], uint32(t.entries))
	le.PutUint32(b[84:], gptEntrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(entries[:t.entries*gptEntrySize]))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:gptHeaderSize]))
	return b
}

func partitionFrom(number int, b []byte) Partition {
	le := binary.LittleEndian
	p := Partition{
		Number: number, Type: guidFrom(b), GUID: guidFrom(b[16:]),
		First: le.Uint64(b[32:]), Last: le.Uint64(b[40:]), Attributes: le.Uint64(b[48:]),
	}
	copy(p.Name[:], b[56:])
	return p
}

func (p *Partition) put(b []byte) {
	le := binary.LittleEndian
	putGUID(b, p.Type)
	putGUID(b[16:], p.GUID)
	le.PutUint64(b[32:], p.First)
	le.PutUint64(b[40:], p.Last)
	le.PutUint64(b[48:], p.Attributes)
	copy(b[56:gptEntrySize], p.Name[:])
}

// guidFrom reads a GUID as UEFI writes it: its first three fields little-endian.
func guidFrom(b []byte) (g uuid.UUID) {
	copy(g[:], b)
	slices.Reverse(g[0:4])
	slices.Reverse(g[4:6])
	slices.Reverse(g[6:8])
	return g
}

// EncodeGUID writes a GUID as UEFI does: its first three fields little-endian.
func EncodeGUID(g uuid.UUID) []byte {
	b := make([]byte, len(g))
	putGUID(b, g)
	return b
}

func putGUID(b []byte, g uuid.UUID) {
	slices.Reverse(g[0:4])
	slices.Reverse(g[4:6])
	slices.Reverse(g[6:8])
	copy(b, g[:])
}

// protectiveMBR puts into a disk's first sector the entry that keeps programs
// which know no GPT away from the disk, and leaves boot code as it is.
func protectiveMBR(sector []byte, sectors uint64) {
	clear(sector[446:510])
	entry := sector[446:]
	copy(entry, []byte{0, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(entry[8:], 1)
	binary.LittleEndian.PutUint32(entry[12:], uint32(min(sectors-1, 0xffffffff)))
	copy(sector[510:], []byte{0x55, 0xaa})
}

// changed gives the parts of b, whole blocks of that size, in which it is not
// old, as offsets.
func changed(old, b []byte, block int) []int {
	var at []int
	for i := 0; i < len(b); i += block {
		end := min(i+block, len(b))
		if !bytes.Equal(old[i:end], b[i:end]) {
			at = append(at, i)
		}
	}
	return at
}

// SetName names the partition, in at most 36 characters of ASCII.
func (p *Partition) SetName(name string) {
	clear(p.Name[:])
	for i := 0; i < min(len(name), len(p.Name)/2); i++ {
		p.Name[2*i] = name[i]
	}
}
