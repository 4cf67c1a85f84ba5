package boltdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/ledger/boltdb"
)

// within fails the test if fn does not return in time: what is tested here
// would deadlock.
func within(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("deadlock")
	}
}

// fill sets n keys, numbered by format, to values of that size.
func fill(t *testing.T, s *boltdb.Store, n int, format string, size int) {
	t.Helper()
	b := s.NewBatch()
	for i := range n {
		ok(t, b.Set(fmt.Appendf(nil, format, i), make([]byte, size)))
	}
	ok(t, b.Write())
}

// Growing the file under an open iterator needs all read transactions to end:
// with one held by the iterator, this would wait for itself.
func TestWriteUnderIterator(t *testing.T) {
	_, s := newStore(t)
	fill(t, s, 200, "a%03d", 1)
	within(t, func() {
		it, err := s.Iterator(nil, nil)
		ok(t, err)
		seen := 0
		for ; it.Valid(); it.Next() {
			if seen == 0 {
				ok(t, s.Set([]byte("big"), bytes.Repeat([]byte{1}, 1<<20)))
			}
			seen++
		}
		ok(t, it.Error())
		ok(t, it.Close())
		if seen != 201 { // "big" lies ahead
			t.Errorf("%d keys", seen)
		}
	})
}

// CometBFT's evidence pool deletes what it iterates over.
func TestDeleteUnderIterator(t *testing.T) {
	_, s := newStore(t)
	fill(t, s, 300, "%03d", 2000)
	within(t, func() {
		it, err := s.Iterator([]byte("100"), []byte("220"))
		ok(t, err)
		for ; it.Valid(); it.Next() {
			ok(t, s.Delete(it.Key()))
		}
		ok(t, it.Error())
		ok(t, it.Close())
	})
	it, err := s.Iterator(nil, nil)
	ok(t, err)
	left := 0
	for ; it.Valid(); it.Next() {
		left++
	}
	if left != 180 {
		t.Errorf("%d keys left", left)
	}
}

// Readers, writers and iterators at once.
func TestConcurrentUse(t *testing.T) {
	f, s := newStore(t)
	other, err := f.Store("other")
	ok(t, err)
	within(t, func() {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				store := s
				if w%2 == 1 {
					store = other
				}
				for i := range 25 {
					if err := store.Set(fmt.Appendf(nil, "%d-%d", w, i), bytes.Repeat([]byte{byte(w)}, 3000)); err != nil {
						t.Error(err)
					}
					it, err := store.ReverseIterator(nil, nil)
					if err != nil {
						t.Error(err)
						return
					}
					for ; it.Valid(); it.Next() {
						if k := string(it.Key()); int(it.Value()[0]) != int(k[0]-'0') {
							t.Errorf("key %s has another's value", k)
						}
					}
				}
			})
		}
		wg.Wait()
	})
}

// What joined is on disk with the next transaction, not before, and only then
// is it told done.
func TestJoin(t *testing.T) {
	f, s := newStore(t)
	var done atomic.Int32
	put := func(key string) {
		f.Join(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("store")).Put([]byte(key), []byte("x")) }, func() { done.Add(1) })
	}
	has := func(key string) bool {
		t.Helper()
		h, err := s.Has([]byte(key))
		ok(t, err)
		return h
	}
	put("a")
	put("b")
	before := f.Commits()
	if has("a") || done.Load() != 0 {
		t.Fatal("written before a transaction")
	}
	if s.Set(make([]byte, bbolt.MaxKeySize+1), []byte("x")) == nil {
		t.Fatal("no error")
	}
	if has("a") || done.Load() != 0 {
		t.Fatal("written by a transaction that failed")
	}
	ok(t, s.Set([]byte("c"), []byte("x")))
	if !has("a") || !has("b") || !has("c") || done.Load() != 2 || f.Commits() != before+1 {
		t.Fatalf("after the transaction: %d done, %d commits", done.Load(), f.Commits()-before)
	}
	ok(t, f.Flush())
	if f.Commits() != before+1 {
		t.Fatal("flush wrote nothing")
	}
	put("d")
	ok(t, f.Flush())
	if !has("d") || done.Load() != 3 {
		t.Fatal("not flushed")
	}
}

