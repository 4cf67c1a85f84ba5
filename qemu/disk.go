package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Interface is how a disk is attached.
type Interface string

// The interfaces of a disk. The empty Interface is Virtio.
const (
	Virtio Interface = "virtio"
	USB    Interface = "usb" // a stick on xHCI
	SATA   Interface = "sata"
	NVMe   Interface = "nvme"
)

// Disk is a disk of the machine. Its state survives power cuts as a real
// disk's does: with an overlay, space that was newly written but not flushed
// is lost when QEMU is killed.
type Disk struct {
	// Image is a raw image that is only read; writes go to the overlay. Empty
	// is a blank disk of Size bytes.
	Image string
	// File is the overlay (qcow2), or with Raw the disk itself. It is made when
	// it is not there. Empty is a file in the machine's Dir.
	File string
	// Raw makes File the disk's plain bytes, sparse, for tests that look at
	// them from outside. An Image is then copied.
	Raw bool
	// Volatile, when set, is the disk in place of Image and File.
	Volatile *VolatileDisk
	// Size in bytes; 0 is the Image's, or what a Raw File has already. A larger
	// Size is the image flashed to a larger disk.
	Size int64
	// Interface is Virtio, USB, SATA or NVMe.
	Interface Interface
	// BadSectors are sectors of 512 bytes that cannot be read.
	BadSectors []int64
	// Serial is the serial number that the disk reports.
	Serial string
	// Unordered leaves the disk's place in the boot order to the firmware's own
	// boot entries; otherwise it is that in Config.Disks.
	Unordered bool
}

// prepare makes the disk's file, by default at path.
func (d *Disk) prepare(path string) error {
	switch d.Interface {
	case "":
		d.Interface = Virtio
	case Virtio, USB, SATA, NVMe:
	default:
		return fmt.Errorf("qemu: disk interface %q is none of virtio, usb, sata, nvme", d.Interface)
	}
	if d.Volatile != nil {
		if d.Image != "" || d.File != "" || d.Raw || d.Size != 0 {
			return errors.New("qemu: a volatile disk has neither image nor file nor size of its own")
		}
		return nil
	}
	if d.Image == "" && d.Size <= 0 {
		return errors.New("qemu: a disk without an image needs a size")
	}
	if d.File == "" {
		d.File = path
	}
	if d.Image != "" {
		info, err := os.Stat(d.Image)
		if err != nil {
			return fmt.Errorf("qemu: disk image: %w", err)
		}
		if d.Size != 0 && d.Size < info.Size() {
			return fmt.Errorf("qemu: %s has %d bytes, its disk only %d", d.Image, info.Size(), d.Size)
		}
	}
	switch info, err := os.Stat(d.File); {
	case err == nil && d.Raw && d.Size != 0 && d.Size < info.Size():
		return fmt.Errorf("qemu: %s has %d bytes already and cannot shrink to %d", d.File, info.Size(), d.Size)
	case err == nil && d.Raw:
		return d.grow()
	case err == nil:
		return nil // an earlier machine's, with its state
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("qemu: %w", err)
	}
	if d.Raw {
		return d.makeRaw()
	}
	return d.makeOverlay()
}

// makeOverlay has qemu-img make File over Image.
func (d *Disk) makeOverlay() error {
	args := []string{"create", "-q", "-f", "qcow2"}
	if d.Image != "" {
		// A relative name would be taken as relative to the overlay.
		image, err := filepath.Abs(d.Image)
		if err != nil {
			return fmt.Errorf("qemu: %w", err)
		}
		args = append(args, "-b", image, "-F", "raw")
	}
	args = append(args, d.File)
	if d.Size != 0 {
		args = append(args, fmt.Sprint(d.Size))
	}
	if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("qemu: making %s: %w: %s", d.File, err, out)
	}
	return nil
}

// makeRaw makes File a sparse copy of Image, or blank.
func (d *Disk) makeRaw() error {
	if d.Image != "" {
		// Half a copy must not be taken for a disk.
		partial := d.File + ".partial"
		out, err := exec.Command("cp", "--sparse=always", "--no-preserve=mode", d.Image, partial).CombinedOutput()
		if err != nil {
			return errors.Join(fmt.Errorf("qemu: making %s: %w: %s", d.File, err, out), os.RemoveAll(partial))
		}
		if err := os.Rename(partial, d.File); err != nil {
			return fmt.Errorf("qemu: %w", err)
		}
	}
	return d.grow()
}

// grow makes a raw File as large as Size, sparse.
func (d *Disk) grow() error {
	if d.Size == 0 {
		return nil
	}
	f, err := os.OpenFile(d.File, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	if err := f.Truncate(d.Size); err != nil {
		f.Close()
		return fmt.Errorf("qemu: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	return nil
}

// args attach the i-th disk.
func (d *Disk) args(i int) []string {
	id := fmt.Sprintf("disk%d", i)
	format := "qcow2"
	if d.Raw {
		format = "raw"
	}
	file := d.File
	if d.Volatile != nil {
		file, format = d.Volatile.Address(), "raw"
	}
	drive := fmt.Sprintf("if=none,id=%s,format=%s,cache=writeback,discard=unmap", id, format)
	if len(d.BadSectors) == 0 {
		drive += ",file=" + escape(file)
	} else {
		drive += ",file.driver=blkdebug,file.image.driver=file,file.image.filename=" + escape(file)
		for n, sector := range d.BadSectors {
			drive += fmt.Sprintf(",file.inject-error.%d.event=read_aio,file.inject-error.%d.errno=5,file.inject-error.%d.sector=%d", n, n, n, sector)
		}
	}
	device := map[Interface]string{
		Virtio: "virtio-blk-pci",
		USB:    "usb-storage,bus=xhci.0,removable=on",
		SATA:   fmt.Sprintf("ide-hd,bus=ide.%d", i),
		NVMe:   "nvme",
	}[d.Interface]
	serial := d.Serial
	if serial == "" {
		serial = id // nvme insists on one
	}
	device += fmt.Sprintf(",drive=%s,serial=%s", id, escape(serial))
	if !d.Unordered {
		device += fmt.Sprintf(",bootindex=%d", i)
	}
	return []string{"-drive", drive, "-device", device}
}
