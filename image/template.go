package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// DataTemplate is where a fresh data partition lies on the root file system: an
// ext4 of 256 MiB, compressed by zstd to a few KB. From it the box makes the
// data partition of a disk it installs itself to, and makes its own anew.
const DataTemplate = "/usr/share/entroos/data.ext4.zst"

// writeDataTemplate writes the template to output.
func writeDataTemplate(ctx context.Context, output string) (err error) {
	plain := output + ".plain"
	if err := createSparse(plain, minDataSize); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(plain)) }()
	if err := makeData(ctx, plain, 0, minDataSize); err != nil {
		return err
	}
	// The box has little memory to unpack it with.
	return compressFile(output, plain, zstd.WithWindowSize(1<<20))
}

// compressFile writes a file's content to output, compressed by zstd in one
// frame that tells its length and ends in a checksum.
func compressFile(output, input string, options ...zstd.EOption) (err error) {
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	// One goroutine: how the work is split must not show in the bytes.
	compressor, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		return err
	}
	compressor.ResetContentSize(out, info.Size())
	if _, err := io.Copy(compressor, in); err != nil {
		return fmt.Errorf("compressing %s: %w", input, errors.Join(err, compressor.Close()))
	}
	return compressor.Close()
}
