package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStreamsModel appends, seals, compacts, drops, removes, reopens and reads
// in any order, and compares with lists of entries.
func TestStreamsModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	rapid.Check(t, func(t *rapid.T) {
		defer os.Remove(path)
		var s *Store
		sealer := &machine{t: t, path: path}
		reopen := func() {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s = sealer.open()
		}
		reopen()
		defer func() { s.Close() }()
		model := map[string][]Entry{}
		last := map[string]uint64{}
		names := rapid.SampledFrom([]string{"a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				name := names.Draw(t, "stream")
				var entries []Entry
				for range rapid.IntRange(1, 5).Draw(t, "entries") {
					entries = append(entries, Entry{
						Time: time.UnixMicro(rapid.Int64Range(0, 100).Draw(t, "time")),
						Kind: uint8(rapid.IntRange(0, 2).Draw(t, "kind")),
						Data: []byte(rapid.StringMatching(`([ab]{0,3}\n?){0,3}|x{30}`).Draw(t, "data")),
					})
				}
				got, err := s.Append(context.Background(), name, entries...)
				if err != nil || got != last[name]+uint64(len(entries)) {
					t.Fatalf("the last is %d after %d, %v", got, last[name], err)
				}
				for i := range entries {
					last[name]++
					entries[i].Sequence = last[name]
				}
				model[name] = append(model[name], entries...)
			},
			"seal": func(t *rapid.T) {
				if err := sealer.seal(names.Draw(t, "stream")); err != nil {
					t.Fatal(err)
				}
			},
			"compact": func(t *rapid.T) {
				if _, err := s.compactOne(sealer.dense); err != nil {
					t.Fatal(err)
				}
			},
			"drop": func(t *rapid.T) {
				name := names.Draw(t, "stream")
				infos, err := s.Streams()
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range infos {
					if i.Name != name || i.Entries == 0 {
						continue
					}
					if err := s.SetRetention(name, Retention{MaxBytes: int64(i.Stored - 1)}); err != nil {
						t.Fatal(err)
					}
					st, err := s.stream(name, false)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.retain(st); err != nil {
						t.Fatal(err)
					}
					if err := s.SetRetention(name, Retention{}); err != nil {
						t.Fatal(err)
					}
				}
				if infos, err = s.Streams(); err != nil {
					t.Fatal(err)
				}
				for _, i := range infos {
					if i.Name == name {
						for len(model[name]) > 0 && model[name][0].Sequence < i.First {
							model[name] = model[name][1:]
						}
					}
				}
			},
			"remove": func(t *rapid.T) {
				name := names.Draw(t, "stream")
				if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
					return
				}
				if err := s.Remove(name); err != nil {
					t.Fatal(err)
				}
				delete(model, name)
				delete(last, name)
			},
			"reopen": func(*rapid.T) { reopen() },
			"read": func(t *rapid.T) {
				name := names.Draw(t, "stream")
				q := Query{Tail: -1}
				if rapid.Bool().Draw(t, "range") {
					q.From, q.To = uint64(rapid.IntRange(0, 20).Draw(t, "from")), uint64(rapid.IntRange(0, 20).Draw(t, "to"))
				}
				if rapid.Bool().Draw(t, "times") {
					q.Since, q.Until = time.UnixMicro(rapid.Int64Range(0, 100).Draw(t, "since")), time.UnixMicro(rapid.Int64Range(0, 100).Draw(t, "until"))
				}
				if rapid.Bool().Draw(t, "tail") {
					q.Tail = rapid.Int64Range(0, 10).Draw(t, "lines")
				}
				if rapid.Bool().Draw(t, "grep") {
					q.Grep = &Grep{
						Pattern: rapid.SampledFrom([]string{"a", "ab", "bb", "", "xxxx", "ba"}).Draw(t, "pattern"),
						Invert:  rapid.Bool().Draw(t, "invert"), Expression: rapid.Bool().Draw(t, "expression"),
					}
				}
				compareRead(t, s, name, q, model[name])
			},
		})
	})
}

// machine runs by hand what is the store's background.
type machine struct {
	t            *rapid.T
	path         string
	s            *Store
	block, dense *blockEncoder
}

