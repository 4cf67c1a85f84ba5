//go:build !guest

package nko

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/morphzip/store"
)

func openLogs(t *testing.T, path string) *store.Store {
	t.Helper()
	logs, err := store.Open(path, store.Options{Go: Go})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
	})
	return logs
}

func logText(t *testing.T, l *LogRing, q store.Query) string {
	t.Helper()
	var text strings.Builder
	if err := l.Read(t.Context(), q, func(e store.Entry) error {
		text.Write(e.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func keepRing(t *testing.T, l *LogRing, s *store.Store, mark string) {
	l.Keep(s, ServiceStream("test"), mark, func(err error) { t.Error(err) })
}

func closeRing(t *testing.T, l *LogRing) {
	t.Helper()
	l.Close()
	if err := l.Kept(t.Context()); err != nil {
		t.Error(err)
	}
}

var all = store.Query{Tail: -1}

// A log outlives the box's boots, with a mark between them, and has the lines of
// before the store was there.
func TestLogIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs.db")
	for boot := 1; boot <= 2; boot++ {
		logs := openLogs(t, path)
		l := NewLogRing()
		l.Add(LogLine{At: time.Now(), Text: fmt.Appendf(nil, "early %d", boot)})
		keepRing(t, l, logs, fmt.Sprintf("-- boot %d --", boot))
		if _, err := fmt.Fprintf(l.Writer(true, nil), "late %d\n", boot); err != nil {
			t.Fatal(err)
		}
		want := "early 1\nlate 1\n"
		if boot == 2 {
			want += "-- boot 2 --\nearly 2\nlate 2\n"
		}
		if got := logText(t, l, all); got != want {
			t.Errorf("boot %d: %q, want %q", boot, got, want)
		}
		closeRing(t, l)
		if err := logs.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeptLogIsFollowedToItsEnd(t *testing.T) {
	l := NewLogRing()
	keepRing(t, l, openLogs(t, filepath.Join(t.TempDir(), "logs.db")), "")
	l.Add(LogLine{At: time.Now(), Text: []byte("one")})
	lines := make(chan string)
	done := make(chan error, 1)
	Go("follow", func() {
		done <- l.Read(t.Context(), store.Query{Tail: -1, Follow: true}, func(e store.Entry) error {
			lines <- string(e.Data)
			return nil
		})
	})
	for i, want := range []string{"one\n", "two\n", "three\n"} {
		if got := <-lines; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		switch i {
		case 0:
			l.Add(LogLine{At: time.Now(), Text: []byte("two")})
		case 1:
			l.Add(LogLine{At: time.Now(), Text: []byte("three")})
		}
	}
	closeRing(t, l)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A service's flood is kept whole, however fast it comes.
func TestFloodIsKept(t *testing.T) {
	l := NewLogRing()
	keepRing(t, l, openLogs(t, filepath.Join(t.TempDir(), "logs.db")), "")
	w := l.Writer(false, nil)
	var want strings.Builder
	for i := range 20_000 {
		line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", i%300))
		want.WriteString(line)
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := logText(t, l, all); got != want.String() {
		t.Errorf("%d bytes of %d are kept", len(got), want.Len())
	}
	closeRing(t, l)
}

// What PID 1 says itself waits for no disk: what the ring cannot hold meanwhile is
// missing, and the log says so.
func TestMissedLinesAreTold(t *testing.T) {
	l := NewLogRing()
	k := &keptLog{store: openLogs(t, filepath.Join(t.TempDir(), "logs.db")), stream: "service/test", done: make(chan struct{}), progress: make(chan struct{})}
	if err := k.begin(""); err != nil {
		t.Fatal(err)
	}
	for i := range logRingLines + 5 {
		l.Add(LogLine{At: time.Now(), Text: fmt.Appendf(nil, "%d", i)})
	}
	l.kept = k
	l.Close()
	if err := k.follow(l); err != nil {
		t.Fatal(err)
	}
	k.end(l)
	got := logText(t, l, all)
	if !strings.HasPrefix(got, "[5 lines are missing here: the disk was too slow for them]\n5\n6\n") {
		t.Errorf("%.100q", got)
	}
}

// The memory gives what the store gives.
func TestMemoryReadsLikeTheStore(t *testing.T) {
	logs := openLogs(t, filepath.Join(t.TempDir(), "logs.db"))
	begin := time.Unix(1_800_000_000, 0)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		plain, kept := NewLogRing(), NewLogRing()
		kept.Keep(logs, fmt.Sprint("service/", n), "", func(err error) { t.Error(err) })
		for i, text := range rapid.SliceOfN(rapid.StringMatching(`[ab]{0,3}`), 0, 12).Draw(t, "lines") {
			line := LogLine{At: begin.Add(time.Duration(i) * time.Second), Stderr: i%3 == 0, Text: []byte(text)}
			plain.Add(line)
			kept.Add(line)
		}
		kept.Close()
		if err := kept.Kept(context.Background()); err != nil {
			t.Fatal(err)
		}
		moment := rapid.Custom(func(t *rapid.T) time.Time {
			if rapid.Bool().Draw(t, "open") {
				return time.Time{}
			}
			return begin.Add(time.Duration(rapid.IntRange(-1, 13).Draw(t, "second")) * time.Second)
		})
		q := store.Query{Tail: rapid.Int64Range(-1, 6).Draw(t, "tail"), Since: moment.Draw(t, "since"), Until: moment.Draw(t, "until")}
		if rapid.Bool().Draw(t, "grep") {
			q.Grep = &store.Grep{Pattern: rapid.SampledFrom([]string{"a", "b$", "^$", "a.b"}).Draw(t, "pattern"), Expression: true, Invert: rapid.Bool().Draw(t, "invert")}
		}
		type line struct {
			at   int64
			kind uint8
			text string
		}
		read := func(l *LogRing) (lines []line) {
			if err := l.Read(context.Background(), q, func(e store.Entry) error {
				lines = append(lines, line{e.Time.Unix(), e.Kind, string(e.Data)})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return lines
		}
		if a, b := read(plain), read(kept); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%+v: memory gives %v, the store %v", q, a, b)
		}
	})
	if err := NewLogRing().Read(t.Context(), store.Query{Grep: &store.Grep{Pattern: "(", Expression: true}}, nil); err == nil {
		t.Error("a bad expression is taken")
	}
}

// A log that cannot be kept is in memory all the same.
func TestLogWithoutStore(t *testing.T) {
	logs := openLogs(t, filepath.Join(t.TempDir(), "logs.db"))
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	l := NewLogRing()
	warned := make(chan error, 1)
	l.Keep(logs, ServiceStream("test"), "", func(err error) { warned <- err })
	if err := <-warned; err == nil {
		t.Error("no error is told")
	}
	l.Close()
	if err := l.Kept(t.Context()); err == nil {
		t.Error("it is said to be kept")
	}
	l.Add(LogLine{At: time.Now(), Text: []byte("one")})
	if got := logText(t, l, all); got != "one\n" {
		t.Errorf("%q", got)
	}
}

func TestSupervisorKeepsLogs(t *testing.T) {
	logs := openLogs(t, filepath.Join(t.TempDir(), "logs.db"))
	sup := startSupervisor(t)
	before, err := sup.Add(ServiceSpec{Name: "before", Process: sh("echo early; exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has said something", func() bool { return logText(t, before.Log(), all) == "early\n" })
	sup.KeepLogs(logs, "-- boot --")
	after, err := sup.Add(ServiceSpec{Name: "after", Process: sh("echo late >&2; exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "so has the other", func() bool { return logText(t, after.Log(), all) == "late\n" })
	if err := sup.Remove("after"); err != nil {
		t.Fatal(err)
	}
	if err := after.Log().Kept(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := sup.Add(ServiceSpec{Name: "after", Process: sh("echo again; exec sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return logText(t, again.Log(), all) == "late\nagain\n" })
	if err := sup.CloseLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]string{"service/before": "early\n", "service/after": "late\nagain\n"} {
		got := ""
		if err := logs.Read(t.Context(), stream, all, func(e store.Entry) error { got += string(e.Data); return nil }); err != nil || got != want {
			t.Errorf("%s: %q, %v", stream, got, err)
		}
	}
}
