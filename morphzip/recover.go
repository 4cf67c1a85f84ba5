package morphzip

import (
	"errors"
	"fmt"
	"io"
)

// Recovery is what Recover found in a file.
type Recovery struct {
	// Blocks and Bytes were intact, and written.
	Blocks int
	Bytes  uint64
	// Lost are the parts of the content that were not, in order.
	Lost []Loss
}

// Loss is bytes of the content that are lost.
type Loss struct {
	// Offset is where they were, counted with all that was lost before and is
	// known of.
	Offset uint64
	// Size is how many; 0 is that nobody knows.
	Size uint64
	// After is how many recovered bytes come before.
	After uint64
	// Reason is an ErrCorrupt, ErrTruncated or ErrVersion.
	Reason error
}

// Complete says whether nothing was lost.
func (r *Recovery) Complete() bool { return len(r.Lost) == 0 }

// Recover writes the content of all intact blocks of a file, whatever happened
// to the others, and tells which were lost. The error is that of reading or
// writing, ErrFormat where there is nothing of a file, or that the search was
// given up, where too much only looks like blocks.
func Recover(w io.Writer, in io.ReaderAt, size int64) (*Recovery, error) {
	r := &recoverer{w: w, in: in, size: size, report: &Recovery{}, budget: 16*size + 4*maxPayload}
	blocks, err := readIndexes(in, size)
	if err == nil {
		err = r.byIndex(blocks)
	} else {
		if scanned := r.byScan(); scanned != nil || r.report.Blocks > 0 || r.anything {
			err = scanned
		} else if damaged(err) && !errors.Is(err, ErrVersion) {
			err = errFormat()
		}
	}
	return r.report, err
}

// recoverer is a Recover on its way.
type recoverer struct {
	w      io.Writer
	in     io.ReaderAt
	size   int64
	report *Recovery

	budget   int64 // bytes that may be read in vain
	anything bool  // a part's header or end was seen

	header  []byte // of the part
	part    uint64 // bytes of content before the part
	offset  uint64 // of what follows in the part
	storage []byte
}

// byIndex goes by indexes that are intact.
func (r *recoverer) byIndex(blocks []Block) error {
	f := &File{in: r.in, blocks: blocks}
	offset := uint64(0) // by the sizes that are told
	for i := range blocks {
		b := &blocks[i]
		b.Offset = offset
		offset += b.Size
		frame, err := f.Frame(i)
		if err == nil {
			err = r.write(&frame)
		}
		if damaged(err) && b.alone && !frame.whole() {
			r.lose(0, err)
			continue
		} else if damaged(err) {
			r.lose(b.Size, err)
		} else if err != nil {
			return err
		}
		r.offset += b.Size
	}
	return nil
}

// damaged says whether an error is of the file's bytes.
func damaged(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrVersion)
}

// write writes a block, unless its content is damaged.
func (r *recoverer) write(f *Frame) error {
	b, err := f.decode(r.storage)
	if err != nil {
		return err
	}
	r.storage = b.rest
	n, err := b.writeTo(r.w, 0)
	r.report.Bytes += uint64(n)
	if err != nil {
		return fmt.Errorf("morphzip: writing what is intact: %w", err)
	}
	r.report.Blocks++
	return nil
}

// lose notes that what follows is lost.
func (r *recoverer) lose(size uint64, reason error) {
	at := r.part + r.offset
	if n := len(r.report.Lost); n > 0 && size > 0 {
		if last := &r.report.Lost[n-1]; last.Size > 0 && last.Offset+last.Size == at && last.After == r.report.Bytes {
			last.Size += size
			return
		}
	}
	r.report.Lost = append(r.report.Lost, Loss{Offset: at, Size: size, After: r.report.Bytes, Reason: reason})
}
