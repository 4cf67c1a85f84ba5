package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 is not known
	Path         string // of the key, e.g. network.interfaces.eth0.addresses[0]
	Message      string
	Source       string // the line
}

// Error gives "file:line:column: message", and below it the line with a caret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.Line > 0 {
		b.WriteString(excerpt(e.Source, e.Line, e.Column))
	}
	return b.String()
}

// excerptWidth is how much of a long line an excerpt shows.
const excerptWidth = 60

// excerpt shows a line with a caret below the column; of a long one, what is
// around the column.
func excerpt(source string, line, column int) string {
	text := []rune(strings.TrimRight(source, " \t\r"))
	for i, r := range text {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			text[i] = ' ' // nothing that a terminal would obey
		}
	}
	at := min(max(column-1, 0), len(text))
	from := max(0, min(at-excerptWidth/2, len(text)-excerptWidth))
	to := min(len(text), from+excerptWidth)
	number := fmt.Sprintf("%d", line)
	return fmt.Sprintf("\n  %s | %s\n  %s | %s^", number, string(text[from:to]),
		strings.Repeat(" ", len(number)), strings.Repeat(" ", at-from))
}

// maxErrors is how many of a file's errors are told.
const maxErrors = 10

// join gives the errors as one, in the order of their lines.
func join(all []*Error) error {
	slices.SortStableFunc(all, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	var joined []error
	for i, e := range all {
		if i == maxErrors {
			joined = append(joined, fmt.Errorf("%s: and %d more", e.File, len(all)-i))
			break
		}
		joined = append(joined, e)
	}
	return errors.Join(joined...)
}
