package image

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// writeInitramfs writes the initramfs: cpio archives one after the other, which
// the kernel unpacks into one folder. The first, with the processors' microcode
// if there is any, is read by the kernel long before it can unpack: it is stored
// as it is. So is the second, for the squashfs in it is compressed already. The
// third, with stage0, is compressed.
func writeInitramfs(output string, microcode []byte, stage0, root string) (err error) {
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)

	if len(microcode) > 0 {
		if err := writeArchive(buffered, 200, microcodeRecords(microcode)); err != nil {
			return fmt.Errorf("writing the initramfs: %w", err)
		}
	}
	image, err := fileRecord("root.squashfs", root, 0o444)
	if err != nil {
		return err
	}
	if err := writeArchive(buffered, 1, []cpio.Record{image}); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	init, err := fileRecord("init", stage0, 0o755)
	if err != nil {
		return err
	}
	// One goroutine: how the work is split must not show in the bytes.
	compressor, err := zstd.NewWriter(buffered, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	records := []cpio.Record{
		cpio.Directory("dev", 0o755),
		// The kernel opens it as init's standard files before init runs.
		cpio.CharDev("dev/console", 0o600, 5, 1),
		init,
		cpio.Directory("newroot", 0o755),
	}
	if err := writeArchive(compressor, 100, records); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	if err := compressor.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// microcodeRecords are the folders and the file that the kernel looks for.
func microcodeRecords(microcode []byte) []cpio.Record {
	return []cpio.Record{
		cpio.Directory("kernel", 0o755), cpio.Directory("kernel/x86", 0o755), cpio.Directory("kernel/x86/microcode", 0o755),
		{
			ReaderAt: bytes.NewReader(microcode),
			Info: cpio.Info{
				Name: "kernel/x86/microcode/GenuineIntel.bin", Mode: cpio.S_IFREG | 0o444, FileSize: uint64(len(microcode)),
			},
		},
	}
}

// writeArchive writes one newc archive whose inodes count from first. Owners are
// root, times the image's.
func writeArchive(w io.Writer, first uint64, records []cpio.Record) error {
	format, err := cpio.Format("newc")
	if err != nil {
		return err
	}
	archive := format.Writer(w)
	for i, record := range records {
		record.Ino = first + uint64(i)
		record.MTime = uint64(epoch.Unix())
		record.NLink = 1
		if err := archive.WriteRecord(record); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(archive)
}

// fileRecord is a record with a file's content. Writing the record closes the
// file.
func fileRecord(name, path string, permissions uint64) (cpio.Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return cpio.Record{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return cpio.Record{}, errors.Join(err, file.Close())
	}
	return cpio.Record{
		ReaderAt: file,
		Info:     cpio.Info{Name: name, Mode: cpio.S_IFREG | permissions, FileSize: uint64(info.Size())},
	}, nil
}
