package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
)

// complete completes the word before the cursor, as liner wants it: what is
// before the word, its completions, what is behind the cursor.
func (c *console) complete(line string, pos int) (head string, completions []string, tail string) {
	runes := []rune(line) // pos counts runes
	before, tail := string(runes[:pos]), string(runes[pos:])
	start := wordStart(before)
	words, err := shellquote.Split(before[:start])
	if err != nil {
		return before, nil, tail
	}
	partial, err := shellquote.Split(before[start:])
	if err != nil || len(partial) > 1 {
		return before, nil, tail
	}
	if len(words) > 0 && words[0] == "entroos" {
		words = words[1:]
	}
	word := strings.Join(partial, "")
	found := c.env.completions(context.Background(), append(words, word))
	for _, f := range found {
		f = shellquote.Join(f)
		if len(found) == 1 && !strings.HasSuffix(f, "/") && !strings.HasSuffix(f, "=") {
			f += " "
		}
		completions = append(completions, f)
	}
	return before[:start], completions, tail
}

// wordStart is the byte offset of a command line's last word, which is empty
// after a blank.
func wordStart(line string) int {
	start, quote, escaped := 0, rune(0), false
	for i, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ' ' || r == '\t':
			start = i + 1
		}
	}
	return start
}

// completions are what the last of the words can become, by the same machinery
// that completes in shells.
func (env *environment) completions(ctx context.Context, words []string) []string {
	var out bytes.Buffer
	asked := *env
	asked.stdout, asked.stderr = &out, io.Discard
	root := newRoot(&asked)
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, words...))
	if err := root.ExecuteContext(ctx); err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	directive, err := strconv.Atoi(strings.TrimPrefix(last, ":"))
	if err != nil || !strings.HasPrefix(last, ":") {
		return nil
	}
	word := words[len(words)-1]
	var found []string
	flag := ""
	if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(name, "-") {
		flag, word = name+"=", value // cobra completes the value alone
	}
	for _, l := range lines[:len(lines)-1] {
		if strings.HasPrefix(l, word) && l != "" {
			found = append(found, flag+l)
		}
	}
	if directive&int(cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveError) == 0 && len(found) == 0 && word != "" {
		found = files(word)
	}
	return found
}

// files are those whose names begin so; folders end with a slash.
func files(prefix string) []string {
	folder, name := filepath.Split(prefix)
	entries, err := os.ReadDir(cmp.Or(folder, "."))
	if err != nil {
		return nil // as for a folder without entries
	}
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name) || (name == "" && strings.HasPrefix(e.Name(), ".")) {
			continue
		}
		path := folder + e.Name()
		if e.IsDir() {
			path += "/"
		}
		found = append(found, path)
	}
	return found
}
