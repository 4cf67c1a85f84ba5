package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestDamagedUnits garbles a block, a batch and a header of each: the rest is read.
func TestDamagedUnits(t *testing.T) {
	for name, c := range map[string]struct {
		bucket []byte
		at     func(n int) int // which byte of a value of n
		lost   string
	}{
		"block":        {bucketPieces, func(n int) int { return n / 2 }, "are missing here: what is stored of them is damaged]\n"},
		"block header": {bucketBlocks, func(int) int { return 3 }, "[entries from 1 on are missing here"},
		"batch":        {bucketTail, func(n int) int { return n - 1 }, "are missing here: what is stored of them is damaged]\n"},
		"batch header": {bucketTail, func(int) int { return 0 }, "are missing here: what is stored of them is damaged]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			s := open(t, path, Options{BlockSize: 64 << 10, CompactionShare: -1})
			r := rand.New(rand.NewSource(1))
			var lines []string
			for i := range 300 {
				lines = append(lines, fmt.Sprintf("%d %x\n", i, random(int64(i), 300))+logLine(r, i))
				appendText(t, s, "log", lines[i])
			}
			eventually(t, "blocks", func() bool { tail, blocks := s.totals("log"); return tail.original < 64<<10 && blocks.units > 2 })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			garble(t, path, c.bucket, c.at)
			warned := 0
			s = open(t, path, Options{BlockSize: 64 << 10, CompactionShare: -1, Warn: func(err error) {
				if !errors.Is(err, ErrDamaged) {
					t.Error(err)
				}
				warned++
			}})
			got := text(t, s, "log", all)
			want := strings.Join(lines, "")
			at := strings.Index(got, c.lost)
			if at < 0 {
				t.Fatalf("nothing tells of the damage in %d bytes", len(got))
			}
			before := got[:strings.LastIndex(got[:at+1], "[")]
			after := got[at+strings.Index(got[at:], "\n")+1:]
			if !strings.HasPrefix(want, before) || !strings.HasSuffix(want, after) || len(before)+len(after) < len(want)/2 || len(before)+len(after) == len(want) {
				t.Errorf("before it %d bytes, after it %d, of %d", len(before), len(after), len(want))
			}
			if warned == 0 {
				t.Error("nobody was warned")
			}
			for _, n := range []int64{2, 100, 250, 1000} {
				if got := text(t, s, "log", Query{Tail: n}); !strings.HasSuffix(got, lines[299]) && name != "batch" {
					t.Errorf("tail %d has %d bytes", n, len(got))
				}
			}
			// It goes on: what follows is sealed too.
			for i := range 300 {
				appendText(t, s, "log", lines[i])
			}
			eventually(t, "blocks", func() bool { tail, _ := s.totals("log"); return tail.original < 64<<10 })
			if got := text(t, s, "log", all); !strings.HasSuffix(got, want) {
				t.Error("what was appended after the damage is not there")
			}
			if err := s.Remove("log"); err != nil {
				t.Error(err)
			}
		})
	}
}

// garble changes a byte of the first value in a bucket.
func garble(t *testing.T, path string, bucket []byte, at func(int) int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket(bucket).Cursor().First()
		v = bytes.Clone(v)
		v[at(len(v))] ^= 0x55
		return tx.Bucket(bucket).Put(k, v)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFile opens files that are not what was written: that is an error
// and never a panic.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	s := open(t, path, Options{})
	for i := range 20 {
		appendText(t, s, "log", strings.Repeat(fmt.Sprint(i), 1000))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewSource(1))
	for i := range 60 {
		raw := bytes.Clone(whole)
		switch {
		case i == 0:
			clear(raw[:2*4096]) // both of bbolt's headers
		case i < 10:
			raw = raw[:r.Intn(len(raw))]
		default:
			page := raw[4096*r.Intn(len(raw)/4096):][:4096]
			r.Read(page[:16+r.Intn(4080)])
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{Warn: func(error) {}})
		if i == 0 && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		if err != nil {
			continue
		}
		_ = s.Read(t.Context(), "log", all, func(Entry) error { return nil }) // it must not panic
		_, _ = s.Append(t.Context(), "log", Entry{Time: time.Now(), Data: []byte("x")})
		_ = s.Close()
	}
}

func TestVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketSchema).Put(keyVersion, []byte{schemaVersion + 1}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}
