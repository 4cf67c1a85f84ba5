package main

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// logFlags are those of `logs` and `services logs`.
type logFlags struct {
	follow, timestamps        bool
	tail, since, until, grep  string
	fixed, ignoreCase, invert bool
}

func (l *logFlags) add(c *cobra.Command) {
	c.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on until it ends")
	c.Flags().StringVarP(&l.tail, "tail", "n", "all", "number of lines from the end")
	c.Flags().BoolVarP(&l.timestamps, "timestamps", "t", false, "begin each line with its time")
	c.Flags().StringVar(&l.since, "since", "", "from a `TIME` on: so long ago (10m) or a moment (\"2026-11-23 10:00\")")
	c.Flags().StringVar(&l.until, "until", "", "up to a `TIME`")
	c.Flags().StringVarP(&l.grep, "grep", "g", "", "lines that match an `EXPRESSION` (RE2)")
	c.Flags().BoolVarP(&l.fixed, "fixed-strings", "F", false, "the expression is the text itself")
	c.Flags().BoolVarP(&l.ignoreCase, "ignore-case", "i", false, "capital letters match small ones")
	c.Flags().BoolVarP(&l.invert, "invert-match", "v", false, "lines that do not match")
}

// request adds to a request what the flags ask for.
func (l *logFlags) request(req *entroosv1.LogsRequest, now time.Time) (err error) {
	req.Follow, req.Tail = l.follow, -1
	if l.tail != "all" {
		n, err := strconv.ParseInt(l.tail, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("--tail %q is neither a number of lines nor all", l.tail)
		}
		req.Tail = n
	}
	if req.Since, err = parseLogTime(l.since, now); err != nil {
		return fmt.Errorf("--since %w", err)
	}
	if l.follow && l.until != "" {
		return errors.New("--follow has no end, and --until is one")
	}
	if req.Until, err = parseLogTime(l.until, now); err != nil {
		return fmt.Errorf("--until %w", err)
	}
	req.Grep, err = l.logGrep()
	return err
}

// logGrep is which lines are wanted; nil is all.
func (l *logFlags) logGrep() (*entroosv1.LogGrep, error) {
	if l.grep == "" {
		if l.fixed || l.ignoreCase || l.invert {
			return nil, errors.New("-F, -i and -v say how --grep matches, and there is no --grep")
		}
		return nil, nil
	}
	if !utf8.ValidString(l.grep) {
		return nil, fmt.Errorf("--grep %q is not UTF-8; bytes can be written as \\xFF in an expression", l.grep)
	}
	g := &entroosv1.LogGrep{Expression: l.grep, Fixed: l.fixed, Invert: l.invert}
	if l.ignoreCase {
		if g.Fixed {
			g.Expression, g.Fixed = regexp.QuoteMeta(g.Expression), false
		}
		g.Expression = "(?i)" + g.Expression
	}
	if g.Fixed {
		return g, nil
	}
	var wrong *syntax.Error
	if _, err := regexp.Compile(g.Expression); errors.As(err, &wrong) {
		return nil, fmt.Errorf("--grep %q: %s at %q; with -F it is the text itself", l.grep, wrong.Code, strings.TrimPrefix(wrong.Expr, "(?i)"))
	} else if err != nil {
		return nil, fmt.Errorf("--grep %w", err)
	}
	return g, nil
}
