package morphzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
)

// File is a morphzip file of which any part can be read. It may be used by
// several goroutines at a time.
type File struct {
	in     io.ReaderAt
	blocks []Block
	size   uint64

	mu   sync.Mutex // guards what was decoded last
	last int
	now  block
}

// Block is where a block is.
type Block struct {
	// Position and Length are of its frame, in the file.
	Position, Length int64
	// Offset and Size are of its bytes, in the file's content.
	Offset, Size uint64
	// Filter is for a search to skip the block by; nil where there is none.
	Filter []byte

	part  uint64 // what precedes the file's part in the content
	alone bool   // in its part, so that its size is not in the index
}

// Open opens a file of so many bytes. A file that was cut short, or whose end is
// damaged, is open as far as its blocks follow each other, and the error, which
// is then ErrTruncated or ErrCorrupt, tells why there are no more. Else, with an
// error there is no File.
func Open(in io.ReaderAt, size int64) (*File, error) {
	f := &File{in: in, last: -1}
	blocks, err := readIndexes(in, size)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) {
		blocks, err = scanBlocks(in, size)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) {
		return nil, err
	}
	f.blocks = blocks
	for i := range blocks {
		blocks[i].Offset = f.size
		f.size += blocks[i].Size
	}
	return f, err
}

// Size is how many bytes the file's content has.
func (f *File) Size() uint64 { return f.size }

// Blocks are the file's, in order. They are not to be changed.
func (f *File) Blocks() []Block { return f.blocks }

// Frame reads a block's frame and compares its checksum.
func (f *File) Frame(i int) (Frame, error) {
	b := &f.blocks[i]
	frame, err := readGrowing(nil, io.NewSectionReader(f.in, b.Position, b.Length), int(b.Length))
	if err != nil {
		return Frame{}, short(err)
	}
	parsed, rest, err := ParseFrame(frame)
	if err == nil && (len(rest) > 0 || parsed.Size != b.Size || parsed.Offset != b.Offset-b.part) {
		err = corrupt("the block is another one than the index tells of")
	}
	if err != nil {
		return Frame{}, fmt.Errorf("block %d: %w", i, err)
	}
	return parsed, nil
}

// AppendBlock appends a block's bytes to dst, if they are limit at most.
func (f *File) AppendBlock(dst []byte, i, limit int) ([]byte, error) {
	frame, err := f.Frame(i)
	if err != nil {
		return dst, err
	}
	out, err := frame.Append(dst, limit)
	if err != nil {
		return dst, fmt.Errorf("block %d: %w", i, err)
	}
	return out, nil
}

// ReadAt implements io.ReaderAt over the content. The block that was read last
// is kept.
func (f *File) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, fmt.Errorf("morphzip: a read before the content's beginning")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := uint64(offset); n < len(p); {
		if at >= f.size {
			return n, io.EOF
		}
		i := sort.Search(len(f.blocks), func(i int) bool { return f.blocks[i].Offset+f.blocks[i].Size > at })
		if err := f.load(i); err != nil {
			return n, err
		}
		took := f.now.readAt(p[n:], at-f.blocks[i].Offset)
		n += took
		at += uint64(took)
	}
	return n, nil
}

// load decodes a block, unless it was the last.
func (f *File) load(i int) error {
	if f.last == i {
		return nil
	}
	frame, err := f.Frame(i)
	if err != nil {
		return err
	}
	storage := f.now.rest
	f.last, f.now = -1, block{}
	decoded, err := frame.decode(storage)
	if err != nil {
		return fmt.Errorf("block %d: %w", i, err)
	}
	f.last, f.now = i, decoded
	return nil
}

// readIndexes reads the indexes of the file's parts, from the last to the first.
func readIndexes(in io.ReaderAt, size int64) ([]Block, error) {
	header := make([]byte, headerLength)
	n, err := in.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := parseHeader(header[:n]); err != nil {
		return nil, err
	}
	var parts [][]Block // the last first
	for end := size; end > 0; {
		part, start, err := readIndex(in, end)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		end = start
	}
	var blocks []Block
	total := uint64(0)
	for i := len(parts) - 1; i >= 0; i-- {
		before := total
		for _, b := range parts[i] {
			b.part = before
			total += b.Size
			if total > maxOffset {
				return nil, corrupt("the index")
			}
			blocks = append(blocks, b)
		}
	}
	return blocks, nil
}

// readIndex reads the index of the part that ends at end, and gives its start.
func readIndex(in io.ReaderAt, end int64) ([]Block, int64, error) {
	tail := make([]byte, tailLength)
	if end < headerLength+minEnd {
		return nil, 0, corrupt("no index")
	}
	if _, err := in.ReadAt(tail, end-tailLength); err != nil {
		return nil, 0, short(err)
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if length < minEnd || length > min(maxEnd, end-headerLength) {
		return nil, 0, corrupt("the index's length")
	}
	index, err := readGrowing(nil, io.NewSectionReader(in, end-length, length), int(length))
	if err != nil {
		return nil, 0, short(err)
	}
	// Where the part begins, and with it its header, the entries tell.
	entries, err := parseEntries(index)
	if err != nil {
		return nil, 0, err
	}
	start := end - length - headerLength
	for _, e := range entries {
		if e.length > uint64(start) {
			return nil, 0, corrupt("the index")
		}
		start -= int64(e.length)
	}
	header := make([]byte, headerLength)
	if _, err := in.ReadAt(header, start); err != nil {
		return nil, 0, short(err)
	}
	if _, err := parseHeader(header); errors.Is(err, ErrVersion) {
		return nil, 0, err
	} else if err != nil {
		return nil, 0, corrupt("the index")
	}
	if entries, err = parseEnd(header, index); err != nil {
		return nil, 0, err
	}
	return placeBlocks(in, entries, start+headerLength, start)
}

// placeBlocks makes blocks of a part's entries, from a position on.
func placeBlocks(in io.ReaderAt, entries []indexEntry, at, start int64) ([]Block, int64, error) {
	blocks := make([]Block, len(entries))
	for i, e := range entries {
		if e.size == 0 { // the only one
			head := make([]byte, maxFrameHeader)
			n, err := in.ReadAt(head, at)
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, 0, err
			}
			h, err := parseFrameHeader(head[:n])
			if err != nil {
				return nil, 0, err
			}
			e.size = h.size
		}
		blocks[i] = Block{Position: at, Length: int64(e.length), Size: e.size, Filter: e.filter, alone: len(entries) == 1}
		at += int64(e.length)
	}
	return blocks, start, nil
}
