package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/space"
)

// layerSource is one layer in an archive, and what its manifest and its
// image's configuration say of it.
type layerSource struct {
	entry       string      // in the archive
	digest      v1.Hash     // of the entry; zero where the format has none
	size        int64       // of the entry, with digest
	compression compression // of the entry
	diffID      v1.Hash     // of the entry without its compression
}

// maxOverhead is the most that a layer's tar may have beside the contents of
// its files: headers and padding.
const maxOverhead = 1 << 30

// maxTrailing is the most that may follow a tar's end, in bytes.
const maxTrailing = 16 << 20

// unpack unpacks the layer to the empty directory dir, and verifies digest and
// diff id. It counts the bytes of the layer's tar. When it fails, what dir holds
// is worthless.
func (a *imageArchive) unpack(ctx context.Context, l layerSource, dir string, lowers []string, left *space.Room) (counts *equations.Histogram, implied bool, err error) {
	limit := &limitedReader{left: maxOverhead, what: "it has more headers or padding than any layer"}
	counts = new(equations.Histogram)
	err = a.readLayer(ctx, l, limit, counts, func(plain io.Reader) error {
		allow := func(size int64) { limit.left += size }
		implied, err = unpack(ctx, plain, allow, dir, lowers, left)
		limit.left = min(limit.left, maxTrailing)
		return err
	})
	return counts, implied, err
}

// check verifies a layer whose tar is known to have so many bytes, and counts
// them when counts is not nil.
func (a *imageArchive) check(ctx context.Context, l layerSource, size int64, counts *equations.Histogram) error {
	limit := &limitedReader{left: size, what: "it has more bytes than the layer with its diff id"}
	return a.readLayer(ctx, l, limit, counts, func(io.Reader) error { return nil })
}

// readLayer gives the layer without its compression to use, within the limit,
// reads what use leaves, and verifies digest and diff id. On the way it counts
// the plain bytes when counts is not nil.
func (a *imageArchive) readLayer(ctx context.Context, l layerSource, limit *limitedReader, counts *equations.Histogram, use func(io.Reader) error) error {
	if err := a.readLayerUnnamed(ctx, l, limit, counts, use); err != nil {
		return fmt.Errorf("layer %s: %w", l.diffID, err)
	}
	return nil
}

func (a *imageArchive) readLayerUnnamed(ctx context.Context, l layerSource, limit *limitedReader, counts *equations.Histogram, use func(io.Reader) error) error {
	section, err := a.open(l.entry)
	if err != nil {
		return err
	}
	verifyBlob := l.digest.Hex != ""
	if verifyBlob && section.Size() != l.size {
		return fmt.Errorf("%w: %d bytes, where the manifest says %d", ErrMalformed, section.Size(), l.size)
	}
	packed := newDigester(readerContext{ctx, section})
	err = readPlain(packed, l, limit, counts, use)
	if verifyBlob && ctx.Err() == nil {
		// That the blob is another one says more than what came of that.
		if _, err := io.Copy(io.Discard, packed); err != nil {
			return err
		}
		if got := packed.sum(); got != l.digest.Hex {
			return fmt.Errorf("%w: the blob's is sha256:%s, not %s", ErrDigest, got, l.digest)
		}
	}
	return err
}

// readPlain gives what packed holds to use, counts it when counts is not nil,
// and verifies its diff id.
func readPlain(packed io.Reader, l layerSource, limit *limitedReader, counts *equations.Histogram, use func(io.Reader) error) error {
	stream, found, closeStream, err := decompress(packed)
	if err != nil {
		return err
	}
	defer closeStream()
	if l.compression != anyCompression && found != l.compression {
		return fmt.Errorf("%w: it is %s, where the manifest says %s", ErrMalformed, found, l.compression)
	}
	limit.r = stream
	plain := newDigester(limit)
	plain.counts = counts
	if err := use(plain); err != nil {
		return err
	}
	// What follows the tar's end belongs to the digest as well.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return malformed(err)
	}
	if got := plain.sum(); got != l.diffID.Hex {
		return fmt.Errorf("%w: the content's is sha256:%s", ErrDigest, got)
	}
	return nil
}

// malformed makes an error of reading an archive ErrMalformed, unless it is
// one that says more, or is about this machine.
func malformed(err error) error {
	var path *fs.PathError
	for _, known := range []error{
		ErrMalformed, ErrDigest, ErrUnsafe, ErrTooLarge, ErrUnsupported, ErrNoSpace, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	if err == nil || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// digester hashes what is read through it, and counts its bytes when counts is
// not nil.
type digester struct {
	r      io.Reader
	h      hash.Hash
	counts *equations.Histogram
}

func newDigester(r io.Reader) *digester { return &digester{r: r, h: sha256.New()} }

func (d *digester) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.h.Write(p[:n])
	if d.counts != nil {
		d.counts.Add(p[:n])
	}
	return n, err
}

func (d *digester) sum() string { return hex.EncodeToString(d.h.Sum(nil)) }

// folderSize is what a folder's files hold, and what they take on the disk, in
// bytes. A file with several names, all of which have to be in the folder,
// counts once.
func folderSize(dir string) (content, onDisk int64, err error) {
	contents, taken := make(map[uint64]int64), make(map[uint64]int64) // by the number of names
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		names, bytes := linksAndBytes(info)
		if !d.IsDir() {
			taken[names] += bytes
		} else {
			onDisk += bytes
		}
		if d.Type().IsRegular() {
			contents[names] += info.Size()
		}
		return nil
	})
	// Each file was added up once for each of its names.
	for names, sum := range contents {
		content += sum / int64(names)
	}
	for names, sum := range taken {
		onDisk += sum / int64(names)
	}
	return content, onDisk, err
}
