package blockdev

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is an open block device, or a file in its place.
type Device struct {
	*os.File
	Bytes      int64 // size
	SectorSize int64 // bytes
	block      bool
}

// ErrInUse says that a device is mounted or otherwise in use.
var ErrInUse = errors.New("it is in use")

// OpenExclusive opens a block device for writing. ErrInUse says that it, or a
// partition of it, is mounted or otherwise in use; nobody else can mount it
// while it is open.
func OpenExclusive(path string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES) && os.Geteuid() == 0:
		return nil, fmt.Errorf("%s is write-protected: %w", path, err)
	case err != nil:
		return nil, err
	}
	d := &Device{File: f}
	info, err := f.Stat()
	if err == nil {
		d.block = info.Mode()&os.ModeDevice != 0
		d.Bytes, err = Size(f)
	}
	if err == nil {
		d.SectorSize, err = SectorSize(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

// Zero implements Target.
func (d *Device) Zero(offset, size int64) error {
	if !d.block {
		const hole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
		return unix.Fallocate(int(d.Fd()), hole, offset, size)
	}
	span := [2]uint64{uint64(offset), uint64(size)}
	return ioctl(d.File, "BLKZEROOUT", unix.BLKZEROOUT, unsafe.Pointer(&span))
}

// Forget implements Target.
func (d *Device) Forget() error { return Forget(d.File) }

// Forget makes the next reads of a block device, or of a file, come from the
// medium, not from memory.
func Forget(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeDevice == 0 {
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return ioctl(f, "BLKFLSBUF", unix.BLKFLSBUF, nil)
}

// Reread has the kernel read the partition table anew; a device for which it
// knows no partitions is left as it is.
func (d *Device) Reread() error {
	if !d.block {
		return nil
	}
	err := ioctl(d.File, "BLKRRPART", unix.BLKRRPART, nil)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
