package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
)

// table is rows of text in aligned columns, for people.
type table struct {
	rows [][]string
	// list: one row a thing, under headings. On a terminal such lines are cut
	// at the edge instead of wrapping: what may go is last. The rows of a
	// single thing's properties are whole, to be copied.
	list bool
}

func newTable(columns ...string) *table { return &table{rows: [][]string{columns}, list: true} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// printTable prints the table.
func (env *environment) printTable(t *table) error {
	columns := 0
	if t.list {
		columns = env.columns()
	}
	return writeTable(env.stdout, t, columns)
}

// writeTable writes the table in lines of at most that many columns; 0 is no
// bound.
func writeTable(out io.Writer, t *table, columns int) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		line = clip(strings.TrimRight(line, " \n"), columns)
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what would break a table or drive the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// clip cuts a line at a terminal's width; 0 is no terminal.
func clip(line string, columns int) string {
	runes := []rune(line)
	if columns <= 1 || len(runes) <= columns {
		return line
	}
	return string(runes[:columns-1]) + ">"
}

// shortLength is how many digits of a digest or ID people are shown.
const shortLength = 12

// shortID is the beginning of an ID or digest, without the digest's algorithm.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), shortLength)]
}

// bytesText is a size in memory: "120MiB".
func bytesText(n uint64) string { return units.CustomSize("%.4g%s", float64(n), 1024, binaryUnits) }

var binaryUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// ago is "3 minutes ago"; "-" for a time that is not set.
func ago(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return durationSince(ns) + " ago"
}

// durationSince is "3 minutes". A time in the future, of a box whose clock
// differs, counts as now.
func durationSince(ns int64) string {
	return strings.ToLower(units.HumanDuration(max(0, time.Since(time.Unix(0, ns)))))
}

// dash stands for nothing in a table's cell.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
