package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWrap(t *testing.T) {
	text := "Makes the one out of\nthe other, slowly.\nThen ends.\n\nFlags:\n" +
		"  -a, --all    all of the many words here\n  -b, --both   both\n"
	want := "Makes the one out of the\nother, slowly.\nThen ends.\n\nFlags:\n" +
		"  -a, --all    all of\n               the many\n               words\n               here\n  -b, --both   both\n"
	if got := wrap(text, 24); got != want {
		t.Errorf("24 columns:\n%s\nwant:\n%s", got, want)
	}
	if got := wrap(text, 80); got != text {
		t.Errorf("80 columns:\n%s", got)
	}
}

// TestWrapKeepsWords: no word is lost, cut or moved, and no line is too long but
// by a word that is.
func TestWrapKeepsWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([ a-zé.:]{0,40}\n){0,6}`).Draw(t, "text")
		columns := rapid.IntRange(8, 60).Draw(t, "columns")
		got := wrap(text, columns)
		if w, g := strings.Fields(text), strings.Fields(got); strings.Join(w, " ") != strings.Join(g, " ") {
			t.Fatalf("words %q became %q", w, g)
		}
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			for _, word := range strings.Fields(line) {
				if utf8.RuneCountInString(word) > columns/4 {
					return
				}
			}
			if utf8.RuneCountInString(line) > columns && len(strings.Fields(line)) > 1 {
				t.Fatalf("%d columns: %q", columns, line)
			}
		}
	})
}
