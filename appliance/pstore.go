package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pstorePath is where the kernel shows what a panic has saved, most often in
// UEFI variables.
const pstorePath = "/sys/fs/pstore"

// pstoreHeader is a record's first line: why it was written, the number of the
// dump within its boot, and the part of it. Part 1 is the log's end.
var pstoreHeader = regexp.MustCompile(`^(\w+)#(\d+) Part(\d+)\n`)

// panicLogBytes bounds what is kept of a panic's log; its end is.
const panicLogBytes = 16 << 10

// longestDump is the time within which the records of one dump are written; the
// firmware may be slow.
const longestDump = time.Minute

// panicRecords are the records in the kernel's store.
type panicRecords struct {
	dir   string
	files []string
	parts []panicPart
}

type panicPart struct {
	reason     string // "Panic", "Oops"
	dump, part int
	written    int64 // Unix nanoseconds
	text       string
}

// readPanicRecords reads the store; a kernel without one has none. What cannot
// be read is an error, and the rest is given.
func readPanicRecords(dir string) (*panicRecords, error) {
	r := &panicRecords{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("panic records: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "dmesg-") {
			continue // ftrace, console: of no panic
		}
		r.files = append(r.files, e.Name())
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			failed = append(failed, fmt.Errorf("panic records: %w", err))
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			failed = append(failed, fmt.Errorf("panic records: %w", err))
			continue
		}
		m := pstoreHeader.FindSubmatch(raw)
		if m == nil {
			continue // compressed by a way that this kernel does not know
		}
		dump, derr := strconv.Atoi(string(m[2]))
		part, perr := strconv.Atoi(string(m[3]))
		if err := errors.Join(derr, perr); err != nil {
			failed = append(failed, fmt.Errorf("panic records: %s: %w", e.Name(), err))
			continue
		}
		r.parts = append(r.parts, panicPart{
			reason: string(m[1]), dump: dump, part: part, written: info.ModTime().UnixNano(), text: string(raw[len(m[0]):]),
		})
	}
	return r, errors.Join(failed...)
}

// log gives the log up to the last panic, or the last oops when there was no
// panic; empty when there is neither.
func (r *panicRecords) log() string {
	var last *panicPart
	for i := range r.parts {
		p := &r.parts[i]
		switch {
		case last == nil,
			p.reason == "Panic" && last.reason != "Panic",
			p.reason == last.reason && p.written > last.written:
			last = p
		}
	}
	if last == nil {
		return ""
	}
	// Each record of a dump has a time of its own, in seconds.
	parts := slices.Clone(r.parts)
	parts = slices.DeleteFunc(parts, func(p panicPart) bool {
		return p.reason != last.reason || p.dump != last.dump || last.written-p.written > int64(longestDump)
	})
	slices.SortFunc(parts, func(a, b panicPart) int { return b.part - a.part })
	var text strings.Builder
	for _, p := range parts {
		text.WriteString(p.text)
	}
	return tail(text.String(), panicLogBytes)
}

// erase empties the store: the firmware has little room.
func (r *panicRecords) erase() error {
	var failed []error
	for _, name := range r.files {
		if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
			failed = append(failed, fmt.Errorf("panic records: %w", err))
		}
	}
	return errors.Join(failed...)
}

// tail gives the text's last whole lines, at most so many bytes.
func tail(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	_, after, _ := strings.Cut(text, "\n")
	return after
}
