package morphzip

import (
	"errors"
	"fmt"
	"io"
)

// Storage is a file that can be appended to: an os.File, for one.
type Storage interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

// Append returns a Writer that appends to a file of so many bytes, which may be
// empty. What was appended by a writer that did not come to its end is kept as
// far as its blocks are whole; the rest of them is cut off. A file that is
// damaged in another way is left alone: the error is ErrCorrupt.
//
// What is in the file is not written again: if the Writer does not come to its
// end, all that was there before is there still.
func Append(f Storage, size int64, o Options) (*Writer, error) {
	if size > 0 {
		_, err := readIndexes(f, size)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) {
			size, err = mend(f, size)
		}
		if err != nil {
			return nil, err
		}
	}
	return NewWriter(io.NewOffsetWriter(f, size), o)
}

// mend ends a file that was cut short behind its last whole block.
func mend(f Storage, size int64) (int64, error) {
	s := &scanner{in: f, size: size}
	switch err := s.scan(); {
	case err == nil: // the indexes are right, if one goes by the blocks
		return size, nil
	case !errors.Is(err, ErrTruncated):
		return size, err
	}
	for n := len(s.entries); n > 0; n-- { // the last may be as long as it should, and not all written
		last := &s.blocks[len(s.blocks)-1]
		frame, err := readGrowing(nil, io.NewSectionReader(f, last.Position, last.Length), int(last.Length))
		if err != nil {
			return size, short(err)
		}
		if _, _, err := ParseFrame(frame); err == nil {
			break
		}
		s.at = last.Position
		s.blocks, s.entries = s.blocks[:len(s.blocks)-1], s.entries[:n-1]
	}
	if err := f.Truncate(s.at); err != nil {
		return size, fmt.Errorf("morphzip: cutting off what is not whole: %w", err)
	}
	if s.header == nil {
		return s.at, nil
	}
	end := appendEnd(nil, s.header, s.entries)
	if _, err := f.WriteAt(end, s.at); err != nil {
		return size, err
	}
	return s.at + int64(len(end)), nil
}
