package morphzip

import (
	"bufio"
	"errors"
	"io"
)

// scanner goes through a file from its beginning, part by part and block by
// block, without indexes.
type scanner struct {
	in   io.ReaderAt
	size int64

	blocks []Block // found
	at     int64   // what follows what was found

	// Of the part that has no end yet; header is nil between parts.
	header  []byte
	entries []indexEntry
	part    uint64 // bytes of content before it
	offset  uint64 // and in it

	head [maxFrameHeader]byte
}

// scanBlocks gives the blocks before whatever is wrong, and says what that is.
func scanBlocks(in io.ReaderAt, size int64) ([]Block, error) {
	s := &scanner{in: in, size: size}
	err := s.scan()
	return s.blocks, err
}

func (s *scanner) scan() error {
	for {
		n, err := s.in.ReadAt(s.head[:min(int64(len(s.head)), s.size-s.at)], s.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		b := s.head[:n]
		switch {
		case s.header == nil && len(b) == 0 && s.at > 0:
			return nil
		case s.header == nil:
			err = s.begin(b)
		case len(b) >= 2 && b[0] == lead && b[1] == letterEnd:
			err = s.end()
		default:
			err = s.block(b)
		}
		if err != nil {
			return err
		}
	}
}

func (s *scanner) begin(b []byte) error {
	if _, err := parseHeader(b); s.at > 0 && len(b) < headerLength && errors.Is(err, ErrFormat) && b[0] == lead {
		return ErrTruncated
	} else if errors.Is(err, ErrFormat) && s.at > 0 {
		return corrupt("byte %d: no part of the file begins here", s.at)
	} else if err != nil {
		return err
	}
	s.header = append([]byte{}, b[:headerLength]...)
	s.at += headerLength
	return nil
}

func (s *scanner) block(b []byte) error {
	h, err := parseFrameHeader(b)
	switch {
	case err != nil:
		return err
	case h.offset != s.offset || s.part+s.offset > maxOffset:
		return corrupt("byte %d: a block is missing", s.at)
	case int64(h.frameLength()) > s.size-s.at:
		return ErrTruncated
	}
	s.blocks = append(s.blocks, Block{Position: s.at, Length: int64(h.frameLength()), Size: h.size, part: s.part})
	s.entries = append(s.entries, indexEntry{length: uint64(h.frameLength()), size: h.size})
	s.at += int64(h.frameLength())
	s.offset += h.size
	return nil
}

func (s *scanner) end() error {
	end, err := readEnd(bufio.NewReader(io.NewSectionReader(s.in, s.at, s.size-s.at)))
	if err != nil {
		return short(err)
	}
	if told, err := parseEnd(s.header, end); err != nil || !sameBlocks(told, s.entries) {
		return corrupt("byte %d: the index", s.at)
	}
	s.at += int64(len(end))
	s.part += s.offset
	s.offset, s.entries, s.header = 0, nil, nil
	return nil
}
