package store

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
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
	}
	goleak.VerifyTestMain(m)
}

// open opens a store whose background says nothing unless the test wants it.
func open(t *testing.T, path string, o Options) *Store {
	t.Helper()
	if o.Warn == nil {
		o.Warn = func(err error) { t.Errorf("in the background: %v", err) }
	}
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	s.writing.Lock()
	s.db.NoSync = true // these tests are not about the disk
	s.writing.Unlock()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "store"), Options{})
}

func appendText(t *testing.T, s *Store, stream string, texts ...string) {
	t.Helper()
	var entries []Entry
	for _, text := range texts {
		entries = append(entries, Entry{Time: time.Now(), Kind: Stdout, Data: []byte(text)})
	}
	if _, err := s.Append(t.Context(), stream, entries...); err != nil {
		t.Fatal(err)
	}
}

// text gives the data of what a query asks for, in one.
func text(t *testing.T, s *Store, stream string, q Query) string {
	t.Helper()
	var got strings.Builder
	if err := s.Read(t.Context(), stream, q, func(e Entry) error {
		got.Write(e.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

var all = Query{Tail: -1}

func TestEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, s, "log", all); got != "" {
		t.Errorf("a stream that is not there holds %q", got)
	}
	big := strings.Repeat("x", maxData)
	want := []Entry{
		{Sequence: 1, Time: time.UnixMicro(5), Kind: Stdout, Data: []byte("one\n")},
		{Sequence: 2, Time: time.UnixMicro(-7), Kind: Stderr, Data: []byte("\x00\xff two")},
		{Sequence: 3, Time: time.UnixMicro(1 << 52), Kind: 77, Data: []byte(big)},
		{Sequence: 4, Time: time.UnixMicro(6), Kind: Stdout},
	}
	if last, err := s.Append(t.Context(), "log", want...); err != nil || last != 4 {
		t.Fatal(last, err)
	}
	check := func(s *Store) {
		t.Helper()
		i := 0
		if err := s.Read(t.Context(), "log", all, func(e Entry) error {
			if w := want[i]; e.Sequence != w.Sequence || !e.Time.Equal(w.Time) || e.Kind != w.Kind || !bytes.Equal(e.Data, w.Data) {
				t.Errorf("entry %d is %v", i, e)
			}
			i++
			return nil
		}); err != nil || i != len(want) {
			t.Errorf("%d entries, %v", i, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	check(s)
	if last, err := s.Append(t.Context(), "log", Entry{}); err != nil || last != 5 {
		t.Error(last, err)
	}
	stop := errors.New("stop")
	if err := s.Read(t.Context(), "log", all, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := s.Append(t.Context(), "log", Entry{Data: make([]byte, maxData+1)}); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	for _, name := range []string{"", strings.Repeat("n", 256)} {
		if _, err := s.Append(t.Context(), name, Entry{}); !errors.Is(err, ErrStream) {
			t.Error(err)
		}
	}
}

func TestTail(t *testing.T) {
	s := openNew(t)
	appendText(t, s, "log", "a\nb", "\nc\n", "d")
	appendText(t, s, "log", "e\nf")
	for n, want := range map[int64]string{0: "", 1: "f", 2: "de\nf", 3: "c\nde\nf", 4: "b\nc\nde\nf", 5: "a\nb\nc\nde\nf", 99: "a\nb\nc\nde\nf", -1: "a\nb\nc\nde\nf"} {
		if got := text(t, s, "log", Query{Tail: n}); got != want {
			t.Errorf("tail %d is %q, not %q", n, got, want)
		}
	}
	appendText(t, s, "log", "\n")
	if got := text(t, s, "log", Query{Tail: 1}); got != "f\n" {
		t.Errorf("tail 1 is %q", got)
	}
}

// TestTailOfAnything compares tails with those of the plain text.
func TestTailOfAnything(t *testing.T) {
	s := openNew(t)
	stream := 0
	rapid.Check(t, func(t *rapid.T) {
		stream++
		name := fmt.Sprint(stream)
		a := s.Appender(name)
		all := ""
		for _, p := range rapid.SliceOfN(rapid.StringMatching(`[ab\n]{1,8}`), 0, 10).Draw(t, "pieces") {
			if err := a.Write(time.Now(), Stderr, []byte(p)); err != nil {
				t.Fatal(err)
			}
			all += p
			if rapid.IntRange(0, 4).Draw(t, "sync") == 0 {
				if err := a.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		n := rapid.IntRange(0, 10).Draw(t, "n")
		lines := strings.SplitAfter(all, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		want := strings.Join(lines[max(0, len(lines)-n):], "")
		got := ""
		if err := s.Read(context.Background(), name, Query{Tail: int64(n)}, func(e Entry) error {
			got += string(e.Data)
			return nil
		}); err != nil || got != want {
			t.Fatalf("tail %d of %q is %q, not %q, %v", n, all, got, want, err)
		}
	})
}

func TestFollow(t *testing.T) {
	s := openNew(t)
	a := s.Appender("log")
	write := func(text string) {
		t.Helper()
		if err := a.Write(time.Now(), Stdout, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n")
	var got [3]string
	seen := make(chan struct{}, 1000)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if err := s.Read(t.Context(), "log", Query{Tail: -1, Follow: true}, func(e Entry) error {
				seen <- struct{}{}
				got[i] += string(e.Data)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	want := "before\n"
	for i := range 1000 {
		line := fmt.Sprintf("%d%s\n", i, strings.Repeat("x", 1000))
		want += line
		write(line)
		if i%10 == 0 {
			for range got {
				<-seen // what is written is seen before it is on disk
			}
		}
	}
	go func() {
		for range seen {
		}
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	close(seen)
	for i := range got {
		if got[i] != want {
			t.Errorf("follower %d got %d bytes of %d", i, len(got[i]), len(want))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	appendText(t, s, "open", "x")
	if err := s.Read(ctx, "open", Query{Tail: -1, Follow: true}, func(Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestGrep(t *testing.T) {
	s := openNew(t)
	entries := []Entry{
		{Kind: Stdout, Data: []byte("first line\nsecond ")},
		{Kind: Stderr, Data: []byte("an error line\npart")},
		{Kind: Stdout, Data: []byte("line\nlast line")},
		{Kind: Stderr, Data: []byte("ial\n")},
	}
	for i := range entries {
		entries[i].Time = time.UnixMicro(int64(i))
	}
	if _, err := s.Append(t.Context(), "log", entries...); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		grep Grep
		tail int64
		want string
	}{
		{Grep{Pattern: "line"}, -1, "1first line\n|2an error line\n|1second line\n|3last line|"},
		{Grep{Pattern: "line"}, 2, "1second line\n|3last line|"},
		{Grep{Pattern: "line"}, 3, "2an error line\n|1second line\n|3last line|"},
		{Grep{Pattern: "line"}, 0, ""},
		{Grep{Pattern: "nd line$", Expression: true}, -1, "1second line\n|"},
		{Grep{Pattern: "line", Invert: true}, -1, "2partial\n|"},
		{Grep{Pattern: "none"}, 5, ""},
	} {
		got := ""
		if err := s.Read(t.Context(), "log", Query{Tail: c.tail, Grep: &c.grep}, func(e Entry) error {
			got += fmt.Sprint(e.Sequence) + string(e.Data) + "|"
			return nil
		}); err != nil || got != c.want {
			t.Errorf("%v, tail %d: %q, not %q, %v", c.grep, c.tail, got, c.want, err)
		}
	}
	if err := s.Read(t.Context(), "log", Query{Tail: -1, Grep: &Grep{Pattern: "(", Expression: true}}, nil); err == nil {
		t.Error("( is an expression")
	}
}

func TestRange(t *testing.T) {
	s := openNew(t)
	for i := range 20 {
		if _, err := s.Append(t.Context(), "log", Entry{Time: time.Unix(int64(i), 0), Kind: Stdout, Data: fmt.Appendf(nil, "%d\n", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{From: 3, To: 5, Tail: -1}, "2\n3\n4\n"},
		{Query{Since: time.Unix(17, 0), Tail: -1}, "17\n18\n19\n"},
		{Query{Until: time.Unix(2, 0), Tail: -1}, "0\n1\n"},
		{Query{Since: time.Unix(5, 0), Until: time.Unix(9, 1), Tail: 2}, "8\n9\n"},
		{Query{To: 4, Tail: 2}, "2\n3\n"},
		{Query{From: 19, Tail: 10}, "18\n19\n"},
		{Query{From: 30, Tail: -1}, ""},
	} {
		if got := text(t, s, "log", c.q); got != c.want {
			t.Errorf("%+v gives %q, not %q", c.q, got, c.want)
		}
	}
}

func TestRemove(t *testing.T) {
	s := openNew(t)
	for i := range 2000 {
		a := s.Appender("log")
		if err := a.Write(time.Now(), Stdout, fmt.Appendf(nil, "line %d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	appendText(t, s, "other", "kept")
	infos, err := s.Streams()
	if err != nil || len(infos) != 2 || infos[0].Name != "log" || infos[0].Lines != 2000 || infos[0].Last != 2000 {
		t.Fatalf("%+v, %v", infos, err)
	}
	if err := s.Remove("log"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("log"); err != nil {
		t.Fatal(err)
	}
	if got := text(t, s, "log", all); got != "" {
		t.Errorf("what was removed gives %q", got)
	}
	appendText(t, s, "log", "new")
	if got := text(t, s, "log", all) + text(t, s, "other", all); got != "newkept" {
		t.Error(got)
	}
}
