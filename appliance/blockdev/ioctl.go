package blockdev

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// ResizePartition tells the kernel of a partition's new size, as BLKPG does: the
// partition may be mounted. disk is the whole disk's device.
func ResizePartition(disk *os.File, number int, offset, size int64) error {
	part := unix.BlkpgPartition{Start: offset, Length: size, Pno: int32(number)}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_RESIZE_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	return ioctl(disk, "BLKPG", unix.BLKPG, unsafe.Pointer(&arg))
}

// The requests of a mounted ext4: the kernel's include/uapi/linux/ext4.h.
const (
	ext4IocResizeFS = 0x40086610 // _IOW('f', 16, __u64)
	ext4IocSetUUID  = 0x4008662c // _IOW('f', 44, struct fsuuid)

	// Ext4BlockSize is the block size of an EntroOS data partition, in bytes.
	Ext4BlockSize = 4096
)

// GrowExt4 grows the ext4 mounted at a folder to that many blocks of
// Ext4BlockSize. The kernel journals it: what a power cut leaves can be grown
// again.
func GrowExt4(folder *os.File, blocks uint64) error {
	return ioctl(folder, "EXT4_IOC_RESIZE_FS", ext4IocResizeFS, unsafe.Pointer(&blocks))
}

// RenameExt4 gives the ext4 mounted at a folder another UUID.
func RenameExt4(folder *os.File, id uuid.UUID) error {
	var arg [24]byte // fsu_len, fsu_flags, fsu_uuid
	binary.NativeEndian.PutUint32(arg[0:], uint32(len(id)))
	copy(arg[8:], id[:])
	return ioctl(folder, "EXT4_IOC_SETFSUUID", ext4IocSetUUID, unsafe.Pointer(&arg))
}

// ReadExt4 gives the UUID of the ext4 on a device, and its size in bytes.
func ReadExt4(device *os.File) (uuid.UUID, int64, error) {
	superblock := make([]byte, Ext4SuperblockSize)
	if _, err := device.ReadAt(superblock, Ext4SuperblockOffset); err != nil {
		return uuid.Nil, 0, err
	}
	id, err := Ext4UUID(superblock)
	if err != nil {
		return uuid.Nil, 0, fmt.Errorf("%s: %w", device.Name(), err)
	}
	le := binary.LittleEndian
	blocks := uint64(le.Uint32(superblock[0x04:])) | uint64(le.Uint32(superblock[0x150:]))<<32
	return id, int64(blocks << (10 + le.Uint32(superblock[0x18:])&0xf)), nil
}

// Size is the size of a block device, or of a file, in bytes.
func Size(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Mode()&fs.ModeDevice == 0 {
		return info.Size(), nil
	}
	var size uint64
	err = ioctl(f, "BLKGETSIZE64", unix.BLKGETSIZE64, unsafe.Pointer(&size))
	return int64(size), err
}

// SectorSize is the size of a block device's sectors in bytes; 512 for a file.
func SectorSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Mode()&fs.ModeDevice == 0 {
		return 512, nil
	}
	var size int32
	err = ioctl(f, "BLKSSZGET", unix.BLKSSZGET, unsafe.Pointer(&size))
	return int64(size), err
}

func ioctl(f *os.File, name string, request uint, arg unsafe.Pointer) error {
	control, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	err = control.Control(func(fd uintptr) {
		for {
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg))
			if errno != unix.EINTR {
				return
			}
		}
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", f.Name(), name, err)
	}
	return nil
}
