package blockdev

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/google/uuid"
)

// Numbers of the partitions of an EntroOS disk.
const (
	ESP      = 1
	Settings = 2
	Data     = 4
)

// System is what a new EntroOS disk is made of: the partitions of another disk
// or image. Their contents are read in this order, once.
type System struct {
	Layout              *Table // of that other disk
	ESP, Settings, Data io.Reader
	DataSize            int64 // of the content of Data, bytes
}

// ErrNoSystem says that a disk or image is not EntroOS's.
var ErrNoSystem = errors.New("this is not EntroOS")

// ErrTooSmall says that a disk has no room for the system.
var ErrTooSmall = errors.New("the disk is too small")

// ErrSectors says that a disk's sectors are not of 512 bytes.
var ErrSectors = errors.New("the disk has sectors of another size than 512 bytes, which EntroOS's file systems are not made for")

// CheckLayout is ErrNoSystem unless the table has the partitions of EntroOS.
func CheckLayout(t *Table) error {
	for number, kind := range map[int]uuid.UUID{ESP: TypeESP, Settings: TypeBasicData, Data: TypeLinux} {
		if p := t.Partition(number); p == nil || p.Type != kind {
			return fmt.Errorf("%w: its partition %d is none of EntroOS's", ErrNoSystem, number)
		}
	}
	return nil
}

// Fits is ErrTooSmall or ErrSectors unless the system can be put on a disk of
// that size with sectors of that size, both in bytes.
func (s *System) Fits(size, sectorSize int64) error {
	_, err := s.table(size, sectorSize)
	return err
}

// table is the table of a new disk of that size: the partitions where the other
// disk has them, the last one up to the disk's end, all with identities of their
// own.
func (s *System) table(size, sectorSize int64) (*Table, error) {
	if sectorSize != s.Layout.SectorSize {
		return nil, fmt.Errorf("%w (%d)", ErrSectors, sectorSize)
	}
	t := NewTable(sectorSize)
	for _, number := range []int{ESP, Settings, Data} {
		p := *s.Layout.Partition(number)
		p.GUID = uuid.New()
		t.Partitions = append(t.Partitions, p)
	}
	data := t.Partition(Data)
	const tail = 1 << 20 // for the backup table, in whole MiB
	if need := t.Offset(data) + s.DataSize + tail; size < need {
		return nil, fmt.Errorf("%w: it has %d MiB, EntroOS needs %d", ErrTooSmall, size>>20, need>>20)
	}
	data.Last = data.First
	t.Grow(Data, size, MaxData)
	return t, nil
}

// MaxData is the most that a data partition gets, in bytes: what its file system
// has kept room for.
const MaxData = 8 << 40

// Put makes an EntroOS disk of a device: everything that was on it is lost. All
// of it is read back. The partition table comes last, so that a disk of which
// this was not finished starts nothing. It returns the new disk's table.
func (s *System) Put(ctx context.Context, device *Device, progress func(step string, done, total int64)) (*Table, error) {
	table, err := s.table(device.Bytes, device.SectorSize)
	if err != nil {
		return nil, err
	}
	if err := Erase(device, device.Bytes); err != nil {
		return nil, err
	}
	part := func(number int, name string, content io.Reader, size int64, change func(int64, []byte) error) Part {
		return Part{Name: name, Offset: table.Offset(table.Partition(number)), Size: size, Content: content, Change: change}
	}
	whole := func(number int) int64 { return table.Size(table.Partition(number)) }
	copier := &Copier{Target: device, Progress: progress}
	if err := copier.Copy(ctx,
		part(ESP, "the EFI system partition", s.ESP, whole(ESP), FATChange(rand.Uint32())),
		part(Settings, "the settings partition", s.Settings, whole(Settings), FATChange(rand.Uint32())),
		part(Data, "the data partition", s.Data, s.DataSize, Ext4Change(uuid.New())),
	); err != nil {
		return nil, err
	}
	if err := copier.Verify(ctx); err != nil {
		return nil, err
	}
	if err := table.Write(device, device.Bytes); err != nil {
		return nil, err
	}
	if err := device.Forget(); err != nil {
		return nil, err
	}
	if read, err := ReadTable(device, device.Bytes, device.SectorSize); err != nil || !read.Complete() || !read.equal(table) {
		return nil, fmt.Errorf("%w: its partition table differs (%v)", ErrVerify, err)
	}
	return table, nil
}

// ImageSize is the size of a disk image in bytes as its first MiB tells it: an
// image ends in its backup table.
func ImageSize(head []byte) (int64, error) {
	const sector = 512
	if len(head) < 2*sector || string(head[sector:sector+8]) != gptSignature {
		return 0, fmt.Errorf("%w: %w", ErrNoSystem, ErrNoTable)
	}
	last := binary.LittleEndian.Uint64(head[sector+32:])
	if last < 8 || last > 1<<40 {
		return 0, fmt.Errorf("%w: %w", ErrNoSystem, ErrNoTable)
	}
	return int64(last+1) * sector, nil
}
