package morphzip

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Reader reads the content of a morphzip file as a stream. It needs no seeking,
// and holds one block.
//
// Nothing is given of a block that is damaged. Whoever reads to io.EOF has read
// all that was written: a file that lacks its end is ErrTruncated, one that is
// followed by other bytes ErrTrailing, after the content.
type Reader struct {
	in  *bufio.Reader
	err error // once set, for ever

	header  []byte // of the part
	level   Level
	entries []indexEntry
	parts   int
	offset  uint64 // of the next block in the part

	frame   []byte
	block   block
	read    uint64 // of the block
	visit   func(*Frame)
	storage []byte // of the block
}

// NewReader returns a Reader of the file that r gives. It may read beyond its end.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, pageSize)}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (n int, err error) {
	for len(p) > 0 {
		if r.read < r.block.size {
			n = r.block.readAt(p, r.read)
			r.read += uint64(n)
			return n, nil
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// WriteTo implements io.WriterTo.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		n, err := r.block.writeTo(w, r.read)
		written += n
		r.read += uint64(n)
		if err != nil {
			return written, err
		}
		if err := r.next(); err == io.EOF {
			return written, nil
		} else if err != nil {
			return written, err
		}
	}
}

// next makes the next block the one that is read.
func (r *Reader) next() error {
	if r.err == nil {
		r.err = r.nextBlock()
	}
	if r.err != nil {
		r.block, r.read = block{}, 0
	}
	return r.err
}

// Level is the level that the part of the file was made at that is being read;
// 0 before the first.
func (r *Reader) Level() Level { return r.level }

func (r *Reader) nextBlock() error {
	for {
		if r.header == nil {
			if err := r.beginPart(); err != nil {
				return err
			}
		}
		b, err := r.in.Peek(2)
		switch {
		case err != nil:
			return short(err)
		case b[0] != lead || b[1] != letterBlock && b[1] != letterEnd:
			return corrupt("byte %d of the content: no block and no end follows", r.offset)
		case b[1] == letterBlock:
			return r.decodeBlock()
		}
		if err := r.endPart(); err != nil {
			return err
		}
	}
}

// short is the error of a file that ends where it may not.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("morphzip: %w", ErrTruncated)
	}
	return err
}

// beginPart reads a part's header; io.EOF is that there is no more part.
func (r *Reader) beginPart() error {
	b, err := r.in.Peek(headerLength)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(b) == 0 && r.parts > 0 {
		return io.EOF
	}
	level, err := parseHeader(b)
	switch {
	case errors.Is(err, ErrFormat) && r.parts > 0:
		return fmt.Errorf("morphzip: %w", ErrTrailing)
	case errors.Is(err, ErrTruncated):
		return fmt.Errorf("morphzip: %w", ErrTruncated)
	case err != nil:
		return err
	}
	r.header, r.level = append(r.header, b...), level
	r.parts++
	r.entries, r.offset = r.entries[:0], 0
	_, err = r.in.Discard(headerLength)
	return err
}

func (r *Reader) decodeBlock() error {
	b, err := r.in.Peek(maxFrameHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, err := parseFrameHeader(b)
	if err != nil {
		return r.where(err)
	}
	if h.offset != r.offset {
		return r.where(corrupt("the block that follows is of byte %d", h.offset))
	}
	if r.frame, err = readGrowing(r.frame[:0], r.in, h.frameLength()); err != nil {
		return short(err)
	}
	f, err := h.frame(r.frame)
	if err != nil {
		return r.where(err)
	}
	if r.visit != nil {
		r.visit(&f)
	}
	decoded, err := f.decode(r.storage)
	if err != nil {
		return r.where(err)
	}
	r.block, r.read, r.storage = decoded, 0, decoded.rest
	r.entries = append(r.entries, indexEntry{length: uint64(f.length), size: f.Size})
	r.offset += f.Size
	return nil
}

func (r *Reader) where(err error) error {
	return fmt.Errorf("byte %d of the content: %w", r.offset, err)
}

// readGrowing appends n bytes of r to dst. It allocates as they come, at most
// twice of what there is: a length alone is not believed.
func readGrowing(dst []byte, r io.Reader, n int) ([]byte, error) {
	for n > 0 {
		part := min(n, max(len(dst), mebi))
		dst = slices.Grow(dst, part)
		start := len(dst)
		got, err := io.ReadFull(r, dst[start:start+part])
		dst = dst[:start+got]
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return dst, io.EOF
		} else if err != nil {
			return dst, err
		}
		n -= part
	}
	return dst, nil
}

// endPart reads the index, and compares it with the blocks.
func (r *Reader) endPart() error {
	end, err := readEnd(r.in)
	if err != nil {
		return short(err)
	}
	entries, err := parseEnd(r.header, end)
	if err != nil {
		return r.where(err)
	}
	if !sameBlocks(entries, r.entries) {
		return r.where(corrupt("the index does not tell of these blocks"))
	}
	r.header = nil
	return nil
}
