//go:build !guest

package nko

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
	"github.com/entroos/entroos/runtime/record"
)

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStoreEndIsAllOrNothing(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "entroos.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := &entroosv1.Container{Id: "a"}
	if err := s.End(StartRecord{Container: "a"}.receipt(ledger.OutcomeExited), c); err == nil {
		t.Fatal("a receipt without a start record")
	}
	if err := s.Begin(StartRecord{Container: "a"}, c); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(StartRecord{Container: "a"}, c); err == nil {
		t.Fatal("two executions of one container")
	}
	if err := s.DeleteContainer("a"); err == nil {
		t.Fatal("a running container was forgotten")
	}
	bad := StartRecord{Container: "a"}.receipt(99)
	if err := s.End(bad, c); err == nil {
		t.Fatal("a receipt that cannot be encoded")
	}
	if starts, err := s.Starts(); err != nil || len(starts) != 1 {
		t.Fatalf("after a failed end: %v %v", starts, err)
	}
	if n, _, err := s.Last(); err != nil || n != 0 {
		t.Fatalf("after a failed end: sequence %d %v", n, err)
	}
	if err := s.End(StartRecord{Container: "a"}.receipt(ledger.OutcomeExited), c); err != nil {
		t.Fatal(err)
	}
	if n, p, err := s.Last(); err != nil || n != 1 || p == [32]byte{} {
		t.Fatalf("sequence %d, P %x, error %v", n, p, err)
	}
	if n, err := s.OutboxLen(); err != nil || n != 1 {
		t.Fatalf("%d in the outbox, error %v", n, err)
	}
}

func TestStoreRefusesDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entroos.db")
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"no file of ours": func([]byte) []byte { return bytes.Repeat([]byte("x"), 65536) },
		"cut":             func(b []byte) []byte { return b[:5000] },
		"both headers":    func(b []byte) []byte { copy(b, make([]byte, 8192)); return b },
		"pages":           func(b []byte) []byte { copy(b[8192:], bytes.Repeat([]byte{0xff}, len(b)-8192)); return b },
	} {
		bad := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(bad, damage(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenStore(bad); err == nil {
			t.Errorf("%s: opened", name)
			s.Close()
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestStoreGarbledWhileOpen overwrites pages of an open store: all but the
// headers, then only those of one bucket.
func TestStoreGarbledWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entroos.db")
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200 // more than a page of each
	for i := range n {
		id := fmt.Sprintf("%064x", i)
		c := &entroosv1.Container{Id: id, Spec: &entroosv1.WorkloadSpec{Image: "busybox"}}
		receipt := StartRecord{Container: id}.receipt(ledger.OutcomeExited)
		err := errors.Join(s.Begin(StartRecord{Container: id}, c), s.SetStopped(id, true), s.End(receipt, c),
			s.Begin(StartRecord{Container: id}, c))
		if err != nil {
			t.Fatal(err)
		}
	}
	id := fmt.Sprintf("%064x", 7)
	c := &entroosv1.Container{Id: id}
	methods := map[string]func(*Store) error{
		"Containers":      func(s *Store) error { _, _, err := s.Containers(); return err },
		"PutContainer":    func(s *Store) error { return s.PutContainer(c) },
		"SetStopped":      func(s *Store) error { return s.SetStopped(id, false) },
		"DeleteContainer": func(s *Store) error { return s.DeleteContainer(id) },
		"Begin":           func(s *Store) error { return s.Begin(StartRecord{Container: "new"}, &entroosv1.Container{Id: "new"}) },
		"Starts":          func(s *Store) error { _, err := s.Starts(); return err },
		"End":             func(s *Store) error { return s.End(StartRecord{Container: id}.receipt(ledger.OutcomeExited), c) },
		"Executions":      func(s *Store) error { _, err := s.Executions(); return err },
		"Last":            func(s *Store) error { _, _, err := s.Last(); return err },
		"Outbox":          func(s *Store) error { _, err := s.Outbox(0, 1000); return err },
		"OutboxLen":       func(s *Store) error { _, err := s.OutboxLen(); return err },
		"Committed":       func(s *Store) error { return s.Committed([]uint64{1, 2, n}) },
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	// With one page garbled, a method may not meet it; it must not panic, and
	// an error says what it is.
	for at := 2 * page; at < len(content); at += 4 * page {
		s := garbled(t, content, at, page)
		for name, call := range methods {
			if err := call(s); err != nil {
				t.Logf("page %d: %s: %v", at/page, name, err)
			}
		}
	}
	s = garbled(t, content, 2*page, len(content)-2*page)
	for range 2 { // a lock that was kept would hold up the second round
		for name, call := range methods {
			if err := call(s); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// garbled opens a copy of a store, and then overwrites a part of its file.
func garbled(t *testing.T, content []byte, at, length int) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "entroos.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, length), int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return s
}
