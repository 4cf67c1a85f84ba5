package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// layerSource is one layer in an archive, and what its manifest and its
// image's configuration say of it.
type layerSource struct {
	entry  string  // in the archive
	digest v1.Hash // of the entry; zero where the format has none
	size   int64   // of the entry, with digest
	diffID v1.Hash // of the entry without its compression
}

// budget is what may still be written.
type budget struct{ bytes, entries int64 }

// unpack applies the layer to the empty directory dir, in overlayfs's form:
// whiteouts are devices 0/0, opaque directories have an attribute. Lowers are
// the layers below, the topmost first; directories that the layer leaves out
// but for their contents take their owner and mode from there. Digest and diff
// id are verified; when unpack fails, what dir holds is worthless.
func (a *imageArchive) unpack(ctx context.Context, l layerSource, dir string, lowers []string, left *budget) error {
	f := layerFilter{left: left}
	_, err := a.readLayer(ctx, l, left.bytes, func(plain io.Reader) error {
		_, err := archive.Apply(ctx, dir, plain, archive.WithFilter(f.accept),
			archive.WithConvertWhiteout(convertWhiteout), archive.WithParents(lowers))
		return err
	})
	return err
}

// check verifies the layer without unpacking it.
func (a *imageArchive) check(ctx context.Context, l layerSource, left budget) error {
	_, err := a.readLayer(ctx, l, left.bytes, func(io.Reader) error { return nil })
	return err
}

// readLayer gives the layer without its compression to use, reads what use
// leaves, and verifies digest and diff id. It returns the plain size. A layer
// that could not be written to limit bytes of disk is not read to its end.
func (a *imageArchive) readLayer(ctx context.Context, l layerSource, limit int64, use func(io.Reader) error) (int64, error) {
	size, err := a.readLayerUnnamed(ctx, l, limit, use)
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", l.diffID, err)
	}
	return size, nil
}

func (a *imageArchive) readLayerUnnamed(ctx context.Context, l layerSource, limit int64, use func(io.Reader) error) (int64, error) {
	section, ok := a.open(l.entry)
	if !ok {
		return 0, fmt.Errorf("the archive lacks %s", l.entry)
	}
	verifyBlob := l.digest.Hex != ""
	if verifyBlob && section.Size() != l.size {
		return 0, fmt.Errorf("%d bytes, where the manifest says %d", section.Size(), l.size)
	}
	packed := newDigester(readerContext{ctx, section})
	size, err := readPlain(packed, l, limit, use)
	if verifyBlob {
		// That the blob is another one says more than what came of that.
		if _, err := io.Copy(io.Discard, packed); err != nil {
			return 0, err
		}
		if got := packed.sum(); got != l.digest.Hex {
			return 0, fmt.Errorf("the blob has the digest sha256:%s, not %s", got, l.digest)
		}
	}
	return size, err
}

// readPlain gives what packed holds to use, and verifies its diff id.
func readPlain(packed io.Reader, l layerSource, limit int64, use func(io.Reader) error) (int64, error) {
	stream, closeStream, err := decompress(packed)
	if err != nil {
		return 0, err
	}
	defer closeStream()
	// Headers and padding are no files, so the stream may be larger than those.
	plain := newDigester(&limitedReader{r: stream, left: 2*limit + 64<<20, what: "the layer"})
	if err := use(plain); err != nil {
		return 0, err
	}
	// What follows the tar's end belongs to the digest as well.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return 0, err
	}
	if got := plain.sum(); got != l.diffID.Hex {
		return 0, fmt.Errorf("the content has the digest sha256:%s", got)
	}
	return plain.n, nil
}

// layerFilter refuses entries that no image has for good reasons.
type layerFilter struct{ left *budget }

func (f *layerFilter) accept(h *tar.Header) (bool, error) {
	if f.left.entries--; f.left.entries < 0 {
		return false, fmt.Errorf("too many files: %w", ErrNoSpace)
	}
	// Header sizes, not the stream's: a sparse file is written out in full.
	if h.Size < 0 {
		return false, fmt.Errorf("%q: negative size", h.Name)
	}
	if h.Typeflag == tar.TypeReg {
		if f.left.bytes -= h.Size; f.left.bytes < 0 {
			return false, fmt.Errorf("%q: %w", h.Name, ErrNoSpace)
		}
	}
	if escapes(h.Name) {
		return false, fmt.Errorf("%q leads out of the layer", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeFifo:
	case tar.TypeLink:
		if escapes(h.Linkname) {
			return false, fmt.Errorf("hard link %q: its target %q leads out of the layer", h.Name, h.Linkname)
		}
	case tar.TypeChar, tar.TypeBlock:
		// Images made from whole root file systems have some below /dev, where
		// a container gets its own.
		if strings.HasPrefix(path.Clean("/"+h.Name), "/dev/") {
			return false, nil
		}
		return false, fmt.Errorf("%q is a device node", h.Name)
	case tar.TypeXGlobalHeader:
		return false, nil
	default:
		return false, fmt.Errorf("%q: entries of type %q are not supported", h.Name, h.Typeflag)
	}
	return true, nil
}

// escapes says whether name has a component .. that leads above its start.
func escapes(name string) bool {
	depth := 0
	for c := range strings.SplitSeq(name, "/") {
		switch c {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// convertWhiteout is archive.OverlayConvertWhiteout, but a whiteout hides only
// what is in lower layers: a file of its own layer stays.
func convertWhiteout(h *tar.Header, name string) (bool, error) {
	base := filepath.Base(name)
	if hidden, ok := strings.CutPrefix(base, ".wh."); ok && !strings.HasPrefix(hidden, ".wh.") {
		_, err := os.Lstat(filepath.Join(filepath.Dir(name), hidden))
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return archive.OverlayConvertWhiteout(h, name)
}

// digester hashes what is read through it.
type digester struct {
	r io.Reader
	h hash.Hash
	n int64
}

func newDigester(r io.Reader) *digester { return &digester{r: r, h: sha256.New()} }

func (d *digester) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.h.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *digester) sum() string { return hex.EncodeToString(d.h.Sum(nil)) }

// directorySize is the bytes in dir's files; a file with several names counts
// once.
func directorySize(dir string) (int64, error) {
	var size int64
	seen := make(map[inode]bool)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if id := inodeOf(info); id.links > 1 {
			if seen[id] {
				return nil
			}
			seen[id] = true
		}
		size += info.Size()
		return nil
	})
	return size, err
}
