package search

import (
	"bytes"
	"errors"
)

// Line is a line of a file.
type Line struct {
	// Number counts from 1; 0 is that it was not asked for.
	Number uint64
	// Bytes are the line's without its newline. They are valid during the call.
	Bytes []byte
}

// MaxLine is the longest line, in bytes, that is searched.
const MaxLine = 1 << 30

// ErrLine is what a search fails with where a line is longer than MaxLine.
var ErrLine = errors.New("a line is longer than 1 GiB")

// scanner finds the lines of bytes that come piece by piece.
type scanner struct {
	query  *Query
	invert bool
	count  bool // lines, to number them
	visit  func(Line) error

	lines  uint64 // before the next piece
	open   []byte // the line that has begun in the pieces before
	drop   bool   // the line that has begun is not looked at
	folded []byte
	next   []int // where each string of the query occurs next
}

// feed takes the next piece of the file.
func (s *scanner) feed(b []byte) error {
	if s.drop || len(s.open) > 0 {
		end := bytes.IndexByte(b, '\n')
		if !s.drop {
			if part := max(end, 0); len(s.open)+part > MaxLine || end < 0 && len(s.open)+len(b) > MaxLine {
				return ErrLine
			}
			if end < 0 {
				s.open = append(s.open, b...)
				return nil
			}
			s.open = append(s.open, b[:end]...)
			if err := s.line(s.open); err != nil {
				return err
			}
			s.open = s.open[:0]
		}
		if end < 0 {
			return nil
		}
		s.drop = false
		s.lines++
		b = b[end+1:]
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	if err := s.scan(b[:whole]); err != nil {
		return err
	}
	s.open = append(s.open[:0], b[whole:]...)
	return nil
}

// finish takes what is left as the last line.
func (s *scanner) finish() error {
	if s.drop || len(s.open) == 0 {
		return nil
	}
	return s.line(s.open)
}

// line looks at one line.
func (s *scanner) line(b []byte) error {
	if s.query.Match(b) == s.invert {
		return nil
	}
	return s.give(b, s.lines+1)
}

func (s *scanner) give(b []byte, number uint64) error {
	if !s.count {
		number = 0
	}
	return s.visit(Line{number, b})
}

// scan looks at whole lines.
func (s *scanner) scan(b []byte) error {
	folded := b
	if s.query.folds() {
		s.folded = lower(s.folded[:0], b)
		folded = s.folded
	}
	s.next = s.next[:0]
	at, counted := 0, 0
	for at < len(b) {
		// The next line that may match, and before it the others.
		start := s.candidate(folded, at)
		if start > at {
			start = bytes.LastIndexByte(b[at:start], '\n') + 1 + at
		}
		if s.invert {
			for at < start {
				end := bytes.IndexByte(b[at:], '\n') + at
				if err := s.give(b[at:end], s.lines+1); err != nil {
					return err
				}
				s.lines++
				at = end + 1
			}
			counted = at
		}
		if start >= len(b) {
			break
		}
		end := bytes.IndexByte(b[start:], '\n') + start
		if s.count && !s.invert {
			s.lines += uint64(bytes.Count(b[counted:start], newline))
		}
		line := b[start:end]
		if (s.query.expression == nil || s.query.expression.Match(line)) != s.invert {
			if err := s.give(line, s.lines+1); err != nil {
				return err
			}
		}
		s.lines++
		at = end + 1
		counted = at
	}
	if s.count && !s.invert {
		s.lines += uint64(bytes.Count(b[counted:], newline))
	}
	return nil
}

// folds says whether strings are looked for in small letters.
func (q *Query) folds() bool {
	if len(q.required) == 0 {
		return false
	}
	return q.required[0][0].fold // as all of the set
}

// candidate gives a place in the next line from at on that may match: of strings
// does match; b is in small letters where the query folds. It is len(b) where
// there is none.
func (s *scanner) candidate(b []byte, at int) int {
	switch {
	case s.query.none:
		return len(b)
	case len(s.query.required) == 0:
		return at
	}
	strings := s.query.required[0]
	if len(s.next) == 0 {
		for range strings {
			s.next = append(s.next, -1)
		}
	}
	first := len(b)
	for i, r := range strings {
		if s.next[i] < at {
			if n := bytes.Index(b[at:], r.text); n >= 0 {
				s.next[i] = at + n
			} else {
				s.next[i] = len(b)
			}
		}
		first = min(first, s.next[i])
	}
	return first
}
