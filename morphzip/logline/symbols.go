package logline

import (
	"fmt"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// The codings of bytes.
const (
	bytesStored  = iota // as they are
	bytesRepeat         // one byte, repeated
	bytesFSE            // finite state entropy, order 0
	bytesHuffman        // Huffman, order 0, one stream
	bytesZstd           // a zstd frame, without its magic number
)

// bytesCoder codes byte strings; its memory is used again.
type bytesCoder struct {
	fse  fse.Scratch
	huff huff0.Scratch
	zstd *zstd.Encoder
	best *zstd.Encoder
	buf  []byte
}

// zstdMagic begins each frame.
const zstdMagic = 4

func newZstd(level zstd.EncoderLevel, window int) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(window), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constant
	}
	return e
}

// symbols appends b, whose bytes are symbols without an order worth looking
// for, to dst; it returns the coding.
func (c *bytesCoder) symbols(dst, b []byte) ([]byte, int) {
	if len(b) == 0 {
		return dst, bytesStored
	}
	if uniform(b) {
		return append(dst, b[0]), bytesRepeat
	}
	best, coding := b, bytesStored
	if len(b) < huff0.BlockSizeMax && len(b) > 8 {
		c.huff.Reuse = huff0.ReusePolicyNone
		if out, _, err := huff0.Compress1X(b, &c.huff); err == nil && len(out) < len(best) {
			best, coding = out, bytesHuffman
		}
	}
	// The library finds b incompressible where no symbol is frequent.
	if out, err := fse.Compress(b, &c.fse); err == nil && len(out)+len(out)/128 < len(best) {
		best, coding = out, bytesFSE
	}
	return append(dst, best...), coding
}

// text appends b, which may repeat itself, to dst; it returns the coding.
func (c *bytesCoder) text(dst, b []byte, effort int) ([]byte, int) {
	at := len(dst)
	dst, coding := c.symbols(dst, b)
	if coding == bytesRepeat || len(b) < 16 {
		return dst, coding
	}
	c.buf = c.encoder(effort).EncodeAll(b, c.buf[:0])
	if len(c.buf)-zstdMagic < len(dst)-at {
		return append(dst[:at], c.buf[zstdMagic:]...), bytesZstd
	}
	return dst, coding
}

func (c *bytesCoder) encoder(effort int) *zstd.Encoder {
	if effort > 1 {
		if c.best == nil {
			c.best = newZstd(zstd.SpeedBestCompression, 4<<20)
		}
		return c.best
	}
	if c.zstd == nil {
		c.zstd = newZstd(zstd.SpeedBetterCompression, 1<<20)
	}
	return c.zstd
}

func uniform(b []byte) bool {
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}

// bytesDecoder decodes what bytesCoder coded.
type bytesDecoder struct {
	fse   fse.Scratch
	huff  huff0.Scratch
	zstd  *zstd.Decoder
	frame []byte
}

// decode returns the n bytes that b codes. They may be part of b, and of
// memory that the next call uses again.
func (c *bytesDecoder) decode(b []byte, coding, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var out []byte
	var err error
	switch coding {
	case bytesStored:
		out = b
	case bytesRepeat:
		if len(b) != 1 {
			return nil, corrupt("repeated byte")
		}
		out = make([]byte, n)
		for i := range out {
			out[i] = b[0]
		}
	case bytesFSE:
		c.fse.DecompressLimit = n + 1
		out, err = fse.Decompress(b, &c.fse)
	case bytesHuffman:
		if n >= huff0.BlockSizeMax {
			return nil, corrupt("too many symbols")
		}
		var rest []byte
		var s *huff0.Scratch
		if s, rest, err = huff0.ReadTable(b, &c.huff); err == nil {
			out, err = s.Decoder().Decompress1X(make([]byte, 0, n), rest)
		}
	case bytesZstd:
		if c.zstd == nil {
			c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock+1<<16), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, err
			}
		}
		c.frame = append(append(c.frame[:0], 0x28, 0xb5, 0x2f, 0xfd), b...)
		var h zstd.Header
		if err = h.Decode(c.frame); err == nil {
			if !h.HasFCS || h.FrameContentSize != uint64(n) || h.Skippable {
				return nil, corrupt("size of a frame")
			}
			out, err = c.zstd.DecodeAll(c.frame, make([]byte, 0, n))
		}
	default:
		return nil, corrupt("unknown coding of bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(out) != n {
		return nil, corrupt("number of symbols")
	}
	return out, nil
}
