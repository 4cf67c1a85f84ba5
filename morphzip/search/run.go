package search

import (
	"context"
	"sync"

	"github.com/entroos/entroos/morphzip"
)

// run is a search of a file.
type run struct {
	file    *morphzip.File
	query   *Query
	options Options
	plan    *plan

	mu    sync.Mutex // guards stats while blocks are searched
	stats Stats
}

// all searches the file, block by block as far as it can.
func (r *run) all(ctx context.Context, visit func(Line) error) error {
	var spans []span
	r.plan = newPlan(r.file.Blocks())
	switch {
	case r.options.Numbers && r.plan.lines == nil:
		spans = r.plan.whole()
	case r.options.Invert:
		spans = r.plan.all()
	default:
		spans, r.stats.Asked = r.plan.candidates(r.query)
	}
	var pending []*task
	defer func() {
		for _, t := range pending {
			<-t.done
		}
	}()
	deliver := func(left int) error {
		for len(pending) > left {
			t := pending[0]
			<-t.done
			pending = pending[1:]
			if err := t.deliver(visit); err != nil {
				return err
			}
			tasks.Put(t)
		}
		return nil
	}
	for _, s := range spans {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if s.from != s.to || r.options.Workers == 1 {
			if err := deliver(0); err != nil {
				return err
			}
			if err := r.search(s, visit); err != nil {
				return err
			}
			continue
		}
		if err := deliver(2*r.options.Workers - 1); err != nil {
			return err
		}
		t := tasks.Get().(*task)
		t.reset()
		pending = append(pending, t)
		r.options.Go("morphzip search", func() {
			defer close(t.done)
			t.err = r.search(s, t.take)
		})
	}
	return deliver(0)
}

// search searches a span.
func (r *run) search(s span, visit func(Line) error) error {
	scan := scanner{query: r.query, invert: r.options.Invert, count: r.options.Numbers, visit: visit}
	if r.options.Numbers && r.plan.lines != nil {
		scan.lines = r.plan.lines[s.from]
	}
	// A line that begins before the span is none that matches.
	scan.drop = s.from > 0 && r.plan.known[s.from-1].open
	for i := s.from; i <= s.to; i++ {
		frame, err := r.file.Frame(i)
		if err != nil {
			return err
		}
		if s.from == s.to && r.plan.alone(i) && !r.options.Invert && !mayMatch(&frame, r.query) {
			return nil
		}
		r.mu.Lock()
		r.stats.Decoded++
		r.stats.DecodedBytes += frame.Size
		r.mu.Unlock()
		if err := scanFrame(&frame, &scan); err != nil {
			return err
		}
	}
	if s.to+1 == len(r.plan.known) {
		return scan.finish()
	}
	return nil
}

// scanFrame decodes a block and feeds it to the scanner.
func scanFrame(frame *morphzip.Frame, scan *scanner) error {
	if frame.Size > morphzip.MaxBlock { // runs: piece by piece
		_, err := frame.WriteTo(feeder{scan})
		return err
	}
	storage := storages.Get().(*[]byte)
	defer storages.Put(storage)
	b, err := frame.Append((*storage)[:0], morphzip.MaxBlock)
	if err != nil {
		return err
	}
	*storage = b
	return scan.feed(b)
}

var storages = sync.Pool{New: func() any { return new([]byte) }}

// feeder is a scanner that is written to.
type feeder struct{ *scanner }

func (f feeder) Write(b []byte) (int, error) {
	if err := f.feed(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// task is the search of one block by a worker, and the lines it found.
type task struct {
	done    chan struct{}
	err     error
	bytes   []byte
	ends    []int
	numbers []uint64
}

var tasks = sync.Pool{New: func() any { return new(task) }}

func (t *task) reset() {
	*t = task{done: make(chan struct{}), bytes: t.bytes[:0], ends: t.ends[:0], numbers: t.numbers[:0]}
}

func (t *task) take(l Line) error {
	t.bytes = append(t.bytes, l.Bytes...)
	t.ends = append(t.ends, len(t.bytes))
	t.numbers = append(t.numbers, l.Number)
	return nil
}

func (t *task) deliver(visit func(Line) error) error {
	start := 0
	for i, end := range t.ends {
		if err := visit(Line{t.numbers[i], t.bytes[start:end:end]}); err != nil {
			return err
		}
		start = end
	}
	return t.err
}
