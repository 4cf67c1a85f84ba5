package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/entroos/entroos/runtime/space"
)

// Bounds on what an archive may contain, above those of real images. All that
// an import keeps in memory comes from documents that are within them.
const (
	maxArchiveEntries = 20_000
	maxEntryName      = 1024      // bytes
	maxDocument       = 2 << 20   // bytes of a configuration
	maxManifest       = 512 << 10 // bytes of a manifest or an index
	maxDocuments      = 16 << 20  // bytes of all of them
	maxLayers         = 500
	maxIndexDepth     = 4
	maxImages         = 128
	maxManifests      = 1000 // that indexes list, those for other machines too
)

// imageArchive is an image archive spooled to disk, with its entries to be had in
// any order. Entries are only ever looked up by name: none of them names a
// file on this machine.
type imageArchive struct {
	file    *os.File
	entries map[string]archiveEntry
	read    int64 // bytes of documents
}

// archiveEntry is a file in the spool, or a link to another entry.
type archiveEntry struct {
	at, size int64
	link     string
}

// spool copies a tar stream, plain or compressed with gzip or zstd, into an
// unnamed file in dir, as far as there is room, and indexes it.
func spool(ctx context.Context, r io.Reader, dir string, left *space.Room) (_ *imageArchive, err error) {
	file, err := unnamedFile(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	plain, _, closePlain, err := decompress(readerContext{ctx, r})
	if err != nil {
		return nil, err
	}
	defer closePlain()
	if _, err := io.Copy(io.MultiWriter(file, left), plain); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	a := &imageArchive{file: file, entries: make(map[string]archiveEntry)}
	if err := a.index(); err != nil {
		return nil, malformed(err)
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
				return fmt.Errorf("%w: an empty tar", ErrMalformed)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("no tar: %w", err)
		}
		if n == maxArchiveEntries {
			return fmt.Errorf("%w: more than %d entries", ErrTooLarge, maxArchiveEntries)
		}
		if err := a.add(h); err != nil {
			return fmt.Errorf("%.300q: %w", h.Name, err)
		}
	}
}

// add notes an entry of the archive.
func (a *imageArchive) add(h *tar.Header) error {
	if len(h.Name) > maxEntryName || len(h.Linkname) > maxEntryName {
		return fmt.Errorf("%w: a path of %d bytes", ErrTooLarge, max(len(h.Name), len(h.Linkname)))
	}
	// The header's strings may be parts of much larger ones.
	name := strings.Clone(path.Clean("/" + h.Name)[1:])
	var e archiveEntry
	switch h.Typeflag {
	case tar.TypeReg:
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return fmt.Errorf("%w: a sparse file", ErrUnsupported)
			}
		}
		// tar.Reader reads whole blocks and no further: the file stands
		// where the entry's data begins.
		at, err := a.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		e = archiveEntry{at: at, size: h.Size}
	case tar.TypeSymlink: // docker-archives of old point to shared layers so
		e.link = strings.Clone(path.Clean("/" + path.Join(path.Dir(name), h.Linkname))[1:])
	case tar.TypeLink:
		e.link = strings.Clone(path.Clean("/" + h.Linkname)[1:])
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("%w: an entry of type %q", ErrUnsupported, h.Typeflag)
	}
	if _, ok := a.entries[name]; ok {
		return fmt.Errorf("%w: it is there twice", ErrMalformed)
	}
	a.entries[name] = e
	return nil
}

// open gives an entry, following a few links within the archive.
func (a *imageArchive) open(name string) (*io.SectionReader, error) {
	at := name
	for range 8 {
		e, ok := a.entries[at]
		if !ok {
			break
		}
		if e.link == "" {
			return io.NewSectionReader(a.file, e.at, e.size), nil
		}
		at = e.link
	}
	return nil, fmt.Errorf("%w: it lacks %.300q", ErrMalformed, name)
}

// document gives a small entry whole.
func (a *imageArchive) document(name string, limit int64) ([]byte, error) {
	s, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if s.Size() > limit {
		return nil, fmt.Errorf("%.300q: %w: %d bytes", name, ErrTooLarge, s.Size())
	}
	if a.read += s.Size(); a.read > maxDocuments {
		return nil, fmt.Errorf("%w: manifests and configurations of more than %d bytes", ErrTooLarge, maxDocuments)
	}
	raw := make([]byte, s.Size())
	if _, err := io.ReadFull(s, raw); err != nil {
		return nil, malformed(fmt.Errorf("%.300q: %w", name, err))
	}
	return raw, nil
}

func (a *imageArchive) close() error { return a.file.Close() }

// limitedReader fails, unlike io.LimitedReader, when there is more than left
// bytes.
type limitedReader struct {
	r    io.Reader
	left int64
	what string
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w: %s", ErrTooLarge, l.what)
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
