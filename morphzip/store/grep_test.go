package store

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"testing"
	"time"
)

// TestGrepSkips looks for what is in few of many blocks.
func TestGrepSkips(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{BlockSize: 256 << 10, CompactionShare: -1})
	r := rand.New(rand.NewSource(1))
	a := s.Appender("log")
	written := 0
	for i := 0; written < 4<<20; i++ {
		line := logLine(r, i)
		if i == 20000 {
			line = "something unheard of: kernel oops 8081\n"
		}
		written += len(line)
		if err := a.Write(time.Now(), uint8(1+i%2), []byte(line)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if err := a.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "blocks", func() bool { tail, _ := s.totals("log"); return tail.original < 256<<10 })
	for _, g := range []Grep{
		{Pattern: "unheard of"},
		{Pattern: `unhe[a-z]+ of: kernel.*\d+$`, Expression: true},
		{Pattern: "two\nlines"},
	} {
		matched := 0
		if err := s.Read(t.Context(), "log", Query{Tail: -1, Grep: &g}, func(e Entry) error {
			matched++
			if string(e.Data) != "something unheard of: kernel oops 8081\n" {
				return fmt.Errorf("it gives %q", e.Data)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		reads := s.Facts().Reads
		decoded := reads[len(reads)-1].Decoded
		if g.Pattern == "two\nlines" {
			if matched != 0 {
				t.Errorf("%q matches", g.Pattern)
			}
			continue
		}
		t.Logf("%q: %d bytes decoded of %d", g.Pattern, decoded, written)
		if matched != 1 || decoded > uint64(written)/3 {
			t.Errorf("%q: %d lines, %d bytes decoded of %d", g.Pattern, matched, decoded, written)
		}
	}
	checkFacts(t, s)
}
