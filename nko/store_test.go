//go:build !guest

package nko

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/ledger"
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
