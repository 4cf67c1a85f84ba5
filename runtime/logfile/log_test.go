package logfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/runtime/logfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string, bound int64) *logfile.Log {
	t.Helper()
	l, err := logfile.Open(dir, bound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func add(t *testing.T, l *logfile.Log, s logfile.Stream, data string) {
	t.Helper()
	if err := l.Append(time.Now(), s, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// collect gives all that read visits.
func collect(t *testing.T, read func(visit func(logfile.Entry) error) error) string {
	t.Helper()
	var got strings.Builder
	if err := read(func(e logfile.Entry) error {
		got.Write(e.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func tail(t *testing.T, dir string, n int64) string {
	t.Helper()
	return collect(t, func(visit func(logfile.Entry) error) error { return logfile.Read(t.Context(), dir, n, visit) })
}

func TestEntries(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if got := tail(t, dir, -1); got != "" {
		t.Errorf("a log that is not there holds %q", got)
	}
	l := open(t, dir, 1<<20)
	before := time.Now()
	add(t, l, logfile.Stdout, "one\n")
	add(t, l, logfile.Stderr, "\x00\xff two")
	big := strings.Repeat("x", 200_000)
	add(t, l, logfile.Stdout, big)
	var stdout, stderr bytes.Buffer
	err := l.Read(t.Context(), -1, false, func(e logfile.Entry) error {
		if e.Time.Before(before.Add(-time.Millisecond)) || e.Time.After(time.Now()) {
			t.Errorf("time %s", e.Time)
		}
		map[logfile.Stream]*bytes.Buffer{logfile.Stdout: &stdout, logfile.Stderr: &stderr}[e.Stream].Write(e.Data)
		return nil
	})
	if err != nil || stdout.String() != "one\n"+big || stderr.String() != "\x00\xff two" {
		t.Errorf("%d bytes, %q, %v", stdout.Len(), stderr.String(), err)
	}
	stop := errors.New("stop")
	if err := l.Read(t.Context(), -1, false, func(logfile.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	for _, piece := range []string{"a\nb", "\nc\n", "d", "e\nf"} {
		add(t, l, logfile.Stdout, piece)
	}
	for n, want := range map[int64]string{0: "", 1: "f", 2: "de\nf", 3: "c\nde\nf", 4: "b\nc\nde\nf", 5: "a\nb\nc\nde\nf", 99: "a\nb\nc\nde\nf", -1: "a\nb\nc\nde\nf"} {
		if got := tail(t, dir, n); got != want {
			t.Errorf("tail %d is %q, not %q", n, got, want)
		}
	}
	add(t, l, logfile.Stdout, "\n")
	if got := tail(t, dir, 1); got != "f\n" {
		t.Errorf("tail 1 is %q", got)
	}
}

// TestTailOfAnything compares tails with those of the plain text.
func TestTailOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "log")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l, err := logfile.Open(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all := ""
		for _, p := range rapid.SliceOf(rapid.StringMatching(`[ab\n]{1,8}`)).Draw(t, "pieces") {
			if err := l.Append(time.Now(), logfile.Stderr, []byte(p)); err != nil {
				t.Fatal(err)
			}
			all += p
		}
		n := rapid.IntRange(0, 10).Draw(t, "n")
		lines := strings.SplitAfter(all, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		want := strings.Join(lines[max(0, len(lines)-n):], "")
		got := ""
		if err := l.Read(context.Background(), int64(n), false, func(e logfile.Entry) error {
			got += string(e.Data)
			return nil
		}); err != nil || got != want {
			t.Fatalf("tail %d of %q is %q, not %q, %v", n, all, got, want, err)
		}
	})
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 2000)
	for i := range 200 {
		add(t, l, logfile.Stdout, fmt.Sprintf("line %d\n", i))
	}
	got := tail(t, dir, -1)
	if !strings.HasSuffix(got, "line 198\nline 199\n") || strings.Contains(got, "line 0\n") || len(got) < 300 {
		t.Errorf("kept was %q", got)
	}
	if first, _, _ := strings.Cut(got, "\n"); got != lineRange(t, first, 199) {
		t.Errorf("there are gaps in %q", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
	if got := tail(t, dir, 50); got != lineRange(t, "line 150", 199) && len(got) != len(tail(t, dir, -1)) {
		t.Errorf("a tail over both files is %q", got)
	}
}

func lineRange(t *testing.T, first string, last int) string {
	t.Helper()
	var from int
	if _, err := fmt.Sscanf(first, "line %d", &from); err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for i := from; i <= last; i++ {
		fmt.Fprintf(&s, "line %d\n", i)
	}
	return s.String()
}

func TestFollow(t *testing.T) {
	l := open(t, t.TempDir(), 100_000)
	add(t, l, logfile.Stdout, "before\n")
	var got [3]string
	seen := make(chan struct{}, 1000)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			got[i] = collect(t, func(visit func(logfile.Entry) error) error {
				return l.Read(t.Context(), -1, true, func(e logfile.Entry) error {
					seen <- struct{}{}
					return visit(e)
				})
			})
		})
	}
	want := "before\n"
	for range got {
		<-seen
	}
	for i := range 100 {
		line := fmt.Sprintf("%d%s\n", i, strings.Repeat("x", 1000))
		want += line
		add(t, l, logfile.Stdout, line)
		for range got {
			<-seen // so that nobody falls two files behind
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for i := range got {
		if got[i] != want {
			t.Errorf("follower %d got %d bytes of %d", i, len(got[i]), len(want))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	open := open(t, t.TempDir(), 1000)
	if err := open.Read(ctx, -1, true, func(logfile.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestTorn cuts a log at every length: what is whole is read, and writing goes
// on after it.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	for i := range 3 {
		add(t, l, logfile.Stdout, fmt.Sprintf("line %d\n", i))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "current"))
	if err != nil {
		t.Fatal(err)
	}
	size := len(raw) / 3
	for cut := range len(raw) + 1 {
		for _, tail := range [][]byte{nil, make([]byte, 40)} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "current"), append(raw[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, 1<<20)
			add(t, l, logfile.Stdout, "next\n")
			want := ""
			for i := range cut / size {
				want += fmt.Sprintf("line %d\n", i)
			}
			got := collect(t, func(visit func(logfile.Entry) error) error { return l.Read(t.Context(), -1, false, visit) })
			if got != want+"next\n" {
				t.Fatalf("cut at %d: %q", cut, got)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 'x', 0, 0, 0, 1}, int64(1))
	f.Fuzz(func(t *testing.T, raw []byte, n int64) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "current"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = logfile.Read(t.Context(), dir, n, func(logfile.Entry) error { return nil }) // it must not panic
	})
}

// FuzzOpen has a writer go on with whatever a power cut has left.
func FuzzOpen(f *testing.F) {
	record := []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 'x', 0, 0, 0, 1}
	f.Add(record, record[:10])
	f.Add(record, bytes.Repeat([]byte{0xff}, 40))
	f.Add([]byte{}, append(record[:13:13], 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, previous, current []byte) {
		dir := t.TempDir()
		for name, raw := range map[string][]byte{"previous": previous, "current": current} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := logfile.Open(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Append(time.Now(), logfile.Stdout, []byte("the last\n")); err != nil {
			t.Fatal(err)
		}
		last := ""
		if err := l.Read(t.Context(), -1, false, func(e logfile.Entry) error {
			last = string(e.Data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if last != "the last\n" {
			t.Fatalf("what was written last is %q", last)
		}
	})
}
