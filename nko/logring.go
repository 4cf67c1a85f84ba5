package nko

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

const (
	logRingLines = 1000     // at most so many lines are kept
	logRingBytes = 64 << 10 // and so many bytes, whichever is less
	logLineBytes = 4 << 10  // longer lines are cut into such pieces
)

// LogRing keeps the last lines that a service wrote, in memory. Once it is kept
// in a store (Keep), they go there, too, and are read from there.
type LogRing struct {
	mu      sync.Mutex
	lines   []LogLine
	first   uint64 // number of lines[0], counted from 0 since the start
	bytes   int
	changed chan struct{} // closed and replaced when a line is added, or the ring closed
	closed  bool
	kept    *keptLog // nil is that it is not
}

// LogLine is one line, without its end.
type LogLine struct {
	At     time.Time
	Stderr bool
	Text   []byte
}

// NewLogRing makes an empty LogRing.
func NewLogRing() *LogRing { return &LogRing{changed: make(chan struct{})} }

// Add appends one line.
func (l *LogRing) Add(line LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	l.bytes += len(line.Text)
	for len(l.lines) > logRingLines || l.bytes > logRingBytes && len(l.lines) > 1 {
		l.bytes -= len(l.lines[0].Text)
		l.lines[0] = LogLine{}
		l.lines = l.lines[1:]
		l.first++
	}
	l.announce()
}

func (l *LogRing) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends the ring: those who follow it come to its end. What it has stays
// in memory.
func (l *LogRing) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.announce()
}

// end is the number of the next line. l.mu is held.
func (l *LogRing) end() uint64 { return l.first + uint64(len(l.lines)) }

// Follow calls f with the last tail lines of those in memory (all when tail is
// negative), and with those to come while follow is set, until ctx ends, f fails
// or the ring is closed. A reader slower than the service misses lines.
func (l *LogRing) Follow(ctx context.Context, follow bool, tail int64, f func(LogLine) error) error {
	l.mu.Lock()
	next := l.first
	if n := uint64(len(l.lines)); tail >= 0 && uint64(tail) < n {
		next += n - uint64(tail)
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		next = max(next, l.first)
		lines := append([]LogLine(nil), l.lines[next-l.first:]...)
		changed, closed := l.changed, l.closed
		l.mu.Unlock()
		next += uint64(len(lines))
		for _, line := range lines {
			if err := f(line); err != nil {
				return err
			}
		}
		if !follow || closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Writer gives a writer that splits what it gets into lines of the ring. seen,
// when not nil, is called with each line. Who writes waits while the store falls
// behind.
func (l *LogRing) Writer(stderr bool, seen func(text []byte)) io.Writer {
	return &lineWriter{add: func(text []byte) {
		l.Add(LogLine{At: time.Now(), Stderr: stderr, Text: text})
		if seen != nil {
			seen(text)
		}
		l.awaitKept()
	}}
}

// lineWriter cuts a stream into lines. What follows the last line's end waits
// for the rest of its line.
type lineWriter struct {
	mu      sync.Mutex
	partial []byte
	add     func(text []byte)
}

// Write is called by goroutines of os/exec, which do not recover.
func (w *lineWriter) Write(p []byte) (n int, err error) {
	err = Protect("log of a service", func() error { n = w.write(p); return nil })
	return n, err
}

func (w *lineWriter) write(p []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if room := logLineBytes - len(w.partial); len(line) > room {
			line, rest, ended = p[:room], p[room:], true
		}
		w.partial = append(w.partial, line...)
		p = rest
		if ended {
			w.add(bytes.TrimSuffix(w.partial, []byte{'\r'}))
			w.partial = nil
		}
	}
	return n
}
