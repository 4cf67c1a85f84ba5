// Package search finds lines in morphzip files, as grep does in others, and
// decodes only the blocks that may have some.
//
// A block's filter in the file's index says of most strings that they are not in
// the block. Where it does not, a block of log lines is asked by its templates
// and by what its columns can hold. What is left is decoded and searched, so
// that the lines are the right ones in any case.
package search

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/entroos/entroos/morphzip"
)

// Options are a search's. The zero value is of use.
type Options struct {
	// Invert gives the lines that do not match. Every block is decoded then.
	Invert bool
	// Numbers numbers the lines.
	Numbers bool
	// Workers is how many blocks are searched at a time; 0 is GOMAXPROCS.
	Workers int
	// Go starts the search's goroutines; nil is the go statement.
	Go func(name string, f func())
}

func (o Options) complete() Options {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Go == nil {
		o.Go = func(_ string, f func()) { go f() }
	}
	return o
}

// Stats tell what a search did.
type Stats struct {
	Blocks  int // of the file
	Decoded int // of these
	// Asked is how many were not skipped by their filters; the others of those
	// not decoded were by their templates and columns.
	Asked int
	// Bytes is the content's size, DecodedBytes that of the blocks decoded.
	Bytes, DecodedBytes uint64
}

// Skipped is how many blocks were not decoded.
func (s *Stats) Skipped() int { return s.Blocks - s.Decoded }

// ErrStop ends a search when visit returns it. The search's error is nil then.
var ErrStop = errors.New("enough lines")

// Reader searches what r reads, to its end.
func Reader(ctx context.Context, r io.Reader, q *Query, o Options, visit func(Line) error) error {
	s := scanner{query: q, invert: o.Invert, count: o.Numbers, visit: visit}
	buffer := make([]byte, 256<<10)
	for {
		n, err := r.Read(buffer)
		if fed := s.feed(buffer[:n]); fed != nil {
			return unlessStop(fed)
		}
		switch {
		case errors.Is(err, io.EOF):
			return unlessStop(s.finish())
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

func unlessStop(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// File searches a file. It calls visit with each line that matches, in order.
func File(ctx context.Context, f *morphzip.File, q *Query, o Options, visit func(Line) error) (Stats, error) {
	r := run{file: f, query: q, options: o.complete()}
	r.stats.Blocks, r.stats.Bytes = len(f.Blocks()), f.Size()
	err := r.all(ctx, visit)
	return r.stats, unlessStop(err)
}
