package morphzip

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// byScan goes through the file from its beginning, and looks for the next
// intact thing where there is none.
func (r *recoverer) byScan() error {
	for at := int64(0); at < r.size; {
		t, err := r.look(at)
		if err == nil {
			err = r.take(t)
		}
		switch {
		case err == nil:
			at += t.length
		case !damaged(err):
			return err
		default:
			if at, err = r.after(at, err); err != nil {
				return err
			}
		}
	}
	if r.header != nil {
		r.lose(0, fmt.Errorf("morphzip: %w", ErrTruncated))
	}
	return nil
}

// thing is an intact part of a file: a header, a block, or an end.
type thing struct {
	length int64
	header []byte
	frame  *Frame
	size   uint64 // of the part that ends; 0 is not known
	blocks int    // of the part that ends
}

// look looks for something intact at a position.
func (r *recoverer) look(at int64) (t thing, err error) {
	head := make([]byte, min(maxFrameHeader, r.size-at))
	if _, err := r.in.ReadAt(head, at); err != nil && !errors.Is(err, io.EOF) {
		return t, err
	}
	switch {
	case len(head) < 2:
		return t, ErrTruncated
	case head[0] != lead:
		return t, corrupt("byte %d of the file", at)
	case head[1] == letterHeader:
		if _, err := parseHeader(head); errors.Is(err, ErrFormat) {
			return t, corrupt("byte %d of the file", at)
		} else if err != nil {
			return t, err
		}
		return thing{length: headerLength, header: head[:headerLength]}, nil
	case head[1] == letterEnd:
		return r.lookEnd(at)
	}
	h, err := parseFrameHeader(head)
	if err != nil {
		return t, err
	}
	length := int64(h.frameLength())
	if length > r.size-at {
		return t, ErrTruncated
	}
	if err := r.spend(length); err != nil {
		return t, err
	}
	b, err := readGrowing(nil, io.NewSectionReader(r.in, at, length), int(length))
	if err != nil {
		return t, short(err)
	}
	frame, err := h.frame(b)
	if err != nil {
		return t, err
	}
	r.budget += length
	return thing{length: length, frame: &frame}, nil
}

func (r *recoverer) lookEnd(at int64) (t thing, err error) {
	end, err := readEnd(bufio.NewReader(io.NewSectionReader(r.in, at, r.size-at)))
	spent := int64(len(end)) + pageSize
	if err := r.spend(spent); err != nil {
		return t, err
	}
	if err != nil {
		return t, short(err)
	}
	headers := [][]byte{r.header}
	if r.header == nil { // it is lost: all it told was the level
		headers = nil
		for level := Fastest; level.Valid(); level++ {
			headers = append(headers, appendHeader(nil, level))
		}
	}
	for _, header := range headers {
		var entries []indexEntry
		if entries, err = parseEnd(header, end); err != nil {
			continue
		}
		t = thing{length: int64(len(end)), blocks: len(entries)}
		for _, e := range entries {
			t.size += e.size
		}
		r.budget += spent
		return t, nil
	}
	return t, err
}

// errGivenUp is not one of the errors that tell of damage: the search ends.
var errGivenUp = errors.New("morphzip: too much in the file looks like blocks and is none: the search for more was given up")

// spend takes bytes that are read, perhaps in vain, off the budget.
func (r *recoverer) spend(n int64) error {
	if r.budget -= n; r.budget < 0 {
		return errGivenUp
	}
	return nil
}

// take takes what is intact.
func (r *recoverer) take(t thing) error {
	switch {
	case t.frame != nil:
		return r.takeBlock(t.frame)
	case t.header != nil:
		r.anything = true
		if r.header != nil { // which has no end
			r.lose(0, corrupt("the index of the part"))
		}
		r.part += r.offset
		r.offset, r.header = 0, bytes.Clone(t.header)
	default:
		r.anything = true
		if t.size > r.offset {
			r.lose(t.size-r.offset, corrupt("blocks are missing"))
			r.offset = t.size
		} else if t.size == 0 && t.blocks > 0 && r.offset == 0 { // of a single block the index has no size
			r.lose(0, corrupt("the block is missing"))
		}
		r.part += r.offset
		r.offset, r.header = 0, nil
	}
	return nil
}

func (r *recoverer) takeBlock(f *Frame) error {
	if f.Offset < r.offset { // a part begins whose header is lost
		r.lose(0, corrupt("the header of a part"))
		r.part += r.offset
		r.offset, r.header = 0, nil
	}
	if missing := f.Offset - r.offset; missing > 0 {
		r.lose(missing, corrupt("blocks are missing"))
		r.offset = f.Offset
	}
	if err := r.write(f); damaged(err) {
		r.lose(f.Size, err)
	} else if err != nil {
		return err
	}
	r.offset += f.Size
	return nil
}

// after gives the position of the next intact thing after a position where
// there is none, or the file's size.
func (r *recoverer) after(at int64, reason error) (int64, error) {
	if next, ok, err := r.skip(at, reason); ok || err != nil {
		return next, err
	}
	between := r.header == nil // parts
	buffer := make([]byte, pageSize)
	for at++; at < r.size; at++ {
		n, err := r.in.ReadAt(buffer[:min(pageSize, r.size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, err
		}
		found := bytes.IndexByte(buffer[:n], lead)
		if found < 0 {
			at += int64(max(n, 1)) - 1
			continue
		}
		at += int64(found)
		if _, err := r.look(at); err == nil {
			return at, nil
		} else if !damaged(err) {
			return at, err
		}
	}
	if between {
		r.lose(0, reason)
	}
	return r.size, nil
}

// skip skips a block whose header tells where it ends, if that is so: something
// intact follows.
func (r *recoverer) skip(at int64, reason error) (next int64, ok bool, err error) {
	head := make([]byte, min(maxFrameHeader, r.size-at))
	if _, err := r.in.ReadAt(head, at); err != nil && !errors.Is(err, io.EOF) {
		return at, false, err
	}
	h, err := parseFrameHeader(head)
	if err != nil || h.offset != r.offset {
		return at, false, nil
	}
	next = at + int64(h.frameLength())
	if next >= r.size {
		return at, false, nil
	}
	if _, err := r.look(next); damaged(err) {
		return at, false, nil
	} else if err != nil {
		return at, false, err
	}
	r.lose(h.size, reason)
	r.offset += h.size
	return next, true, nil
}