func (m *machine) open() *Store {
	s, err := Open(m.path, Options{
		CompactionShare: -1, CompactAfter: time.Nanosecond, Warn: func(err error) { m.t.Errorf("in the background: %v", err) },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	s.writing.Lock()
	s.db.NoSync = true
	s.writing.Unlock()
	m.s = s
	if m.block, err = newBlockEncoder(levelBlock, &s.facts); err != nil {
		m.t.Fatal(err)
	}
	if m.dense, err = newBlockEncoder(levelDense, &s.facts); err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *machine) seal(name string) error {
	st, err := m.s.stream(name, false)
	if err != nil || st == nil {
		return err
	}
	return m.s.seal(m.block, st)
}

// compareRead compares a read with what the model says of it.
func compareRead(t *rapid.T, s *Store, name string, q Query, model []Entry) {
	var want []Entry
	for _, e := range model {
		if e.Sequence >= q.From && (q.To == 0 || e.Sequence <= q.To) &&
			(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
			want = append(want, e)
		}
	}
	if q.Grep != nil {
		want = modelGrep(t, want, q)
	} else if q.Tail >= 0 {
		want = modelTail(want, q.Tail)
	}
	i := 0
	err := s.Read(context.Background(), name, q, func(e Entry) error {
		if i >= len(want) {
			t.Fatalf("%+v: one more than %d: %d %q", q, len(want), e.Sequence, e.Data)
		}
		if w := want[i]; e.Sequence != w.Sequence || !e.Time.Equal(w.Time) || e.Kind != w.Kind || !bytes.Equal(e.Data, w.Data) {
			t.Fatalf("%+v: %d %d %q, not %d %d %q", q, e.Sequence, e.Kind, e.Data, w.Sequence, w.Kind, w.Data)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("%+v: %d entries of %d, %v", q, i, len(want), err)
	}
}

func modelTail(entries []Entry, lines int64) []Entry {
	var all []byte
	for _, e := range entries {
		all = append(all, e.Data...)
	}
	n := int64(bytes.Count(all, newline))
	if len(all) > 0 && all[len(all)-1] != '\n' {
		n++
	}
	skip := 0
	for rest := all; n > lines; n-- {
		at := bytes.IndexByte(rest, '\n')
		if at < 0 {
			at = len(rest) - 1
		}
		skip += at + 1
		rest = rest[at+1:]
	}
	if lines == 0 {
		return nil
	}
	if skip == 0 {
		return entries
	}
	for len(entries) > 0 && skip > 0 && skip >= len(entries[0].Data) {
		skip -= len(entries[0].Data)
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return nil
	}
	first := entries[0]
	first.Data = first.Data[skip:]
	return append([]Entry{first}, entries[1:]...)
}

func modelGrep(t *rapid.T, entries []Entry, q Query) []Entry {
	match, err := q.Grep.Matcher()
	if err != nil {
		t.Fatal(err)
	}
	var done []Entry // in the order of their ends
	open := map[uint8]*Entry{}
	var order []uint8
	for _, e := range entries {
		for _, part := range bytes.SplitAfter(e.Data, newline) {
			if len(part) == 0 {
				continue
			}
			l := open[e.Kind]
			if l == nil {
				l = &Entry{Sequence: e.Sequence, Time: e.Time, Kind: e.Kind}
				open[e.Kind] = l
				order = append(order, e.Kind)
			}
			l.Data = append(l.Data, part...)
			if bytes.HasSuffix(part, newline) {
				done = append(done, *l)
				delete(open, e.Kind)
				for i, k := range order {
					if k == e.Kind {
						order = append(order[:i:i], order[i+1:]...)
						break
					}
				}
			}
		}
	}
	for _, k := range order {
		done = append(done, *open[k])
	}
	var want []Entry
	for _, l := range done {
		if match(bytes.TrimSuffix(l.Data, newline)) {
			want = append(want, l)
		}
	}
	if q.Tail >= 0 {
		want = want[max(0, len(want)-int(q.Tail)):]
	}
	return want
}
