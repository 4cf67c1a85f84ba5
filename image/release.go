package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/entroos/entroos/image/sbom"
)

// Names of what lies beside the images.
const (
	compressedName = "entroos.img.zst"
	billName       = "entroos.cdx.json"
	sumsName       = "SHA256SUMS"
)

// release writes what a release has beside its images: the disk image for
// downloading, the bill of materials, and all their hashes. They are written
// into work, and moved to Output by Build.
func (b *Builder) release(ctx context.Context, work, uki, disk string) error {
	b.say("compressing the disk image")
	if err := compressFile(filepath.Join(work, compressedName), disk, zstd.WithEncoderLevel(zstd.SpeedDefault)); err != nil {
		return err
	}
	contents, err := b.contents(ctx, uki)
	if err != nil {
		return fmt.Errorf("the bill of materials: %w", err)
	}
	if err := writeFile(filepath.Join(work, billName), func(w io.Writer) error { return sbom.Write(w, contents) }); err != nil {
		return fmt.Errorf("the bill of materials: %w", err)
	}
	var sums strings.Builder
	for _, file := range []struct{ name, path string }{
		{"entroos-" + b.Version + ".efi", uki},
		{billName, filepath.Join(work, billName)},
		{"entroos.img", disk},
		{compressedName, filepath.Join(work, compressedName)},
	} {
		hash, err := hashFile(file.path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", hash, file.name)
	}
	return os.WriteFile(filepath.Join(work, sumsName), []byte(sums.String()), 0o644)
}

// writeFile makes a file that write fills.
func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func hashFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}
