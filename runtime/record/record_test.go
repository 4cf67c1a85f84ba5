package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/record"
)

type thing struct{ Name string }

const things record.Bucket[thing] = "things"

func open(t *testing.T, path string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestBucket(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	missing := record.View(db, func(tx *bbolt.Tx) error {
		_, _, err := things.Get(tx, "a")
		return err
	})
	if missing == nil || !strings.Contains(missing.Error(), "things") {
		t.Error(missing)
	}
	err := record.Update(db, func(tx *bbolt.Tx) error {
		if err := things.Create(tx); err != nil {
			return err
		}
		for _, k := range []string{"b", "a", "c"} {
			if err := things.Put(tx, k, thing{strings.ToUpper(k)}); err != nil {
				return err
			}
		}
		return things.Delete(tx, "c")
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys, names string
	err = record.View(db, func(tx *bbolt.Tx) error {
		if v, ok, err := things.Get(tx, "a"); err != nil || !ok || v.Name != "A" {
			t.Errorf("%v, %t, %v", v, ok, err)
		}
		if _, ok, err := things.Get(tx, "c"); err != nil || ok {
			t.Errorf("%t, %v", ok, err)
		}
		return things.Each(tx, func(k string, v thing) error {
			keys, names = keys+k, names+v.Name
			return nil
		})
	})
	if err != nil || keys != "ab" || names != "AB" {
		t.Errorf("%s, %s, %v", keys, names, err)
	}
	err = record.Update(db, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(things)).Put([]byte("x"), []byte("{")) })
	if err != nil {
		t.Fatal(err)
	}
	err = record.View(db, func(tx *bbolt.Tx) error {
		_, _, err := things.Get(tx, "x")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "things/x") {
		t.Errorf("a record of rubbish: %v", err)
	}
}

// TestFault takes the file away under the database, as a bad sector does.
func TestFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path)
	err := record.Update(db, func(tx *bbolt.Tx) error {
		if err := things.Create(tx); err != nil {
			return err
		}
		return things.Put(tx, "a", thing{strings.Repeat("x", 1<<20)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	err = record.View(db, func(tx *bbolt.Tx) error {
		_, _, err := things.Get(tx, "a")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a fault gave %v", err)
	}
	// The file is closed from now on, for others too, who are told why.
	if again := record.View(db, func(*bbolt.Tx) error { return nil }); !errors.Is(again, record.ErrDamaged) {
		t.Errorf("after the fault, a view gives %v", again)
	}
	if again := record.Update(db, things.Create); !errors.Is(again, record.ErrDamaged) {
		t.Errorf("after the fault, an update gives %v", again)
	}
	if told := record.Damage(db); told == nil || told.Error() != err.Error() {
		t.Errorf("the damage is told as %v, was %v", told, err)
	}
	other := open(t, filepath.Join(t.TempDir(), "db"))
	if err := errors.Join(record.Damage(other), record.Update(other, things.Create)); err != nil {
		t.Errorf("another file: %v", err)
	}
}

// TestGarbledPages overwrites pages of an open file, each in turn.
func TestGarbledPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	good := open(t, path)
	err := record.Update(good, func(tx *bbolt.Tx) error {
		if err := things.Create(tx); err != nil {
			return err
		}
		for i := range 1000 { // branch and leaf pages
			if err := things.Put(tx, fmt.Sprint(i), thing{strings.Repeat("x", 100)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := good.Info().PageSize
	all := func(tx *bbolt.Tx) error { return things.Each(tx, func(string, thing) error { return nil }) }
	damaged := 0
	for page := 2; page < len(content)/size; page++ {
		bad := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		db := open(t, bad)
		garble(t, bad, page*size, size)
		if err := record.View(db, all); errors.Is(err, record.ErrDamaged) {
			damaged++
		} else if err != nil {
			t.Errorf("page %d: %v", page, err)
		}
		for range 2 { // the lock is free again
			_ = record.Update(db, func(tx *bbolt.Tx) error {
				return errors.Join(things.Put(tx, "500", thing{"y"}), things.Delete(tx, "7"))
			})
		}
	}
	if damaged < 10 {
		t.Errorf("%d damaged pages were met", damaged)
	}
}

// TestGarbledHeaders takes both headers, with bbolt's locks held.
func TestGarbledHeaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	garble(t, path, 0, 2*db.Info().PageSize)
	for range 2 {
		if err := record.Update(db, things.Create); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("update: %v", err)
		}
		if err := record.View(db, func(*bbolt.Tx) error { return nil }); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("view: %v", err)
		}
	}
	if err := record.Close(db); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("close: %v", err)
	}
}

// TestPanic has a panic of the caller's own: it is no damage.
func TestPanic(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	if err := record.Update(db, things.Create); err != nil {
		t.Fatal(err)
	}
	err := record.Update(db, func(tx *bbolt.Tx) error {
		if err := things.Put(tx, "a", thing{"A"}); err != nil {
			return err
		}
		panic("mistake")
	})
	if err == nil || errors.Is(err, record.ErrDamaged) || !strings.Contains(err.Error(), "mistake") {
		t.Errorf("a panic gave %v", err)
	}
	err = record.View(db, func(tx *bbolt.Tx) error {
		if _, ok, err := things.Get(tx, "a"); err != nil || ok {
			t.Errorf("after the panic: %t, %v", ok, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// garble writes rubbish into a file under its database.
func garble(t *testing.T, path string, at, length int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, length), int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
