package morphzip

import (
	"bufio"
	"encoding/binary"
	"slices"
)

// A part of a file ends with the index of its blocks:
//
//	lead 'E' | number of blocks | each block's entry | checksum of the header and of this | length of all of this
//
// An entry is the length of the block's frame and, where there are two blocks or
// more, the block's size, the length of its filter and the filter. A reader that
// begins at the end finds the index by its length, and by it the part's start,
// where another part may end.

// indexEntry is one block's.
type indexEntry struct {
	length uint64 // of the frame
	size   uint64 // of the block; unknown, 0, where it is the only one
	filter []byte
}

const (
	tailLength = 4
	minEnd     = 2 + 1 + sumLength + tailLength
	// maxEnd bounds an index. A Writer begins a new part before it is reached.
	maxEnd = 64 * mebi
	// maxBlocks bounds the blocks of a part.
	maxBlocks = 1 << 20
	// MaxFilter bounds a block's filter, in bytes.
	MaxFilter = 64 << 10
)

// appendEnd appends the end of a part with this header and these blocks.
func appendEnd(dst, header []byte, entries []indexEntry) []byte {
	start := len(dst)
	dst = append(dst, lead, letterEnd)
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	for _, e := range entries {
		dst = binary.AppendUvarint(dst, e.length)
		if len(entries) == 1 {
			continue
		}
		dst = binary.AppendUvarint(dst, e.size)
		dst = binary.AppendUvarint(dst, uint64(len(e.filter)))
		dst = append(dst, e.filter...)
	}
	dst = appendSum(dst, updateChecksum(checksum(header), dst[start:]))
	return binary.LittleEndian.AppendUint32(dst, uint32(len(dst)-start+tailLength))
}

func appendSum(dst []byte, sum uint32) []byte { return binary.LittleEndian.AppendUint32(dst, sum) }

// parseEnd reads the end of a part that has this header; end is all of it.
func parseEnd(header, end []byte) ([]indexEntry, error) {
	entries, err := parseEntries(end)
	if err != nil {
		return nil, err
	}
	body := len(end) - tailLength - sumLength
	if updateChecksum(checksum(header), end[:body]) != binary.LittleEndian.Uint32(end[body:]) {
		return nil, corrupt("the index's checksum")
	}
	return entries, nil
}

// parseEntries reads an index whose checksum is not compared yet.
func parseEntries(end []byte) ([]indexEntry, error) {
	body := len(end) - tailLength - sumLength
	switch {
	case len(end) < minEnd || end[0] != lead || end[1] != letterEnd:
		return nil, corrupt("no index")
	case binary.LittleEndian.Uint32(end[body+sumLength:]) != uint32(len(end)):
		return nil, corrupt("the index's length")
	}
	b := end[2:body]
	count, b, ok := uvarint(b, maxBlocks)
	if !ok || count > uint64(len(b)) {
		return nil, corrupt("the index")
	}
	entries := make([]indexEntry, count)
	for i := range entries {
		e := &entries[i]
		if e.length, b, ok = uvarint(b, maxFrameHeader+maxPayload+sumLength); !ok || e.length < minFrame {
			return nil, corrupt("the index")
		}
		if count == 1 {
			continue
		}
		var filter uint64
		if e.size, b, ok = uvarint(b, maxSize); !ok || e.size == 0 {
			return nil, corrupt("the index")
		}
		if filter, b, ok = uvarint(b, MaxFilter); !ok || filter > uint64(len(b)) {
			return nil, corrupt("the index")
		}
		e.filter, b = b[:filter:filter], b[filter:]
	}
	if len(b) > 0 {
		return nil, corrupt("the index")
	}
	return entries, nil
}

// readEnd reads an index as it comes in a stream, where its length is behind it:
// it goes through the entries.
func readEnd(in *bufio.Reader) ([]byte, error) {
	end, err := readGrowing(nil, in, 2)
	number := func(limit uint64) (x uint64) {
		if err != nil {
			return 0
		}
		var b []byte
		if b, err = in.Peek(binary.MaxVarintLen64); len(b) == 0 {
			return 0
		}
		x, rest, ok := uvarint(b, limit)
		switch short := len(b) < binary.MaxVarintLen64 && allContinue(b); {
		case ok:
			end, err = readGrowing(end, in, len(b)-len(rest))
		case !short:
			err = corrupt("the index")
		}
		return x
	}
	count := number(maxBlocks)
	for i := uint64(0); i < count && err == nil; i++ {
		number(maxFrameHeader + maxPayload + sumLength)
		if count == 1 {
			break
		}
		number(maxSize)
		if filter := number(MaxFilter); err == nil {
			end, err = readGrowing(end, in, int(filter))
		}
		if len(end) > maxEnd {
			return nil, corrupt("the index")
		}
	}
	if err != nil {
		return nil, err
	}
	return readGrowing(end, in, sumLength+tailLength)
}

// sameBlocks says whether an index tells of the blocks that were seen.
func sameBlocks(index, seen []indexEntry) bool {
	return slices.EqualFunc(index, seen, func(a, b indexEntry) bool {
		return a.length == b.length && (a.size == 0 || a.size == b.size)
	})
}

// appendHeader appends the header of a part. The level is told, not needed.
func appendHeader(dst []byte, level Level) []byte {
	return append(dst, lead, letterHeader, 'Z', version, byte(level))
}

// parseHeader reads the header of a part.
func parseHeader(b []byte) (Level, error) {
	switch want := [...]byte{lead, letterHeader, 'Z'}; {
	case len(b) < len(want) || [3]byte(b) != want:
		return 0, errFormat()
	case len(b) > 3 && b[3] != version:
		return 0, errVersion(b[3])
	case len(b) < headerLength:
		return 0, ErrTruncated
	case !Level(b[4]).Valid():
		return 0, corrupt("the header")
	}
	return Level(b[4]), nil
}
