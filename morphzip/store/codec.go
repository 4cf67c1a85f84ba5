package store

import (
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/filter"
)

// method is how a section is coded.
type method uint8

const (
	methodRaw   method = iota
	methodZstd         // a zstd frame, with the unit's dictionary where it has one
	methodFrame        // a frame of package morphzip
)

// The levels of units: a batch is coded by zstd at once, blocks by package
// morphzip.
const (
	levelBatch = 0
	levelBlock = uint64(morphzip.Default)
	levelDense = uint64(morphzip.Dense)
)

// codec codes units.
type codec struct {
	mu       sync.Mutex
	encoders map[dictionaryID]*zstd.Encoder
	decoders map[dictionaryID]*zstd.Decoder

	// dense is held while a reader decodes a dense unit: the memory that it
	// takes is needed once.
	dense sync.Mutex
}

func (c *codec) init() error {
	c.encoders, c.decoders = make(map[dictionaryID]*zstd.Encoder), make(map[dictionaryID]*zstd.Decoder)
	if _, err := c.encoder(dictionary{}); err != nil {
		return err
	}
	_, err := c.decoder(dictionary{})
	return err
}

// encodeBatch gives the header and the payload of a batch.
func (c *codec) encodeBatch(b *body, d dictionary) (header, []byte, error) {
	h := b.describe()
	h.level, h.dictionary = levelBatch, d.id.number
	encoder, err := c.encoder(d)
	if err != nil {
		return h, nil, err
	}
	parts, _ := b.encode()
	var raw []byte // small parts code better together
	for _, part := range parts {
		raw = append(raw, part...)
	}
	payload := encoder.EncodeAll(raw, nil)
	s := section{method: methodZstd, raw: uint64(len(raw))}
	if len(payload) >= len(raw) {
		s.method, payload = methodRaw, raw
	}
	h.sections = []section{s}
	h.describePayload(payload)
	return h, payload, nil
}

// blockEncoder makes blocks of a level. It is for one goroutine.
type blockEncoder struct {
	level   uint64
	encoder *morphzip.Encoder
	filter  filter.Builder
	facts   *facts
}

const (
	// A block's filter takes such a part of its payload at most, and of its data.
	filterShare = 48
	filterData  = 512
	// From so many bytes on it is worth a filter.
	filterMin = 64
)

// addFilter adds a filter of the kinds' data, which are whole lines each.
func (e *blockEncoder) addFilter(h *header, kinds [][]byte, payload int) {
	size := min(payload/filterShare, int(h.data)/filterData, morphzip.MaxFilter/2)
	if !h.whole || size < filterMin {
		return
	}
	e.filter.Begin(size, true)
	for _, data := range kinds {
		e.filter.Write(data)
	}
	h.filter = e.filter.Append(nil)
}

func newBlockEncoder(level uint64, f *facts) (*blockEncoder, error) {
	encoder, err := morphzip.NewEncoder(morphzip.Options{Level: morphzip.Level(level), Observe: f.block})
	return &blockEncoder{level: level, encoder: encoder, facts: f}, err
}

// encode gives the header and the payload of a block.
func (e *blockEncoder) encode(b *body) (header, []byte) {
	h := b.describe()
	h.level = e.level
	parts, deltas := b.encode()
	e.facts.delta(b.times, deltas)
	// The data first: of the frames that the encoder codes in two ways, one in
	// so many, the first is one, and shall be worth it.
	data := make([][]byte, len(parts))
	for i, part := range parts {
		if i > 0 && len(part) > 0 {
			data[i] = e.encoder.Encode(nil, part)
		}
	}
	var payload []byte
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		begin := len(payload)
		s := section{method: methodFrame, raw: uint64(len(part))}
		if i == 0 {
			payload = e.encoder.Encode(payload, part)
		} else {
			payload = append(payload, data[i]...)
		}
		if len(payload)-begin >= len(part) {
			s.method = methodRaw
			payload = append(payload[:begin], part...)
		}
		s.stored = uint64(len(payload) - begin)
		h.sections = append(h.sections, s)
	}
	e.addFilter(&h, parts[1:], len(payload))
	h.describePayload(payload)
	return h, payload
}

// describePayload sets what the header says of the payload.
func (h *header) describePayload(payload []byte) {
	if len(h.sections) == 1 {
		h.sections[0].stored = uint64(len(payload))
	}
	h.payload = uint64(len(payload))
	h.payloadSum = crc32.Checksum(payload, castagnoli)
	h.inline = len(payload) <= inlineSize
	h.size = len(h.append(nil))
}

// decode gives the entries of a unit.
func (c *codec) decode(u unit) (*body, error) {
	h, payload := u.header, u.payload
	if uint64(len(payload)) != h.payload || crc32.Checksum(payload, castagnoli) != h.payloadSum {
		return nil, damaged("checksum")
	}
	if h.level >= levelDense {
		c.dense.Lock()
		defer c.dense.Unlock()
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
		var err error
		switch s.method {
		case methodRaw:
			raw = append(raw, part...)
		case methodZstd:
			var decoder *zstd.Decoder
			if decoder, err = c.decoder(u.dictionary); err == nil {
				raw, err = decoder.DecodeAll(part, raw[:begin:begin+int(s.raw)])
			}
		case methodFrame:
			raw, err = morphzip.Decode(raw, part, int(s.raw))
		default:
			err = errUnit
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if uint64(len(raw)-begin) != s.raw {
			return nil, damaged("length")
		}
		// Decoders may have moved it.
		if cap(raw) < int(size) {
			raw = append(make([]byte, 0, size), raw...)
		}
	}
	return decodeBody(raw, h)
}
