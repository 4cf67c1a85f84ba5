//go:build !box

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/klauspost/compress/zstd"

	"github.com/entroos/entroos/appliance/blockdev"
)

// flashImage is a disk image that is read from its beginning to its end, more
// than once.
type flashImage struct {
	path     string
	layout   *blockdev.Table // once inspected
	settings []byte          // the settings partition, once inspected
}

// open finds the image.
func (f *flashFlags) open() (*flashImage, error) {
	if f.image != "" {
		_, err := os.Stat(f.image)
		return &flashImage{path: f.image}, err
	}
	for _, path := range []string{"build/entroos.img", "build/entroos.img.zst"} {
		if _, err := os.Stat(path); err == nil {
			return &flashImage{path: path}, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, errors.New("there is no build/entroos.img here; name one with --image, or build it with `make image`")
}

// reader gives the plain image from its beginning.
func (i *flashImage) reader() (io.ReadCloser, error) {
	f, err := os.Open(i.path)
	if err != nil || !strings.HasSuffix(i.path, ".zst") {
		return f, err
	}
	r, err := zstd.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", i.path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closeBoth{r.IOReadCloser(), f}}, nil
}

type closeBoth struct{ a, b io.Closer }

func (c closeBoth) Close() error { return errors.Join(c.a.Close(), c.b.Close()) }

// inspect reads all of the image once: that it is EntroOS's, whole, and, where
// it is compressed, right by its checksum.
func (i *flashImage) inspect(ctx context.Context) error {
	r, err := i.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 1<<20)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("%s is no disk image: %w", i.path, err)
	}
	size, err := blockdev.ImageSize(head)
	if err == nil {
		i.layout, err = blockdev.ReadTable(bytes.NewReader(head), size, 512)
	}
	if err == nil {
		err = blockdev.CheckLayout(i.layout)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	part := i.layout.Partition(blockdev.Settings)
	at := int64(len(head))
	i.settings = make([]byte, i.layout.Size(part))
	for _, step := range []func() (int64, error){
		func() (int64, error) { return io.CopyN(io.Discard, r, i.layout.Offset(part)-at) },
		func() (int64, error) { n, err := io.ReadFull(r, i.settings); return int64(n), err },
		func() (int64, error) { return io.Copy(io.Discard, contextReader{ctx, r}) },
	} {
		n, err := step()
		at += n
		if err != nil {
			return fmt.Errorf("%s is not whole or damaged: %w", i.path, err)
		}
	}
	if at < size {
		return fmt.Errorf("%s is not whole: it has %d of %d bytes", i.path, at, size)
	}
	return nil
}

// contextReader is a reader until its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// system is what the image puts on a disk, with the box's settings if there are
// any.
func (i *flashImage) system(settings []byte) (*blockdev.System, func(), error) {
	r, err := i.reader()
	if err != nil {
		return nil, nil, err
	}
	closer := func() { _ = r.Close() } // it was only read
	volume := i.settings
	if settings != nil {
		if volume, err = withSettings(volume, settings); err != nil {
			closer()
			return nil, nil, fmt.Errorf("putting the settings on the settings partition: %w", err)
		}
	}
	in := &sequence{Reader: r}
	part := func(number int) io.Reader {
		p := i.layout.Partition(number)
		return &section{in: in, at: i.layout.Offset(p)}
	}
	return &blockdev.System{
		Layout: i.layout, ESP: part(blockdev.ESP), Settings: bytes.NewReader(volume), Data: part(blockdev.Data),
		DataSize: i.layout.Size(i.layout.Partition(blockdev.Data)),
	}, closer, nil
}

// sequence is a reader that knows how far it is.
type sequence struct {
	io.Reader
	at int64
}

func (s *sequence) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.at += int64(n)
	return n, err
}

// section reads a sequence from some place on; what lies before is skipped.
type section struct {
	in *sequence
	at int64
}

func (s *section) Read(p []byte) (int, error) {
	if skip := s.at - s.in.at; skip > 0 {
		if _, err := io.CopyN(io.Discard, s.in, skip); err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(p)
	s.at = s.in.at
	return n, err
}

// withSettings gives a FAT16 volume with appliance.yaml in it.
func withSettings(volume, settings []byte) (changed []byte, err error) {
	f, err := os.CreateTemp("", "entroos-settings-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(volume); err != nil {
		return nil, err
	}
	system, err := fat16.Read(file.New(f, false), int64(len(volume)), 0, 512)
	if err != nil {
		return nil, err
	}
	out, err := system.OpenFile("/appliance.yaml", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(settings); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	changed = make([]byte, len(volume))
	_, err = f.ReadAt(changed, 0)
	return changed, err
}
