package morphzip

import (
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdMagic begins each zstd frame (RFC 8878, section 3.1.1). Payloads go
// without it.
var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

var zstdLevels = [...]zstd.EncoderLevel{
	1: zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBetterCompression,
	zstd.SpeedBestCompression, zstd.SpeedBestCompression, zstd.SpeedBestCompression, zstd.SpeedBestCompression, zstd.SpeedBestCompression,
}

// zstdEncoders are idle encoders, by zstd's level: each has tables of some MB.
var zstdEncoders [int(zstd.SpeedBestCompression) + 1]sync.Pool

// encodeZstdAt appends the block, coded by zstd at one of its levels.
func encodeZstdAt(level zstd.EncoderLevel, dst, block []byte) []byte {
	e, _ := zstdEncoders[level].Get().(*zstd.Encoder)
	if e == nil {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithSingleSegment(true), zstd.WithZeroFrames(true), zstd.WithAllLitEntropyCompression(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(fmt.Sprint("morphzip: zstd's options: ", err)) // they are constants
		}
	}
	defer zstdEncoders[level].Put(e)
	start := len(dst)
	dst = e.EncodeAll(block, dst)
	return slices.Delete(dst, start, start+len(zstdMagic))
}

func encodeZstd(level Level, dst, block []byte) ([]byte, bool) {
	return encodeZstdAt(zstdLevels[level], dst, block), true
}

func encodeZstdFast(_ Level, dst, block []byte) ([]byte, bool) {
	return encodeZstdAt(zstd.SpeedFastest, dst, block), true
}

// estimateZstd codes the sample.
func estimateZstd(_ Level, s *sample) (bits, header float64) { return s.zstd(), 0 }

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxBlock), zstd.WithDecoderMaxWindow(MaxBlock))
	if err != nil {
		panic(fmt.Sprint("morphzip: zstd's options: ", err))
	}
	return d
}}

// decodeZstd never writes beyond size bytes: the decoder is bound by the capacity.
func decodeZstd(dst, payload []byte, size int) ([]byte, error) {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	start := len(dst)
	dst = slices.Grow(dst, size)
	frame := append(append(make([]byte, 0, len(zstdMagic)+len(payload)), zstdMagic...), payload...)
	out, err := d.DecodeAll(frame, dst[:start:start+size])
	if err != nil {
		return dst[:start], fmt.Errorf("morphzip: zstd: %w: %w", err, ErrCorrupt)
	}
	if len(out)-start != size {
		return dst[:start], corrupt("a zstd block's length")
	}
	return out, nil
}
