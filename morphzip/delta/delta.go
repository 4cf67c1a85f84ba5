// Package delta is the delta morph: a file as its differences from a similar one
// that is there already.
//
// It knows how programs differ: a changed string or function moves what is behind
// it, and so changes every operand, pointer and table entry that names a place
// there. Both sides find these references in the old file, and predict each from
// where the pieces of the old file lie in the new one; only what comes out
// otherwise is written. Any bytes make a delta; only x86-64 ELF files, alone or in
// an archive, have references.
//
// The format is in docs/morphzip-format.md.
package delta

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// MaxSize is the size of the largest file, old or new, in bytes.
const MaxSize = 1 << 32

var (
	// ErrCorrupt says that a patch is damaged.
	ErrCorrupt = errors.New("delta: the patch is damaged; get it again")
	// ErrWrongFile says that a patch is for another old file.
	ErrWrongFile = errors.New("delta: the patch is for another old file; use that one, or get the new file whole")
	// ErrTooLarge says that a file is larger than MaxSize.
	ErrTooLarge = errors.New("delta: files of up to 4 GiB have deltas; keep this one whole")
)

const (
	magic      = "mzd\x01"
	digestSize = 16 // of SHA-256's 32 bytes
	// partSize is how much is coded at once, sectionSize after how many coded or
	// inserted bytes a section ends, and maxSection what a decoder takes as one.
	partSize    = 32 << 10
	sectionSize = 1 << 20
	maxSection  = 4 << 20
	// mixedLiterals is up to how many inserted bytes in all are mixed, which is
	// smaller than zstd and slower.
	mixedLiterals = 2 << 20
)

// How a section's inserted bytes are coded.
const (
	literalsMixed = iota
	literalsZstd
	literalsPlain
)

// Encode writes a patch that makes the new file from the old one. It holds up to
// 64 MB.
func Encode(w io.Writer, old io.ReaderAt, oldSize int64, new io.ReaderAt, newSize int64) error {
	if oldSize < 0 || newSize < 0 || oldSize > MaxSize || newSize > MaxSize {
		return ErrTooLarge
	}
	header := binary.AppendUvarint(binary.AppendUvarint([]byte(magic), uint64(oldSize)), uint64(newSize))
	for _, file := range []*io.SectionReader{io.NewSectionReader(old, 0, oldSize), io.NewSectionReader(new, 0, newSize)} {
		digest, err := digestOf(file)
		if err != nil {
			return err
		}
		header = append(header, digest...)
	}
	e := &encoder{out: bufio.NewWriter(w), old: newPages(old, oldSize, manyPages), new: newPages(new, newSize, manyPages)}
	_, _ = e.out.Write(header)
	e.encode()
	return errors.Join(e.old.err, e.new.err, e.err, e.out.Flush())
}

func digestOf(file *io.SectionReader) ([]byte, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err == nil && n != file.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("delta: reading a file: %w", err)
	}
	return hash.Sum(nil)[:digestSize], nil
}

type encoder struct {
	out      *bufio.Writer
	old, new *pages
	codec    *codec
	covered  int64  // of the new file by the section
	literals []byte // of the section
	mixed    bool
	zstd     *zstd.Encoder
	err      error
}

func (e *encoder) encode() {
	oldReferences := findReferences(e.old)
	s := &plan{}
	{
		newReferences := findReferences(e.new)
		s.images = newReferences.images
		s.pieces = align(blank(e.old, oldReferences, manyPages), blank(e.new, newReferences, fewPages))
		s.findBases(oldReferences, newReferences)
	}
	s.shifts = findShifts(e.old, e.new, oldReferences, s)
	coded := encodePlan(s, oldReferences, e.old.size, e.new.size)
	e.bytes(coded)
	inserted := e.new.size
	for _, p := range s.pieces {
		inserted -= p.size
	}
	e.mixed = inserted <= mixedLiterals
	e.codec = newCodec(e.old, newPredictor(oldReferences, s), s, false)
	e.codec.begin(nil, nil, nil)
	data, scratch := make([]byte, partSize), make([]byte, partSize)
	var at int64
	for _, p := range append(s.pieces, piece{new: e.new.size}) {
		for at < p.new {
			part := data[:min(partSize, p.new-at)]
			e.new.read(part, at)
			e.insert(part, at)
			at += int64(len(part))
			e.cut(false)
		}
		for at < p.new+p.size {
			from := p.old + at - p.new
			part := data[:min(partSize, p.new+p.size-at)]
			if at+int64(len(part)) < p.new+p.size {
				part = part[:int64(len(part))-e.codec.cutsReference(from+int64(len(part)))]
			}
			e.new.read(part, at)
			e.codec.copy(part, from, at, scratch)
			e.covered += int64(len(part))
			at += int64(len(part))
			e.cut(false)
		}
	}
	e.cut(true)
}

func (e *encoder) insert(part []byte, at int64) {
	if e.mixed {
		e.codec.insert(part)
	}
	e.codec.see(part, at)
	e.literals = append(e.literals, part...)
	e.covered += int64(len(part))
}

// cut ends a section when it is large enough.
func (e *encoder) cut(last bool) {
	if e.covered == 0 || !last && len(e.literals) < sectionSize && e.codec.size() < sectionSize {
		return
	}
	references, differences, literals := e.codec.finish()
	mode := byte(literalsMixed)
	if !e.mixed {
		literals, mode = e.pack(e.literals)
	}
	e.uvarint(uint64(e.covered))
	e.bytes(references)
	e.bytes(differences)
	_ = e.out.WriteByte(mode)
	e.bytes(literals)
	e.covered, e.literals = 0, e.literals[:0]
	e.codec.begin(nil, nil, nil)
}

// pack compresses inserted bytes by zstd, if that makes them smaller.
func (e *encoder) pack(literals []byte) ([]byte, byte) {
	if e.zstd == nil {
		e.zstd, e.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(2*sectionSize),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		if e.err != nil {
			return literals, literalsPlain
		}
	}
	packed := e.zstd.EncodeAll(literals, nil)
	if len(packed) >= len(literals) {
		return literals, literalsPlain
	}
	return packed, literalsZstd
}

// Errors of writing stay in the bufio.Writer until Flush.
func (e *encoder) uvarint(x uint64) {
	_, _ = e.out.Write(binary.AppendUvarint(nil, x))
}

func (e *encoder) bytes(data []byte) {
	e.uvarint(uint64(len(data)))
	_, _ = e.out.Write(data)
}
