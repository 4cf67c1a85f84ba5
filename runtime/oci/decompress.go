package oci

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow is how far back a zstd stream may refer, in bytes: that much is
// in memory. The strongest level of zstd's own uses 128 MiB with --ultra only;
// image builders stay below 8 MiB.
const maxZstdWindow = 32 << 20

// compression is how a tar is packed.
type compression string

const (
	anyCompression  compression = ""
	notCompressed   compression = "not compressed"
	gzipCompression compression = "compressed with gzip"
	zstdCompression compression = "compressed with zstd"
)

// magics are the first bytes by which compressed streams are told, those of
// formats that are not supported too.
var magics = []struct {
	magic       string
	compression compression
}{
	{"\x1f\x8b", gzipCompression},
	{"\x28\xb5\x2f\xfd", zstdCompression},
	{"\x50\x2a\x4d\x18", zstdCompression}, // a frame that is skipped, as some begin with
	{"BZh", "compressed with bzip2"},
	{"\xfd7zXZ\x00", "compressed with xz"},
	{"\x04\x22\x4d\x18", "compressed with lz4"},
	{"PK\x03\x04", "a zip file"},
}

// A tar of our days has these bytes in its first header.
const (
	tarMagic   = "ustar"
	tarMagicAt = 257
)

// layerCompressions are the types of layers, and how each is packed.
var layerCompressions = map[types.MediaType]compression{
	types.OCILayer:                       gzipCompression,
	types.OCIRestrictedLayer:             gzipCompression,
	types.DockerLayer:                    gzipCompression,
	types.DockerForeignLayer:             gzipCompression,
	types.OCILayerZStd:                   zstdCompression,
	types.OCIUncompressedLayer:           notCompressed,
	types.OCIUncompressedRestrictedLayer: notCompressed,
	types.DockerUncompressedLayer:        notCompressed,
}

// decompress tells by the stream's first bytes how it is packed, and gives it
// plain.
func decompress(r io.Reader) (plain io.Reader, found compression, closePlain func(), err error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	first, err := buffered.Peek(tarMagicAt + len(tarMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", nil, err
	}
	found = notCompressed
	for _, m := range magics {
		// The first file's name may begin like a magic.
		if bytes.HasPrefix(first, []byte(m.magic)) && !bytes.HasSuffix(first, []byte(tarMagic)) {
			found = m.compression
		}
	}
	switch found {
	case notCompressed:
		return buffered, found, func() {}, nil
	case gzipCompression:
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, "", nil, malformed(fmt.Errorf("gzip: %w", err))
		}
		return packedReader{z, "gzip"}, found, func() { z.Close() }, nil
	case zstdCompression:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, "", nil, malformed(fmt.Errorf("zstd: %w", err))
		}
		return packedReader{z, "zstd"}, found, z.Close, nil
	}
	return nil, "", nil, fmt.Errorf("%w: it is %s", ErrUnsupported, found)
}

// packedReader names the errors of a decompressor.
type packedReader struct {
	r    io.Reader
	name string
}

func (p packedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fmt.Errorf("%s: %w: a window of more than %d MiB", p.name, ErrTooLarge, maxZstdWindow>>20)
	default:
		err = malformed(fmt.Errorf("%s: %w", p.name, err))
	}
	return n, err
}
