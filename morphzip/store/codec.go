package store

import (
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// method is how a section is coded.
type method uint8

const (
	methodRaw method = iota
	methodZstd
)

// Levels of a unit.
const (
	levelBatch = 0
	levelBlock = 3
)

// codec codes units.
type codec struct {
	fast, normal *zstd.Encoder
	decoder      *zstd.Decoder
}

func (c *codec) init() (err error) {
	const concurrency = 2
	if c.fast, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(concurrency), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20)); err != nil {
		return err
	}
	if c.normal, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20)); err != nil {
		return err
	}
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxUnitData+maxColumns), zstd.IgnoreChecksum(true))
	return err
}

// encode gives the header and the payload of a unit.
func (c *codec) encode(b *body, level uint64) (header, []byte) {
	h := b.describe()
	h.level = level
	parts, _ := b.encode()
	encoder := c.normal
	if level == levelBatch {
		// Small parts code better together.
		var all []byte
		for _, part := range parts {
			all = append(all, part...)
		}
		parts, encoder = [][]byte{all}, c.fast
	}
	var payload []byte
	for _, part := range parts {
		begin := len(payload)
		s := section{method: methodZstd, raw: uint64(len(part))}
		payload = encoder.EncodeAll(part, payload)
		if len(payload)-begin >= len(part) {
			s.method = methodRaw
			payload = append(payload[:begin], part...)
		}
		s.stored = uint64(len(payload) - begin)
		h.sections = append(h.sections, s)
	}
	h.payload = uint64(len(payload))
	h.payloadSum = crc32.Checksum(payload, castagnoli)
	return h, payload
}

// decode gives the entries of a unit.
func (c *codec) decode(h *header, payload []byte) (*body, error) {
	if uint64(len(payload)) != h.payload || crc32.Checksum(payload, castagnoli) != h.payloadSum {
		return nil, damaged("checksum")
	}
	var size uint64
	for _, s := range h.sections {
		size += s.raw
	}
	raw := make([]byte, 0, size)
	for _, s := range h.sections {
		part := payload[:s.stored]
		payload = payload[s.stored:]
		begin := len(raw)
		switch s.method {
		case methodRaw:
			raw = append(raw, part...)
		case methodZstd:
			var err error
			if raw, err = c.decoder.DecodeAll(part, raw); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		default:
			return nil, damaged("method")
		}
		if uint64(len(raw)-begin) != s.raw {
			return nil, damaged("length")
		}
	}
	return decodeBody(raw, h)
}
