package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/go-units"
)

// mzProgress shows on a terminal how far a file is, from its first half second on.
type mzProgress struct {
	in, out atomic.Int64
	stop    chan struct{}
	stopped sync.WaitGroup
}

// mzProgress begins to show how far the reading of a file is, unless the
// standard error is no terminal.
func (env *environment) mzProgress(in *mzInput) *mzProgress {
	p := &mzProgress{stop: make(chan struct{})}
	columns := 0
	if f, ok := env.stderr.(*os.File); ok {
		columns = columnsOf(f)
	} else if env.console {
		columns = env.columns()
	}
	if columns == 0 || env.noProgress {
		return p
	}
	bar := &progressBar{out: env.stderr, columns: columns}
	p.stopped.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		defer bar.clear()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			if size := in.size(); size > 0 {
				bar.show(mzName(in.name), p.in.Load(), size)
				continue
			}
			bar.pending = true
			text := fmt.Sprintf("%s: %s read, %s written", mzName(in.name),
				units.HumanSizeWithPrecision(float64(p.in.Load()), 3), units.HumanSizeWithPrecision(float64(p.out.Load()), 3))
			fmt.Fprintf(env.stderr, "\r\x1b[K%s", text[:min(len(text), columns-1)])
		}
	})
	return p
}

// end takes the line away.
func (p *mzProgress) end() {
	close(p.stop)
	p.stopped.Wait()
}

// countingReader tells a progress how much was read.
type countingReader struct {
	r io.Reader
	p *mzProgress
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.in.Add(int64(n))
	return n, err
}

// countingWriter tells a progress how much was written.
type countingWriter struct {
	w io.Writer
	p *mzProgress
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.p.out.Add(int64(n))
	return n, err
}
