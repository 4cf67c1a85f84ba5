package store

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/entroos/entroos/morphzip/filter"
	"github.com/entroos/entroos/morphzip/search"
)

// Grep says which lines match. A line is what one kind of entries has between
// two newlines, in however many entries; its entry has the sequence number and
// the time of where it begins, and the newline if there is one. A last line
// without one is given when the read ends.
type Grep struct {
	// Pattern is what a line holds, without its newline: a string, or, where
	// Expression is set, what an expression as in package regexp matches.
	Pattern    string
	Expression bool
	// Invert gives the lines that do not match.
	Invert bool
}

// maxLine is how long a line is at most where Grep is used; longer ones are
// taken as several.
const maxLine = 1 << 20

// query makes a query of the pattern. No line has a newline.
func (g *Grep) query() (*search.Query, error) {
	if g.Expression {
		q, err := search.Expression(false, g.Pattern)
		if err != nil {
			return nil, fmt.Errorf("expression: %w", err)
		}
		return q, nil
	}
	if strings.Contains(g.Pattern, "\n") {
		return search.Expression(false, `[^\s\S]`)
	}
	return search.Literal(false, []byte(g.Pattern)), nil
}

// Matcher gives what decides of a line, without its newline.
func (g *Grep) Matcher() (func(line []byte) bool, error) {
	q, err := g.query()
	if err != nil {
		return nil, err
	}
	if g.Invert {
		return func(line []byte) bool { return !q.Match(line) }, nil
	}
	return q.Match, nil
}

// skipBy has the reader leave out units that have no line that matches: those of
// whole lines, by their filters, while no line is open.
func (r *streamReader) skipBy(l *lines) error {
	if r.query.Grep.Invert {
		return nil
	}
	q, err := r.query.Grep.query()
	if err != nil {
		return err
	}
	r.useless = func(h *header) bool {
		if !h.whole || len(h.filter) == 0 || l.anyOpen() {
			return false
		}
		f, err := filter.Parse(h.filter)
		return err == nil && !q.MayMatch(&f)
	}
	return nil
}

// anyOpen says whether a line has begun.
func (l *lines) anyOpen() bool { return l.open != [256]*line{} }

// lines assembles the lines of a stream's kinds.
type lines struct {
	open  [256]*line // those that have begun
	first uint64     // the sequence number of the first that finish visits; 0 is before it
	visit func(line) error
}

type line struct {
	sequence uint64
	offset   int // of its first byte in the entry's data
	at       time.Time
	kind     uint8
	data     []byte
}

func (l *lines) add(e Entry, offset int) error {
	data := e.Data
	for len(data) > 0 {
		open := l.open[e.Kind]
		end := bytes.IndexByte(data, '\n') + 1
		if end == 0 {
			end = len(data)
		}
		if open != nil {
			end = min(end, maxLine-len(open.data))
			open.data = append(open.data, data[:end]...)
		} else {
			end = min(end, maxLine)
			open = &line{e.Sequence, offset, e.Time, e.Kind, data[:end:end]}
		}
		whole := data[end-1] == '\n' || len(open.data) == maxLine
		data, offset = data[end:], offset+end
		if !whole {
			// The entry's data is not there after this call.
			open.data = append([]byte(nil), open.data...)
			l.open[e.Kind] = open
			continue
		}
		l.open[e.Kind] = nil
		if err := l.visit(*open); err != nil {
			return err
		}
	}
	return nil
}

// finish visits the lines that have no end, in the order of their beginnings.
func (l *lines) finish() error {
	for {
		first := -1
		for kind, open := range l.open {
			if open != nil && (first < 0 || open.sequence < l.open[first].sequence) {
				first = kind
			}
		}
		if first < 0 {
			return nil
		}
		open := l.open[first]
		l.open[first] = nil
		if l.first == 0 {
			l.first = open.sequence
		}
		if err := l.visit(*open); err != nil {
			return err
		}
	}
}

// grep is run for lines.
func (r *streamReader) grep(visit func(Entry) error) error {
	match, err := r.query.Grep.Matcher()
	if err != nil {
		return err
	}
	matching := func(visit func(line) error) *lines {
		return &lines{visit: func(l line) error {
			if !match(bytes.TrimSuffix(l.data, newline)) {
				return nil
			}
			return visit(l)
		}}
	}
	tail := r.query.Tail
	r.query.Tail = -1
	if tail == 0 {
		r.next = r.end + 1
	}
	var begin place // the first line to visit; zero is any
	if tail > 0 {
		if begin, err = r.lastLines(tail, matching); err != nil {
			return err
		}
	}
	lines := matching(func(l line) error {
		if begin != (place{}) && begin != (place{l.sequence, l.offset}) {
			return nil
		}
		begin = place{}
		return visit(Entry{Sequence: l.sequence, Time: l.at, Kind: l.kind, Data: l.data})
	})
	if err := r.skipBy(lines); err != nil {
		return err
	}
	if err := r.run(func(e Entry) error { return lines.add(e, 0) }); err != nil {
		return err
	}
	return lines.finish()
}

// place is where a line begins.
type place struct {
	sequence uint64
	offset   int
}

// maxTail is how many matching lines a tail has at most.
const maxTail = 1 << 20

// lastLines reads what is there once, and gives where the first of the last n
// lines that match begins, n at least 1. It has run begin early enough to see
// that line and those after it whole.
func (r *streamReader) lastLines(n int64, matching func(func(line) error) *lines) (begin place, err error) {
	type match struct {
		place
		from uint64 // the first sequence number of the lines open then
	}
	n = min(n, maxTail)
	var ring []match
	oldest := 0
	var pass *lines
	pass = matching(func(l line) error {
		m := match{place{l.sequence, l.offset}, l.sequence}
		for _, l := range pass.open {
			if l != nil {
				m.from = min(m.from, l.sequence)
			}
		}
		if pass.first > 0 {
			m.from = min(m.from, pass.first)
		}
		if int64(len(ring)) < n {
			ring = append(ring, m)
			return nil
		}
		ring[oldest] = m
		oldest = (oldest + 1) % len(ring)
		return nil
	})
	if err := r.skipBy(pass); err != nil {
		return place{}, err
	}
	from := r.next
	if err := r.readTo(r.end, func(e Entry) error { return pass.add(e, 0) }); err != nil {
		return place{}, err
	}
	if !r.query.Follow {
		if err := pass.finish(); err != nil {
			return place{}, err
		}
	}
	if len(ring) == 0 {
		// What has no end yet may match later.
		r.next = from
		if !r.query.Follow {
			r.next = r.end + 1
		}
		return place{}, nil
	}
	first := ring[oldest]
	r.next = max(from, first.from)
	return first.place, nil
}
