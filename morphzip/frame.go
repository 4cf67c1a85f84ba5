package morphzip

import (
	"encoding/binary"
	"fmt"
)

// Version is the format's that files are written in.
const Version = 1

// Every part of a file begins with lead and the part's letter. Lead and a letter
// are no UTF-8, so that text is never taken for them.
const (
	lead         = 0xD7
	letterHeader = 'M' // and 'Z', the version, the level
	letterBlock  = 'B'
	letterEnd    = 'E'

	version      = Version
	headerLength = 5
	sumLength    = 4

	// minFrame is the length of the shortest frame, maxFrameHeader of the
	// longest frame's bytes before its payload.
	minFrame       = 2 + 1 + 3 + 2*sumLength
	maxFrameHeader = 2 + 1 + 3*binary.MaxVarintLen64 + sumLength
	// maxPayload bounds a payload: the bytes of a block and its runs. No coded
	// block is longer than its stored one.
	maxPayload = MaxBlock + maxRunsLength
	// maxRunsLength bounds what appendRuns writes.
	maxRunsLength = 2*binary.MaxVarintLen64 + maxRuns*12
	// maxOffset bounds the bytes of a file's part before a block.
	maxOffset = 1<<62 - 1
)

// withRuns is set in a method's byte where the payload begins with runs.
const withRuns = 0x80

// Frame is a coded block as it stands in a file:
//
//	lead 'B' | method | size | payload's length | offset | content's checksum | payload | frame's checksum
type Frame struct {
	// Method is how the block is coded.
	Method Method
	// Size is how many bytes the block has, with its runs.
	Size uint64
	// Offset is how many bytes of its file's part come before the block.
	Offset uint64
	// Rest is how many bytes of the block the payload codes: all but the runs.
	Rest int
	// Payload is the coded bytes. It is a part of what the frame was read from.
	Payload []byte

	runs    []run
	content uint32 // the checksum of the block
	length  int    // of the frame
}

// frameHeader is what stands before a payload.
type frameHeader struct {
	method       byte
	size, offset uint64
	payload      int
	content      uint32
	length       int // of the header itself
}

func (h *frameHeader) append(dst []byte) []byte {
	dst = append(dst, lead, letterBlock, h.method)
	dst = binary.AppendUvarint(dst, h.size)
	dst = binary.AppendUvarint(dst, uint64(h.payload))
	dst = binary.AppendUvarint(dst, h.offset)
	return binary.LittleEndian.AppendUint32(dst, h.content)
}

// frameLength is the whole frame's.
func (h *frameHeader) frameLength() int { return h.length + h.payload + sumLength }

// parseFrameHeader reads what stands before a payload; b may go on behind it.
// Bytes that end before it does are truncated, not corrupt.
func parseFrameHeader(b []byte) (frameHeader, error) {
	var h frameHeader
	for i, want := range []byte{lead, letterBlock} {
		if i < len(b) && b[i] != want {
			return h, corrupt("no block begins here")
		}
	}
	short := len(b) < maxFrameHeader
	if len(b) < 3 {
		return h, ErrTruncated
	}
	h.method = b[2]
	rest := b[3:]
	for _, field := range []struct {
		to    *uint64
		limit uint64
	}{{&h.size, maxSize}, {nil, maxPayload}, {&h.offset, maxOffset}} {
		x, tail, ok := uvarint(rest, field.limit)
		if !ok && short && len(rest) < binary.MaxVarintLen64 && allContinue(rest) {
			return h, ErrTruncated
		} else if !ok {
			return h, corrupt("a block's header")
		}
		if field.to == nil {
			h.payload = int(x)
		} else {
			*field.to = x
		}
		rest = tail
	}
	if len(rest) < sumLength {
		return h, ErrTruncated
	}
	h.content = binary.LittleEndian.Uint32(rest)
	h.length = len(b) - len(rest) + sumLength
	if h.method&withRuns == 0 && (h.size > MaxBlock || uint64(h.payload) > h.size) || h.size == 0 {
		return h, corrupt("a block's header")
	}
	return h, nil
}

// allContinue says whether a number's bytes all say that another follows.
func allContinue(b []byte) bool {
	for _, c := range b {
		if c < 0x80 {
			return false
		}
	}
	return true
}

// ParseFrame reads the frame that b begins with, and gives what follows it. The
// frame's checksum is right; its block's is compared when that is decoded.
func ParseFrame(b []byte) (f Frame, rest []byte, err error) {
	h, err := parseFrameHeader(b)
	if err != nil {
		return f, b, err
	}
	if len(b) < h.frameLength() {
		return f, b, ErrTruncated
	}
	f, err = h.frame(b[:h.frameLength()])
	return f, b[h.frameLength():], err
}

// frame is the frame of this header, of its bytes from the first to the last.
func (h *frameHeader) frame(b []byte) (Frame, error) {
	end := len(b) - sumLength
	if checksum(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return Frame{}, corrupt("a block's checksum")
	}
	f := Frame{
		Method: Method(h.method &^ withRuns), Size: h.size, Offset: h.offset, Rest: int(min(h.size, MaxBlock)),
		Payload: b[h.length:end], content: h.content, length: len(b),
	}
	if h.method&withRuns != 0 {
		var err error
		if f.Rest, f.runs, f.Payload, err = parseRuns(f.Payload, f.Size); err != nil {
			return Frame{}, err
		}
		if len(f.Payload) > f.Rest {
			return Frame{}, corrupt("a block's header")
		}
	}
	if f.Method.of() == nil {
		return Frame{}, fmt.Errorf("morphzip: a block's method is %d: %w", f.Method, ErrVersion)
	}
	return f, nil
}

// whole says whether the frame was read, and its checksum was right.
func (f *Frame) whole() bool { return f.length > 0 }
