package main

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// wrapHelp breaks the lines of the tree's help between words where the terminal
// is narrower than they are.
func wrapHelp(env *environment, root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		columns := env.columns()
		if columns == 0 {
			help(c, args)
			return
		}
		out := c.OutOrStdout()
		var text bytes.Buffer
		c.SetOut(&text)
		help(c, args)
		c.SetOut(out)
		if _, err := io.WriteString(out, wrap(text.String(), columns)); err != nil {
			c.PrintErrln("entroos:", err)
		}
	})
}

// wrap breaks the lines of a text that has any longer than so many columns.
// What follows a break stands below the text before it: in a table, below the
// row's last column. Lines without indent are one paragraph up to an empty one.
func wrap(text string, columns int) string {
	long := false
	for line := range strings.Lines(text) {
		long = long || utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > columns
	}
	if !long {
		return text
	}
	var out, paragraph strings.Builder
	flush := func() {
		if paragraph.Len() > 0 {
			wrapLine(&out, paragraph.String(), columns)
			paragraph.Reset()
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == ' ' || strings.HasSuffix(line, ":"):
			flush()
			wrapLine(&out, line, columns)
		default:
			if paragraph.Len() > 0 {
				paragraph.WriteByte(' ')
			}
			paragraph.WriteString(line)
			if strings.HasSuffix(line, ".") { // a sentence that ends a line is meant to
				flush()
			}
		}
	}
	flush()
	return out.String()
}

func wrapLine(out *strings.Builder, line string, columns int) {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if at := strings.LastIndex(line, "  "); at > indent {
		indent = utf8.RuneCountInString(line[:at]) + 2
	}
	if indent > columns*2/3 {
		indent = columns / 3
	}
	for utf8.RuneCountInString(line) > columns {
		runes := []rune(line)
		// A word that is longer than the rest of the line is cut by the terminal.
		at := strings.LastIndex(string(runes[:columns+1]), " ")
		if at <= indent {
			break
		}
		out.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = strings.Repeat(" ", indent) + strings.TrimLeft(line[at:], " ")
	}
	out.WriteString(line + "\n")
}
