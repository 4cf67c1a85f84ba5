package search

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/entroos/entroos/morphzip/filter"
)

// Query says which lines match. It is not changed by its use, which may be by
// several goroutines at a time.
type Query struct {
	literals [][]byte // that a line matches by
	fold     bool     // whose ASCII letters are any case's
	all      bool     // any line matches
	none     bool     // no line does

	expression *regexp.Regexp // or by this
	// required are strings of which each line that matches has one from each
	// set, the most telling set first.
	required []set
}

// set is strings one of which is needed.
type set []required

type required struct {
	text   []byte
	fold   bool
	needle *filter.Needle
}

// Literal makes a query of strings, as grep -F has them: a line matches that
// contains one. A pattern with newlines is as many patterns. With fold the case
// of ASCII letters makes no difference.
func Literal(fold bool, patterns ...[]byte) *Query {
	q := &Query{fold: fold, none: len(patterns) == 0}
	var s set
	for _, p := range patterns {
		for _, p := range bytes.Split(p, newline) {
			if len(p) == 0 {
				q.all = true
			}
			if fold {
				p = lower(nil, p)
			}
			q.literals = append(q.literals, p)
			s = append(s, newRequired(p, fold))
		}
	}
	if q.all {
		q.literals, s = nil, nil
	}
	if s != nil {
		q.required = []set{s}
	}
	return q
}

// Expression makes a query of a regular expression as in package regexp, which
// is RE2's: a line matches, without its newline, where Regexp.Match says so.
func Expression(fold bool, expression string) (*Query, error) {
	if fold {
		expression = "(?i:" + expression + ")"
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the expression: %w", err)
	}
	e, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("the expression: %w", err)
	}
	return &Query{expression: e, required: requiredBy(parsed.Simplify())}, nil
}

func newRequired(text []byte, fold bool) required {
	return required{text: text, fold: fold, needle: filter.NewNeedle(text)}
}

var newline = []byte{'\n'}

// Match says whether a line, without its newline, matches.
func (q *Query) Match(line []byte) bool {
	switch {
	case q.expression != nil:
		return q.expression.Match(line)
	case q.all:
		return true
	}
	start, _ := q.literal(line)
	return start >= 0
}

// Parts gives the parts of a line that match, one behind the other, each as its
// beginning and its end, as Regexp.FindAllIndex does; those of no bytes are left
// out. Of strings it is the first and, of those that begin there, the longest.
func (q *Query) Parts(line []byte) (parts [][]int) {
	switch {
	case q.expression != nil:
		return slices.DeleteFunc(q.expression.FindAllIndex(line, -1), func(at []int) bool { return at[0] == at[1] })
	case q.all:
		return nil
	}
	for from := 0; ; {
		start, end := q.literal(line[from:])
		if start < 0 {
			return parts
		}
		parts = append(parts, []int{from + start, from + end})
		from += end
	}
}

// literal finds the first string of the query, and of those at one place the
// longest.
func (q *Query) literal(line []byte) (start, end int) {
	if q.fold {
		line = lower(nil, line)
	}
	start, end = -1, -1
	for _, p := range q.literals {
		within := line
		if start >= 0 { // not behind what was found
			within = line[:min(len(line), start+len(p))]
		}
		if at := bytes.Index(within, p); at >= 0 && (start < 0 || at < start || at+len(p) > end) {
			start, end = at, at+len(p)
		}
	}
	return start, end
}

// lower appends b to dst with ASCII letters made small.
func lower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
