package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"
)

// Bounds on what an import may contain. They are far above real images, and
// what they leave is bounded by the space on the disk (Store.reserve).
const (
	maxArchiveEntries = 100_000
	maxLayerEntries   = 2_000_000
	maxJSON           = 8 << 20
	maxLayers         = 500
	maxIndexDepth     = 4
	maxImages         = 1000
	maxZstdWindow     = 64 << 20
)

// imageArchive is an image archive spooled to disk, with its entries to be had in
// any order. Entries are only ever looked up by name: none of them names a
// file on this machine.
type imageArchive struct {
	file    *os.File
	entries map[string]*io.SectionReader
	links   map[string]string
}

// spool copies a tar stream, plain or compressed with gzip or zstd, into an
// unnamed file in dir, and indexes it. What is spooled is at most limit bytes.
func spool(ctx context.Context, r io.Reader, dir string, limit int64) (_ *imageArchive, err error) {
	file, err := unnamedFile(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	plain, closePlain, err := decompress(readerContext{ctx, r})
	if err != nil {
		return nil, err
	}
	defer closePlain()
	if _, err := io.Copy(file, &limitedReader{r: plain, left: limit, what: "the archive"}); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	a := &imageArchive{file: file, entries: make(map[string]*io.SectionReader), links: make(map[string]string)}
	if err := a.index(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *imageArchive) index() error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tr := tar.NewReader(a.file)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("not an image archive: an empty tar")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("not an image archive: %w", err)
		}
		if n == maxArchiveEntries {
			return fmt.Errorf("the archive has more than %d entries", maxArchiveEntries)
		}
		name := path.Clean("/" + h.Name)[1:]
		switch h.Typeflag {
		case tar.TypeReg:
			// tar.Reader reads whole blocks and no further: the file stands
			// where the entry's data begins.
			at, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.entries[name] = io.NewSectionReader(a.file, at, h.Size)
			delete(a.links, name)
		case tar.TypeSymlink: // docker-archives of old point to shared layers so
			a.links[name] = path.Clean("/" + path.Join(path.Dir(name), h.Linkname))[1:]
			delete(a.entries, name)
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)[1:]
			delete(a.entries, name)
		}
	}
}

// open gives an entry, following a few links within the archive.
func (a *imageArchive) open(name string) (*io.SectionReader, bool) {
	for range 8 {
		if s, ok := a.entries[name]; ok {
			return io.NewSectionReader(s, 0, s.Size()), true
		}
		target, ok := a.links[name]
		if !ok {
			return nil, false
		}
		name = target
	}
	return nil, false
}

// readJSON gives a small entry whole.
func (a *imageArchive) readJSON(name string) ([]byte, error) {
	s, ok := a.open(name)
	if !ok {
		return nil, fmt.Errorf("the archive lacks %s", name)
	}
	if s.Size() > maxJSON {
		return nil, fmt.Errorf("%s: %d bytes are too many", name, s.Size())
	}
	return io.ReadAll(s)
}

func (a *imageArchive) close() error { return a.file.Close() }

// decompress tells by the stream's first bytes whether it is gzip, zstd or
// neither, and gives it plain.
func decompress(r io.Reader) (plain io.Reader, closePlain func(), err error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return buffered, func() {}, nil
}

// limitedReader fails, unlike io.LimitedReader, when there is more than left
// bytes.
type limitedReader struct {
	r    io.Reader
	left int64
	what string
}

// ErrNoSpace is returned for an import that would fill the disk.
var ErrNoSpace = errors.New("not enough free space on the data partition")

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%s is too large: %w", l.what, ErrNoSpace)
	}
	return n, err
}

// readerContext fails once ctx has ended.
type readerContext struct {
	ctx context.Context
	r   io.Reader
}

func (r readerContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
