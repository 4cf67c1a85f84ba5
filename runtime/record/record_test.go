package record_test

import (
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
}