func TestJoinConcurrently(t *testing.T) {
	f, s := newStore(t)
	var done atomic.Int32
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				f.Join(func(tx *bbolt.Tx) error {
					b := tx.Bucket([]byte("store"))
					if b.Get(fmt.Appendf(nil, "%d-%d", w, i)) != nil {
						return errors.New("joined twice")
					}
					return b.Put(fmt.Appendf(nil, "%d-%d", w, i), []byte("x"))
				}, func() { done.Add(1) })
				if err := s.Set([]byte("k"), []byte("v")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ok(t, f.Flush())
	if done.Load() != 80 {
		t.Errorf("%d done", done.Load())
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	f, err := boltdb.Open(path)
	ok(t, err)
	s, err := f.Store("s")
	ok(t, err)
	ok(t, s.Set([]byte("k"), []byte("v")))
	ok(t, f.Close())
	if err := s.Set([]byte("k"), []byte("w")); err == nil {
		t.Error("a closed file took a write")
	}
	s, err = open(t, path).Store("s")
	ok(t, err)
	if v, err := s.Get([]byte("k")); string(v) != "v" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	ok(t, os.WriteFile(garbage, bytes.Repeat([]byte("not bbolt "), 2000), 0o600))
	if _, err := boltdb.Open(garbage); !errors.Is(err, boltdb.ErrDamaged) || !strings.Contains(err.Error(), garbage) {
		t.Errorf("garbage: %v", err)
	}
	if _, err := boltdb.Open(filepath.Join(dir, "no", "such.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// A file that lost its end (a disk that lied, a copy cut short) faults when
// its mapping is read. That is an error, not the end of the process.
func TestTornFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	f, err := boltdb.Open(path)
	ok(t, err)
	s, err := f.Store("s")
	ok(t, err)
	fill(t, s, 200, "%03d", 4000)
	ok(t, os.Truncate(path, 3*4096))
	damaged := 0
	for i := range 200 {
		if _, err := s.Get(fmt.Appendf(nil, "%03d", i)); errors.Is(err, boltdb.ErrDamaged) {
			damaged++
		}
	}
	if damaged == 0 {
		t.Fatal("no error")
	}
	select {
	case <-f.Damaged():
	default:
		t.Error("the damage is not told")
	}
	// Nothing waits for a lock that the damage has left taken.
	within(t, func() {
		for _, err := range []error{f.Damage(), s.Set([]byte("new"), []byte("value")), f.Flush(), f.Close()} {
			if err != nil && !errors.Is(err, boltdb.ErrDamaged) {
				t.Errorf("after the damage: %v", err)
			}
		}
		if err := s.Set([]byte("new"), []byte("value")); !errors.Is(err, boltdb.ErrDamaged) {
			t.Errorf("a write after the damage: %v", err)
		}
	})
}

// A panic of the caller's own is an error, but no damage: the file stays open.
func TestPanicIsNoDamage(t *testing.T) {
	f, s := newStore(t)
	var none *struct{ text string }
	var empty []byte
	for name, fn := range map[string]func(*bbolt.Tx) error{
		"a mistake told": func(*bbolt.Tx) error { panic("mistake") },
		"nil":            func(*bbolt.Tx) error { return errors.New(none.text) },
		"an index":       func(tx *bbolt.Tx) error { return fmt.Errorf("%d", empty[int(tx.Size())]) },
	} {
		for kind, run := range map[string]func(func(*bbolt.Tx) error) error{"view": f.View, "update": f.Update} {
			if err := run(fn); err == nil || errors.Is(err, boltdb.ErrDamaged) || !strings.Contains(err.Error(), "panic") {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
	if err := f.Damage(); err != nil {
		t.Errorf("damaged: %v", err)
	}
	within(t, func() { ok(t, s.Set([]byte("k"), []byte("v"))) })
}

// Random damage anywhere gives errors, or goes unnoticed where nothing reads.
func TestOverwrittenPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	f, err := boltdb.Open(path)
	ok(t, err)
	s, err := f.Store("s")
	ok(t, err)
	fill(t, s, 500, "%03d", 100)
	ok(t, f.Close())
	good, err := os.ReadFile(path)
	ok(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		bad := bytes.Clone(good)
		page := rng.IntN(len(bad)/4096) * 4096
		for i := range 4096 {
			bad[page+i] = byte(rng.Uint32())
		}
		damaged := path + ".bad"
		ok(t, os.WriteFile(damaged, bad, 0o600))
		func() {
			f, err := boltdb.Open(damaged)
			if err != nil {
				return
			}
			defer f.Close()
			s, err := f.Store("s")
			if err != nil {
				return
			}
			it, err := s.Iterator(nil, nil)
			if err != nil {
				return
			}
			for ; it.Valid(); it.Next() {
			}
			within(t, func() {
				for range 2 { // no lock is left taken
					_ = s.Set([]byte("250"), []byte("value")) // it may be damaged
				}
			})
		}()
		ok(t, os.Remove(damaged))
	}
}
