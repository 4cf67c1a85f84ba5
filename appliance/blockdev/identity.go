package blockdev

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/google/uuid"
)

// imagePrefix begins every identity that a disk image is built with: the same
// image is built twice as the same bytes, so they cannot be random. The disks it
// is put on get their own.
var imagePrefix = uuid.MustParse("e4705050-0000-4000-8000-000000000000")

// OfImage says that an identity is one that every copy of the image has.
func OfImage(id uuid.UUID) bool {
	return string(id[:15]) == string(imagePrefix[:15])
}

// Renew gives fresh identities to the table and partitions that have the
// image's; it says whether there were any.
func (t *Table) Renew() bool {
	renewed := false
	ids := []*uuid.UUID{&t.DiskGUID}
	for i := range t.Partitions {
		ids = append(ids, &t.Partitions[i].GUID)
	}
	for _, id := range ids {
		if OfImage(*id) {
			*id, renewed = uuid.New(), true
		}
	}
	return renewed
}

// Places within an ext4 superblock (the kernel's fs/ext4/ext4.h, struct
// ext4_super_block), which is 1024 bytes and stands at 1024, with copies at the
// beginning of block groups.
const (
	Ext4SuperblockOffset = 1024
	Ext4SuperblockSize   = 1024

	ext4Magic        = 0x38
	ext4Incompatible = 0x60
	ext4ReadOnly     = 0x64
	ext4UUID         = 0x68
	ext4ChecksumSeed = 0x270
	ext4Checksum     = 0x3fc

	ext4CsumSeed     = 0x2000 // incompatible feature: checksums do not begin with the UUID
	ext4MetadataCsum = 0x0400 // read-only feature
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrNoExt4 says that bytes are no superblock of an ext4 as EntroOS makes them.
var ErrNoExt4 = errors.New("no ext4 superblock with metadata_csum_seed and a right checksum")

// Ext4UUID gives the UUID in an ext4 superblock.
func Ext4UUID(superblock []byte) (uuid.UUID, error) {
	le := binary.LittleEndian
	if len(superblock) != Ext4SuperblockSize || le.Uint16(superblock[ext4Magic:]) != 0xef53 ||
		le.Uint32(superblock[ext4Incompatible:])&ext4CsumSeed == 0 || le.Uint32(superblock[ext4ReadOnly:])&ext4MetadataCsum == 0 ||
		le.Uint32(superblock[ext4Checksum:]) != ext4Sum(superblock) {
		return uuid.Nil, ErrNoExt4
	}
	return uuid.UUID(superblock[ext4UUID : ext4UUID+16]), nil
}

// SetExt4UUID gives an ext4 superblock, or one of its copies, another UUID. The
// file system must not be mounted.
func SetExt4UUID(superblock []byte, id uuid.UUID) error {
	if _, err := Ext4UUID(superblock); err != nil {
		return err
	}
	copy(superblock[ext4UUID:], id[:])
	binary.LittleEndian.PutUint32(superblock[ext4Checksum:], ext4Sum(superblock))
	return nil
}

// ext4Sum is CRC-32C as the kernel has it: without the last inversion.
func ext4Sum(superblock []byte) uint32 {
	return ^crc32.Checksum(superblock[:ext4Checksum], castagnoli)
}

// SetFATVolumeID gives the boot sector of a FAT file system another volume id; it
// does nothing to a sector that is none.
func SetFATVolumeID(sector []byte, id uint32) {
	if len(sector) < 512 || sector[510] != 0x55 || sector[511] != 0xaa {
		return
	}
	switch {
	case string(sector[82:87]) == "FAT32":
		binary.LittleEndian.PutUint32(sector[67:], id)
	case string(sector[54:57]) == "FAT":
		binary.LittleEndian.PutUint32(sector[39:], id)
	}
}

// Ext4Change is a Part's Change that gives an ext4 as EntroOS makes it another
// UUID, in its superblock and all copies of that.
func Ext4Change(id uuid.UUID) func(int64, []byte) error {
	const group = 8 * Ext4BlockSize * Ext4BlockSize // bytes: a bitmap of one block
	return func(offset int64, chunk []byte) error {
		if offset == 0 {
			return SetExt4UUID(chunk[Ext4SuperblockOffset:Ext4SuperblockOffset+Ext4SuperblockSize], id)
		}
		if offset%group != 0 {
			return nil
		}
		// Most groups begin with no copy.
		if err := SetExt4UUID(chunk[:Ext4SuperblockSize], id); err != nil && !errors.Is(err, ErrNoExt4) {
			return err
		}
		return nil
	}
}

// FATChange is a Part's Change that gives a FAT another volume id.
func FATChange(id uint32) func(int64, []byte) error {
	return func(offset int64, chunk []byte) error {
		if offset != 0 {
			return nil
		}
		// FAT32 keeps a copy of the boot sector, and says where.
		backup := int(binary.LittleEndian.Uint16(chunk[50:])) * 512
		if string(chunk[82:87]) == "FAT32" && backup > 0 && backup+512 <= len(chunk) {
			SetFATVolumeID(chunk[backup:backup+512], id)
		}
		SetFATVolumeID(chunk[:512], id)
		return nil
	}
}
