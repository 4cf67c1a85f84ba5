package morphzip

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// compress makes a file of content.
func compress(t testing.TB, content []byte, o Options) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func random(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // never fails
	return b
}

// logLines is n lines of a made-up log.
func logLines(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	at := 1700000000
	for range n {
		at += r.IntN(3)
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "%d INFO worker-%d: request %08x took %d ms\n", at, r.IntN(8), r.Uint32(), r.IntN(900))
		case 1:
			fmt.Fprintf(&b, "%d WARN queue: %d waiting for disk%d\n", at, r.IntN(50), r.IntN(4))
		default:
			fmt.Fprintf(&b, "%d INFO session opened for user%d from 10.0.%d.%d\n", at, r.IntN(20), r.IntN(4), r.IntN(250))
		}
	}
	return b.Bytes()
}

// contents are what has broken compressors.
func contents() map[string][]byte {
	return map[string][]byte{
		"empty":            {},
		"one byte":         {'x'},
		"two bytes":        {0xFF, 0xFE},
		"random":           random(100_000),
		"log":              logLines(3000),
		"invalid UTF-8":    []byte(strings.Repeat("caf\xe9 \xff\xfe\xc3\n", 500)),
		"CRLF":             bytes.ReplaceAll(logLines(500), []byte("\n"), []byte("\r\n")),
		"no final newline": bytes.TrimSuffix(logLines(500), []byte("\n")),
		"NULs":             make([]byte, 5000),
		"one line":         bytes.Repeat([]byte("abcdefg "), 40_000),
		"newlines":         bytes.Repeat([]byte("\n"), 3000),
		"a run":            bytes.Repeat([]byte{7}, minRun*20),
		"runs":             slices.Concat(random(9000), make([]byte, 100_000), []byte("island"), make([]byte, minRun-1), random(50), bytes.Repeat([]byte{255}, minRun), make([]byte, 3*minRun)),
		"a file in a file": {lead, letterHeader, 'Z', version, 3, lead, letterBlock, 0, 1, 1, 0, 0, 0, 0, 0, 'x'},
		"binary":           bytes.Repeat([]byte{0, 1, 2, 3, 0xE8, 9, 0, 0, 0, 0x90}, 3000),
	}
}

func TestEverythingComesBack(t *testing.T) {
	for name, content := range contents() {
		for level := Fastest; level <= Densest; level++ {
			if level >= Dense {
				content = content[:min(len(content), 4000)] // whose coders have tests of their own
			}
			file := compress(t, content, Options{Level: level, BlockSize: 64 << 10})
			got, err := io.ReadAll(NewReader(bytes.NewReader(file)))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s %v: %d bytes came back as %d: %v", name, level, len(content), len(got), err)
			}
			f, err := Open(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Errorf("%s %v: %v", name, level, err)
				continue
			}
			got, err = io.ReadAll(io.NewSectionReader(f, 0, int64(f.Size())))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s %v: %d bytes came back as %d by the index: %v", name, level, len(content), len(got), err)
			}
		}
	}
}

// TestBlocksAreWholeLines: a line that fits is not cut, unless by Flush.
func TestBlocksAreWholeLines(t *testing.T) {
	content := slices.Concat(logLines(3000), bytes.Repeat([]byte("x"), 20_000), []byte("\n"), make([]byte, 3*minRun), logLines(500))
	file := compress(t, content, Options{BlockSize: 16 << 10})
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for _, b := range f.Blocks()[1:] {
		if content[b.Offset-1] != '\n' {
			cut++
		}
	}
	if cut == 0 || cut > 3 {
		t.Errorf("%d lines are cut, of which one is too long for a block", cut)
	}
}
