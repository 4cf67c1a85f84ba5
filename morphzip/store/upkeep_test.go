package store

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entroos/entroos/equations"
)

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *Store) totals(name string) (tail, blocks totals) {
	s.mu.Lock()
	st := s.streams[name]
	s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.tail, st.blocks
}

// logLine is a line as programs write them.
func logLine(r *rand.Rand, i int) string {
	return fmt.Sprintf("2026-01-02T03:%02d:%02d.%06d INFO request id=%08x path=/api/v1/items/%d status=%d took=%dus\n",
		i/6000%60, i/100%60, r.Intn(1e6), r.Uint32(), r.Intn(1000), []int{200, 200, 200, 404, 500}[r.Intn(5)], r.Intn(100000))
}

func TestSealing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	o := Options{BlockSize: 64 << 10, CompactionShare: -1}
	s := open(t, path, o)
	r := rand.New(rand.NewSource(1))
	a := s.Appender("log")
	var want strings.Builder
	for i := range 5000 {
		line := logLine(r, i)
		want.WriteString(line)
		if err := a.Write(time.UnixMicro(int64(1000*i)), Stdout, []byte(line)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if err := a.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "blocks", func() bool {
		tail, blocks := s.totals("log")
		return tail.original < 64<<10 && blocks.units > 5
	})
	check := func(s *Store) {
		t.Helper()
		if got := text(t, s, "log", all); got != want.String() {
			t.Errorf("%d bytes, not %d", len(got), want.Len())
		}
		lines := strings.SplitAfter(strings.TrimSuffix(want.String(), "\n"), "\n")
		for _, n := range []int{1, 10, 1000, 3000, 4999} {
			if got := text(t, s, "log", Query{Tail: int64(n)}); got != strings.Join(lines[len(lines)-n:], "")+"\n" {
				t.Errorf("tail %d has %d bytes", n, len(got))
			}
		}
		if got := text(t, s, "log", Query{Since: time.UnixMicro(1000_000), Until: time.UnixMicro(1003_000), Tail: -1}); got != strings.Join(lines[1000:1003], "") {
			t.Errorf("the time range has %q", got)
		}
		got := text(t, s, "log", Query{Tail: -1, Grep: &Grep{Pattern: lines[2500]}})
		if got != "" { // the pattern has a newline, and no line has
			t.Errorf("%q", got)
		}
		if got := text(t, s, "log", Query{Tail: -1, Grep: &Grep{Pattern: strings.TrimSuffix(lines[2500], "\n")}}); got != lines[2500] {
			t.Errorf("%q", got)
		}
	}
	check(s)
	infos, err := s.Streams()
	if err != nil || len(infos) != 1 || infos[0].Entries != 5000 || infos[0].Lines != 5000 || infos[0].Original != uint64(want.Len()) {
		t.Fatalf("%+v, %v", infos, err)
	}
	f := s.Facts()
	if f.Original != uint64(want.Len()) || f.Stored == 0 || f.Stored > f.Original/2 {
		t.Errorf("%d bytes of %d", f.Stored, f.Original)
	}
	checkFacts(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, path, o))
}

// checkFacts runs the live checks of rows 55 to 64.
func checkFacts(t *testing.T, s *Store) {
	t.Helper()
	telemetry := &equations.Telemetry{Morph: s.Facts()}
	for _, row := range equations.Rows() {
		if row.Number < 55 || row.Number > 64 {
			continue
		}
		if v := row.Check(telemetry); v.State == equations.Fail {
			t.Errorf("row %d, %s: %s", row.Number, row.Name, v.Seen)
		}
	}
}

