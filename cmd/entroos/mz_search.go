package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/search"
)

// The statuses of `mz search` are grep's.
const (
	exitNone        = 1 // no line matches
	exitSearchError = 2
)

// mzSearch is a run of `mz search`.
type mzSearch struct {
	patterns   []string
	expression bool
	fold       bool
	count      bool
	files      bool
	number     bool
	only       bool
	quiet      bool
	stats      bool
	invert     bool
	most       int64
	named      bool
	unnamed    bool

	env   *environment
	query *search.Query
	out   *bufio.Writer
	found bool
}

func newMzSearchCommand(env *environment) *cobra.Command {
	s := &mzSearch{env: env}
	c := &cobra.Command{
		Use: "search [-e] PATTERN [FILE...]", Short: "Print the lines of compressed files that match", Aliases: []string{"grep"},
		Long: "Prints the lines that contain PATTERN, as `grep -aF` does in the C locale, or, with -E, those that a regular\n" +
			"expression matches (RE2's syntax, as of Go). Blocks that cannot hold such a line are not decoded, so that\n" +
			"a rare string is found many times as quickly as by decompressing. The standard input, or -, is read as it comes.\n\n" +
			"Exit status: 0 if a line matches, 1 if none does, 2 for an error.",
		Args: cobra.ArbitraryArgs,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return searchError(err) })
	f := c.Flags()
	f.BoolVarP(&s.expression, "expression", "E", false, "PATTERN is a regular expression")
	f.StringArrayVarP(&s.patterns, "pattern", "e", nil, "a PATTERN; lines match that any of them does")
	f.BoolVarP(&s.fold, "ignore-case", "i", false, "take large and small letters for the same")
	f.BoolVarP(&s.invert, "invert-match", "v", false, "print the lines that do not match")
	f.BoolVarP(&s.count, "count", "c", false, "print how many lines match")
	f.BoolVarP(&s.files, "files-with-matches", "l", false, "print the names of files with such lines")
	f.Int64VarP(&s.most, "max-count", "m", -1, "stop after so many lines of a file")
	f.BoolVarP(&s.number, "line-number", "n", false, "print each line's number")
	f.BoolVarP(&s.only, "only-matching", "o", false, "print only the parts that match")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "print nothing, and stop at the first line")
	f.BoolVarP(&s.named, "with-filename", "H", false, "print the file's name before each line; the default for several")
	f.BoolVar(&s.unnamed, "no-filename", false, "print no names")
	f.BoolVar(&s.stats, "stats", false, "tell on the standard error how many blocks were skipped")
	f.SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error { return searchError(s.run(c.Context(), args)) }
	return c
}

// searchError is an error with the status that grep has for one.
func searchError(err error) error {
	var status *statusError
	if err == nil || cancelled(err) || errors.As(err, &status) && status.err == nil {
		return err
	}
	return &statusError{exitSearchError, err}
}

func (s *mzSearch) run(ctx context.Context, args []string) error {
	if len(s.patterns) == 0 {
		if len(args) == 0 {
			return errors.New("what to search for is missing: a PATTERN")
		}
		s.patterns, args = args[:1], args[1:]
	}
	if err := s.parse(); err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	s.named = (s.named || len(args) > 1) && !s.unnamed
	s.out = bufio.NewWriterSize(s.env.stdout, 64<<10)
	failed := false
	for _, name := range args {
		err := s.file(ctx, name)
		if flushed := s.out.Flush(); flushed != nil {
			return flushed
		}
		if s.quiet && s.found { // as grep: whatever else was wrong
			return nil
		}
		if err != nil && cancelled(err) {
			return err
		} else if err != nil {
			s.env.report(fmt.Errorf("%s: %w", mzName(name), err), nil)
			failed = true
		}
	}
	switch {
	case failed:
		return &statusError{status: exitSearchError}
	case !s.found:
		return &statusError{status: exitNone}
	}
	return nil
}

func (s *mzSearch) parse() (err error) {
	if !s.expression {
		literals := make([][]byte, len(s.patterns))
		for i, p := range s.patterns {
			literals[i] = []byte(p)
		}
		s.query = search.Literal(s.fold, literals...)
		return nil
	}
	expression := s.patterns[0]
	if len(s.patterns) > 1 {
		expression = ""
		for i, p := range s.patterns {
			if i > 0 {
				expression += "|"
			}
			expression += "(?:" + p + ")"
		}
	}
	s.query, err = search.Expression(s.fold, expression)
	return err
}

// file searches one file.
func (s *mzSearch) file(ctx context.Context, name string) error {
	in, err := s.env.openCompressed(ctx, name)
	if err != nil {
		return err
	}
	defer in.done()
	lines := int64(0)
	visit := func(l search.Line) error {
		if lines == s.most {
			return search.ErrStop
		}
		lines++
		s.found = true
		if s.quiet || s.files {
			return search.ErrStop
		}
		if !s.count {
			if err := s.print(mzName(name), l); err != nil {
				return err
			}
		}
		if lines == s.most {
			return search.ErrStop
		}
		return ctx.Err()
	}
	if s.most == 0 {
		visit = nil
	}
	if visit != nil {
		err = s.search(ctx, in, visit)
	}
	switch {
	case s.quiet:
	case s.files && lines > 0:
		fmt.Fprintln(s.out, mzName(name))
	case s.count && !s.files:
		s.prefix(mzName(name), ':')
		fmt.Fprintln(s.out, lines)
	}
	return err
}

func (s *mzSearch) search(ctx context.Context, in *mzInput, visit func(search.Line) error) error {
	o := search.Options{Invert: s.invert, Numbers: s.number && !s.count}
	if in.size() < 0 {
		err := search.Reader(ctx, morphzip.NewReader(in), s.query, o, visit)
		if errors.Is(err, morphzip.ErrTrailing) {
			return warning(err)
		}
		return err
	}
	f, opened := in.open()
	if f == nil {
		return opened
	}
	stats, err := search.File(ctx, f, s.query, o, visit)
	if s.stats {
		fmt.Fprintf(s.env.stderr, "%s: %d of %d blocks skipped, %s of %s decoded\n", mzName(in.name), stats.Skipped(), stats.Blocks,
			units.BytesSize(float64(stats.DecodedBytes)), units.BytesSize(float64(stats.Bytes)))
	}
	return errors.Join(err, opened)
}

// print prints a line, or its parts that match.
func (s *mzSearch) print(name string, l search.Line) error {
	if !s.only {
		s.begin(name, l)
		_, _ = s.out.Write(l.Bytes) // an error is the flush's
		return s.out.WriteByte('\n')
	}
	if s.invert {
		return nil
	}
	for _, part := range s.query.Parts(l.Bytes) {
		s.begin(name, l)
		_, _ = s.out.Write(l.Bytes[part[0]:part[1]])
		if err := s.out.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

// begin prints what stands before a line.
func (s *mzSearch) begin(name string, l search.Line) {
	s.prefix(name, ':')
	if s.number {
		_, _ = io.WriteString(s.out, strconv.FormatUint(l.Number, 10))
		_ = s.out.WriteByte(':')
	}
}

func (s *mzSearch) prefix(name string, separator byte) {
	if s.named {
		_, _ = io.WriteString(s.out, name)
		_ = s.out.WriteByte(separator)
	}
}
