package morphzip

import (
	"errors"
	"io"

	"github.com/entroos/entroos/morphzip/filter"
)

// Writer makes a morphzip file of what is written to it. Its memory is bounded
// by the block size: about four times that for each worker, and what the
// level's coder needs.
type Writer struct {
	out     io.Writer
	options Options
	err     error // once set, for ever

	header  []byte
	entries []indexEntry
	filters int    // bytes of filters in entries
	begun   bool   // the part's header is written
	coded   bool   // any part was written
	offset  uint64 // of the next block in the part
	number  uint64 // of the next block
	elider  elider
	carry   []byte // of the block before

	idle    []*job
	pending []*job // in order
	closed  bool
}

// job is a block on its way through a worker.
type job struct {
	encoder *Encoder
	block   rawBlock
	frame   []byte
	builder filter.Builder
	filter  []byte
	report  *Report
	done    chan struct{}
}

// NewWriter returns a Writer to w. Close ends the file; it does not close w.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return &Writer{out: w, options: o, header: appendHeader(nil, o.Level)}, nil
}

var errClosed = errors.New("morphzip: the writer is closed")

// Write takes bytes of the content. An error is of an earlier block's writing
// or of the underlying writer, and final.
func (w *Writer) Write(b []byte) (n int, err error) {
	if w.closed {
		return 0, errClosed
	}
	for w.err == nil {
		took, full := w.elider.take(b[n:], w.options.BlockSize)
		n += took
		if !full {
			return n, nil
		}
		w.cutLine()
	}
	return n, w.err
}

// cutLine makes a job of the whole lines that were taken so far, where these are
// most of it, so that a search need not join blocks.
func (w *Writer) cutLine() {
	w.elider.end()
	carry := append(w.carry[:0], w.elider.openLine(w.options.BlockSize/4)...)
	w.carry = carry
	w.elider.rest = w.elider.rest[:len(w.elider.rest)-len(carry)]
	w.elider.size -= uint64(len(carry))
	w.cut()
	w.elider.take(carry, w.options.BlockSize)
}

// Flush ends the block and writes all that was taken, so that a reader of what
// is there by now gets it. Each Flush costs some compression.
func (w *Writer) Flush() error {
	if w.closed {
		return errClosed
	}
	w.cut()
	w.drain(0)
	return w.err
}

// Close writes the rest and the index. Without it the file is cut short.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.cut()
	w.drain(0)
	w.closed = true
	if w.begun || !w.coded {
		w.endPart()
	}
	return w.err
}

// cut makes a job of the block that was taken so far.
func (w *Writer) cut() {
	w.elider.end()
	if w.elider.size == 0 || w.err != nil {
		return
	}
	w.drain(w.options.Workers - 1)
	if len(w.entries)+len(w.pending) >= maxBlocks || w.filters >= maxEnd/2 {
		w.drain(0)
		w.endPart()
	}
	j := w.job()
	j.block = rawBlock{rest: w.elider.rest, runs: w.elider.runs, size: w.elider.size, offset: w.offset, number: w.number}
	w.offset += w.elider.size
	w.number++
	w.pending = append(w.pending, j)
	if w.options.Workers == 1 {
		j.run()
		w.drain(0)
		w.elider.reset(j.block.rest)
		return
	}
	j.done = make(chan struct{})
	w.options.Go("morphzip block", func() {
		defer close(j.done)
		j.run()
	})
	w.elider.reset(w.storage())
}

// job gives an idle job, or a new one.
func (w *Writer) job() *job {
	if n := len(w.idle); n > 0 {
		j := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return j
	}
	return &job{encoder: newEncoder(w.options)}
}

// storage takes the buffer of an idle job for the next block.
func (w *Writer) storage() []byte {
	for _, j := range w.idle {
		if rest := j.block.rest; rest != nil {
			j.block.rest = nil
			return rest
		}
	}
	return nil
}

func (j *job) run() {
	j.frame, j.report = j.encoder.encode(j.frame[:0], &j.block)
	j.filter = buildFilter(j.filter[:0], &j.builder, j.encoder.level, j.report, &j.block, len(j.frame))
}

// drain waits for the oldest blocks and writes them, until so many are left.
func (w *Writer) drain(left int) {
	for len(w.pending) > left {
		j := w.pending[0]
		w.pending = append(w.pending[:0], w.pending[1:]...)
		if j.done != nil {
			<-j.done
		}
		if w.err == nil {
			w.err = w.writeBlock(j)
		}
		j.report = nil
		w.idle = append(w.idle, j)
	}
}

func (w *Writer) writeBlock(j *job) error {
	if err := w.beginPart(); err != nil {
		return err
	}
	if _, err := w.out.Write(j.frame); err != nil {
		return err
	}
	e := indexEntry{length: uint64(len(j.frame)), size: j.block.size}
	e.filter = append(e.filter, j.filter...)
	w.entries = append(w.entries, e)
	w.filters += len(e.filter)
	if w.options.Observe != nil {
		w.options.Observe(j.report)
	}
	return nil
}

func (w *Writer) beginPart() error {
	if w.begun {
		return nil
	}
	w.begun, w.coded = true, true
	_, err := w.out.Write(w.header)
	return err
}

// endPart writes the index.
func (w *Writer) endPart() {
	if w.err == nil {
		w.err = w.beginPart()
	}
	if w.err == nil {
		_, w.err = w.out.Write(appendEnd(nil, w.header, w.entries))
	}
	w.entries, w.filters, w.offset, w.begun = nil, 0, 0, false
}
