package morphzip

import (
	"bufio"
	"errors"
	"io"
)

// scanBlocks goes through a file from its beginning, block by block, without
// indexes. The blocks before an error are returned with it.
func scanBlocks(in io.ReaderAt, size int64) (blocks []Block, err error) {
	var entries []indexEntry // of the part
	var part, offset uint64  // before the part, and in it
	var header []byte
	head := make([]byte, maxFrameHeader)
	for at := int64(0); ; {
		n, err := in.ReadAt(head[:min(int64(len(head)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return blocks, err
		}
		b := head[:n]
		switch {
		case header == nil && len(b) == 0 && len(blocks) > 0:
			return blocks, nil
		case header == nil:
			if _, err := parseHeader(b); errors.Is(err, ErrFormat) && at > 0 {
				return blocks, corrupt("byte %d: no part of the file begins here", at)
			} else if err != nil {
				return blocks, err
			}
			header = append([]byte{}, b[:headerLength]...)
			at += headerLength
		case len(b) >= 2 && b[0] == lead && b[1] == letterEnd:
			end, err := readEnd(bufio.NewReader(io.NewSectionReader(in, at, size-at)))
			if err != nil {
				return blocks, short(err)
			}
			if told, err := parseEnd(header, end); err != nil || !sameBlocks(told, entries) {
				return blocks, corrupt("byte %d: the index", at)
			}
			at += int64(len(end))
			part += offset
			offset, entries, header = 0, nil, nil
		default:
			h, err := parseFrameHeader(b)
			if err != nil {
				return blocks, short(err)
			}
			if h.offset != offset || part+offset > maxOffset {
				return blocks, corrupt("byte %d: a block is missing", at)
			}
			if int64(h.frameLength()) > size-at {
				return blocks, ErrTruncated
			}
			blocks = append(blocks, Block{Position: at, Length: int64(h.frameLength()), Size: h.size, part: part})
			entries = append(entries, indexEntry{length: uint64(h.frameLength()), size: h.size})
			at += int64(h.frameLength())
			offset += h.size
		}
	}
}
