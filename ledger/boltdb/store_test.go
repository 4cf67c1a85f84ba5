package boltdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"testing"

	dbm "github.com/cometbft/cometbft-db"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/ledger/boltdb"
)

func open(t testing.TB, path string) *boltdb.File {
	t.Helper()
	f, err := boltdb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func newStore(t testing.TB) (*boltdb.File, *boltdb.Store) {
	t.Helper()
	f := open(t, filepath.Join(t.TempDir(), "test.db"))
	s, err := f.Store("store")
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGetSetDelete(t *testing.T) {
	_, s := newStore(t)
	key, value := []byte("key"), []byte("value")
	if v, err := s.Get(key); v != nil || err != nil {
		t.Fatalf("missing key: %q, %v", v, err)
	}
	ok(t, s.Set(key, value))
	ok(t, s.SetSync([]byte("empty"), []byte{}))
	if v, err := s.Get(key); !bytes.Equal(v, value) || err != nil {
		t.Fatalf("got %q, %v", v, err)
	}
	if v, err := s.Get([]byte("empty")); v == nil || len(v) != 0 || err != nil {
		t.Fatalf("an empty value is not a missing one: %v, %v", v, err)
	}
	if has, err := s.Has([]byte("empty")); !has || err != nil {
		t.Fatalf("has = %v, %v", has, err)
	}
	ok(t, s.Delete(key))
	ok(t, s.DeleteSync(key))
	if has, err := s.Has(key); has || err != nil {
		t.Fatalf("has = %v, %v", has, err)
	}
}

func TestMisuse(t *testing.T) {
	_, s := newStore(t)
	_, getErr := s.Get(nil)
	_, hasErr := s.Has([]byte{})
	_, iterErr := s.Iterator([]byte{}, nil)
	_, reverseErr := s.ReverseIterator(nil, []byte{})
	b := s.NewBatch()
	for name, err := range map[string]error{
		"get": getErr, "has": hasErr, "set": s.Set(nil, []byte("v")), "delete": s.Delete([]byte{}),
		"iterator": iterErr, "reverse": reverseErr, "batch set": b.Set(nil, []byte("v")), "batch delete": b.Delete(nil),
	} {
		if !errors.Is(err, boltdb.ErrKeyEmpty) {
			t.Errorf("%s of an empty key: %v", name, err)
		}
	}
	if err := s.Set([]byte("k"), nil); !errors.Is(err, boltdb.ErrValueNil) {
		t.Errorf("nil value: %v", err)
	}
	ok(t, b.Write())
	for name, err := range map[string]error{"set": b.Set([]byte("k"), []byte("v")), "delete": b.Delete([]byte("k")), "write": b.Write(), "sync": b.WriteSync()} {
		if !errors.Is(err, boltdb.ErrBatchClosed) {
			t.Errorf("%s on a batch that was written: %v", name, err)
		}
	}
	ok(t, b.Close())
}

func TestStoresAreApart(t *testing.T) {
	f, s := newStore(t)
	other, err := f.Store("other")
	ok(t, err)
	ok(t, s.Set([]byte("k"), []byte("1")))
	ok(t, other.Set([]byte("k"), []byte("2")))
	ok(t, s.Close()) // the file stays open for the other store
	v, err := other.Get([]byte("k"))
	if string(v) != "2" || err != nil {
		t.Fatalf("got %q, %v", v, err)
	}
}

func TestBatchIsOneTransaction(t *testing.T) {
	f, s := newStore(t)
	ok(t, s.Set([]byte("gone"), []byte("x")))
	before := f.Commits()
	b := s.NewBatch()
	for i := range 1000 {
		ok(t, b.Set(fmt.Appendf(nil, "key %d", i), bytes.Repeat([]byte{1}, i)))
	}
	ok(t, b.Delete([]byte("gone")))
	ok(t, b.Set([]byte("twice"), []byte("1")))
	ok(t, b.Set([]byte("twice"), []byte("2")))
	ok(t, b.WriteSync())
	if n := f.Commits() - before; n != 1 {
		t.Errorf("%d transactions", n)
	}
	if has, _ := s.Has([]byte("gone")); has {
		t.Error("not deleted")
	}
	if v, _ := s.Get([]byte("twice")); string(v) != "2" {
		t.Errorf("got %q", v)
	}
	if v, _ := s.Get([]byte("key 999")); len(v) != 999 {
		t.Errorf("%d bytes", len(v))
	}
}

// A batch that fails half way leaves nothing: bbolt refuses the long key.
func TestBatchIsAllOrNothing(t *testing.T) {
	_, s := newStore(t)
	b := s.NewBatch()
	ok(t, b.Set([]byte("first"), []byte("x")))
	ok(t, b.Set(make([]byte, bbolt.MaxKeySize+1), []byte("x")))
	if b.Write() == nil {
		t.Fatal("no error")
	}
	if has, _ := s.Has([]byte("first")); has {
		t.Error("half of the batch is there")
	}
}

func TestLargeValues(t *testing.T) {
	_, s := newStore(t)
	for _, size := range []int{4095, 4096, 4097, 1 << 20, 5 << 20} {
		value := bytes.Repeat([]byte{byte(size)}, size)
		ok(t, s.Set([]byte("k"), value))
		if v, err := s.Get([]byte("k")); !bytes.Equal(v, value) || err != nil {
			t.Fatalf("%d bytes: got %d, %v", size, len(v), err)
		}
	}
}

// collect gives an iterator's keys, and checks that values belong to them.
func collect(t interface{ Fatal(...any) }, it dbm.Iterator, err error) (keys []string) {
	if err != nil {
		t.Fatal(err)
	}
	for ; it.Valid(); it.Next() {
		if string(it.Value()) != "v"+string(it.Key()) {
			t.Fatal("value of another key")
		}
		keys = append(keys, string(it.Key()))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// Ranges in both directions, against a sorted slice, with more keys than an
// iterator reads at a time.
func TestIterators(t *testing.T) {
	_, s := newStore(t)
	b := s.NewBatch()
	var all []string
	for i := range 300 {
		k := fmt.Sprintf("%03x", i*7)
		all = append(all, k)
		ok(t, b.Set([]byte(k), []byte("v"+k)))
	}
	ok(t, b.Write())
	sort.Strings(all)
	bound := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.Bool().Draw(t, "open") {
			return nil
		}
		return []byte(rapid.StringMatching(`[0-9a-f]{1,4}`).Draw(t, "bound"))
	})
	rapid.Check(t, func(t *rapid.T) {
		start, end := bound.Draw(t, "start"), bound.Draw(t, "end")
		var want []string
		for _, k := range all {
			if (start == nil || k >= string(start)) && (end == nil || k < string(end)) {
				want = append(want, k)
			}
		}
		it, err := s.Iterator(start, end)
		if got := collect(t, it, err); !slices.Equal(got, want) {
			t.Fatalf("forward: got %v, want %v", got, want)
		}
		slices.Reverse(want)
		it, err = s.ReverseIterator(start, end)
		if got := collect(t, it, err); !slices.Equal(got, want) {
			t.Fatalf("reverse: got %v, want %v", got, want)
		}
	})
}

func TestIteratorUse(t *testing.T) {
	_, s := newStore(t)
	ok(t, s.Set([]byte("a"), []byte("va")))
	it, err := s.Iterator([]byte("a"), []byte("b"))
	ok(t, err)
	if start, end := it.Domain(); string(start) != "a" || string(end) != "b" {
		t.Errorf("domain %q, %q", start, end)
	}
	it.Next()
	if it.Valid() {
		t.Error("valid behind the end")
	}
	for name, fn := range map[string]func(){"next": it.Next, "key": func() { it.Key() }, "value": func() { it.Value() }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s behind the end does not panic", name)
				}
			}()
			fn()
		}()
	}
	ok(t, it.Close())
}
