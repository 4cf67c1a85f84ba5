package store

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"
)

// dictionaryID names a zstd dictionary: of which stream, and of its
// dictionaries which. The zero value is that of none.
type dictionaryID struct {
	stream uint32
	number uint64
}

// dictionary is what small batches of a stream refer to: what the stream's
// entries are like, learned when a block was made of them.
type dictionary struct {
	id  dictionaryID
	raw []byte
}

const (
	// A dictionary has so much of the stream's text, in bytes.
	dictionaryHistory = 24 << 10
	dictionarySamples = 64 << 10
	// It is learned where batches are so small, in bytes, that it helps.
	dictionaryBatch = 16 << 10
	// So many blocks later the next one is learned.
	dictionaryBlocks = 16
	// codersKept bounds the encoders, and decoders, with dictionaries in memory.
	codersKept = 8
)

// learnDictionary makes a dictionary of a body's entries: the last ones are its
// content, and how the ones before are coded with it gives its statistics. It
// is nil where there is too little to learn.
func learnDictionary(b *body, number uint64) []byte {
	var history []byte
	var samples [][]byte
	for i, sampled := b.len()-1, 0; i >= 0 && sampled < dictionarySamples; i-- {
		switch data := b.data[i]; {
		case len(history) < dictionaryHistory && len(history) < int(b.size/2):
			history = append(history, data[:min(len(data), dictionaryHistory)]...)
		case len(data) >= 8:
			samples = append(samples, data)
			sampled += len(data)
		}
	}
	if len(samples) < 16 {
		return nil
	}
	raw, err := buildDictionary(history, samples, number)
	if err != nil {
		return nil // samples that repeat nothing
	}
	return raw
}

// buildDictionary calls zstd.BuildDict, which panics on some samples.
func buildDictionary(history []byte, samples [][]byte, number uint64) (raw []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			raw, err = nil, fmt.Errorf("dictionary: %v", p)
		}
	}()
	return zstd.BuildDict(zstd.BuildDictOptions{
		ID: 1<<15 + uint32(number), Contents: samples, History: history, Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest,
	})
}

func dictionaryKey(id dictionaryID) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 12), id.stream)
	return binary.BigEndian.AppendUint64(k, id.number)
}

// loadDictionary reads a dictionary; that which is not there is empty.
func loadDictionary(tx *bbolt.Tx, id dictionaryID) dictionary {
	if id.number == 0 {
		return dictionary{}
	}
	return dictionary{id, append([]byte(nil), tx.Bucket(bucketDictionaries).Get(dictionaryKey(id))...)}
}

// lastDictionary is the one that a stream's batches are coded with now.
func lastDictionary(tx *bbolt.Tx, stream uint32) dictionary {
	c := tx.Bucket(bucketDictionaries).Cursor()
	after := dictionaryKey(dictionaryID{stream, 1<<64 - 1})
	k, _ := c.Seek(after)
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	if len(k) != 12 || binary.BigEndian.Uint32(k) != stream {
		return dictionary{}
	}
	return loadDictionary(tx, dictionaryID{stream, binary.BigEndian.Uint64(k[4:])})
}

// encoder gives the encoder with a dictionary. Encoders and decoders may be
// used by several goroutines at a time.
func (c *codec) encoder(d dictionary) (*zstd.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.encoders[d.id]; e != nil {
		return e, nil
	}
	options := []zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256 << 10),
	}
	if d.id.number != 0 {
		options = append(options, zstd.WithEncoderDict(d.raw))
	}
	e, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, err
	}
	forgetOne(c.encoders)
	c.encoders[d.id] = e
	return e, nil
}

func (c *codec) decoder(d dictionary) (*zstd.Decoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if decoder := c.decoders[d.id]; decoder != nil {
		return decoder, nil
	}
	options := []zstd.DOption{
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxUnitData + maxColumns),
	}
	if d.id.number != 0 {
		options = append(options, zstd.WithDecoderDicts(d.raw))
	}
	decoder, err := zstd.NewReader(nil, options...)
	if err != nil {
		return nil, err
	}
	forgetOne(c.decoders)
	c.decoders[d.id] = decoder
	return decoder, nil
}

// forgetOne makes room for another coder.
func forgetOne[Coder any](coders map[dictionaryID]Coder) {
	for id := range coders {
		if len(coders) < codersKept {
			return
		}
		if id != (dictionaryID{}) {
			delete(coders, id)
		}
	}
}

// forget drops the coders with a dictionary that is not used any more.
func (c *codec) forget(id dictionaryID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.encoders, id)
	delete(c.decoders, id)
}