func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	const bound = 4 << 20
	s := open(t, path, Options{BlockSize: 256 << 10, CompactionShare: -1})
	if err := s.SetRetention("log", Retention{MaxBytes: bound}); err != nil {
		t.Fatal(err)
	}
	a := s.Appender("log")
	r := rand.New(rand.NewSource(1))
	data := make([]byte, 8<<10)
	var stored uint64
	for stored < 20*bound {
		r.Read(data) // which nothing makes smaller
		if err := a.Write(time.Now(), Stdout, data); err != nil {
			t.Fatal(err)
		}
		stored += uint64(len(data))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "retention", func() bool {
		tail, blocks := s.totals("log")
		return tail.stored+blocks.stored <= bound
	})
	infos, err := s.Streams()
	if err != nil || infos[0].Stored > bound || infos[0].Stored < bound/2 || infos[0].First == 1 || infos[0].Last != stored/(8<<10) {
		t.Errorf("%+v, %v", infos, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the file has %d bytes for %d", info.Size(), bound)
	if info.Size() > 5*bound/2 {
		t.Errorf("the file has %d bytes for %d", info.Size(), bound)
	}
}

func TestAge(t *testing.T) {
	now := time.Unix(1000, 0)
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{Now: func() time.Time { return now }})
	if err := s.SetRetention("log", Retention{MaxAge: time.Minute}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := s.Append(t.Context(), "log", Entry{Time: now.Add(time.Duration(i-2) * time.Minute), Kind: Stdout, Data: fmt.Appendf(nil, "%d\n", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(t, s, "log", all); got != "1\n2\n" {
		t.Errorf("%q", got)
	}
	eventually(t, "retention", func() bool { tail, _ := s.totals("log"); return tail.units == 2 })
}

// TestSequencesGoOn has everything dropped but the last, and the store opened again.
func TestSequencesGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{Retention: Retention{MaxBytes: 1}})
	for range 10 {
		appendText(t, s, "log", "x")
	}
	eventually(t, "retention", func() bool { tail, _ := s.totals("log"); return tail.units == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if last, err := s.Append(t.Context(), "log", Entry{}); err != nil || last != 11 {
		t.Error(last, err)
	}
}

func TestDictionary(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{BlockSize: 32 << 10, CompactionShare: -1})
	r := rand.New(rand.NewSource(1))
	var sizes []uint64
	learned := func() bool {
		s.mu.Lock()
		st := s.streams["log"]
		s.mu.Unlock()
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.dictionary.id.number > 0
	}
	for i := range 600 {
		if i == 400 { // there is a block by now, which a dictionary is learned of in the background
			eventually(t, "a dictionary", learned)
		}
		before, _ := s.totalsOr("log")
		appendText(t, s, "log", logLine(r, i))
		after, _ := s.totals("log")
		if after.units == before.units+1 {
			sizes = append(sizes, after.stored-before.stored)
		}
	}
	mean := func(sizes []uint64) (sum float64) {
		for _, n := range sizes {
			sum += float64(n)
		}
		return sum / float64(len(sizes))
	}
	first, last := mean(sizes[:100]), mean(sizes[len(sizes)-100:])
	t.Logf("%.0f bytes a batch without, %.0f with a dictionary", first, last)
	if last > 0.75*first {
		t.Errorf("%.0f bytes a batch without, %.0f with a dictionary", first, last)
	}
	if got := text(t, s, "log", all); strings.Count(got, "\n") != 600 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
}

func (s *Store) totalsOr(name string) (tail, blocks totals) {
	s.mu.Lock()
	known := slices.Contains(slices.Collect(keysOf(s.streams)), name)
	s.mu.Unlock()
	if !known {
		return totals{}, totals{}
	}
	return s.totals(name)
}

func keysOf(m map[string]*stream) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestFullDisk has the disk refuse what is written for a while.
func TestFullDisk(t *testing.T) {
	full := errors.New("full")
	room := make(chan error, 1)
	room <- nil
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{
		Warn: func(error) {},
		Room: func() (int64, error) {
			err := <-room
			room <- err
			return 0x11000, err // less than a step, so that it is asked each time
		},
	})
	a := s.Appender("log")
	write := func(text string) error { return a.Write(time.Now(), Stdout, []byte(text)) }
	if err := write("begun, "); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	<-room
	room <- full
	if err := write("waits\n"); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); !errors.Is(err, full) {
		t.Fatal(err)
	}
	for range 2 {
		if err := write("12345"); !errors.Is(err, full) {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(t.Context(), "other", Entry{Data: []byte("x")}); !errors.Is(err, full) {
		t.Fatal(err)
	}
	<-room
	room <- nil
	eventually(t, "the disk takes it again", func() bool { return write("more\n") == nil })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	got := text(t, s, "log", all)
	if !strings.HasPrefix(got, "begun, waits\n[") || !strings.HasSuffix(got, " bytes of output are missing here: they could not be logged]\nmore\n") {
		t.Errorf("it holds %q", got)
	}
	if got := text(t, s, "other", all); got != "" {
		t.Errorf("what was refused is there: %q", got)
	}
}
