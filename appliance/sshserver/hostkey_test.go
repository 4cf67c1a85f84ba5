package sshserver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestHostKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssh", "host_ed25519")
	first, err := HostKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.PublicKey().Type() != ssh.KeyAlgoED25519 {
		t.Errorf("a key of type %s", first.PublicKey().Type())
	}
	second, err := HostKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.PublicKey().Marshal(), second.PublicKey().Marshal()) {
		t.Error("the second time it is another key")
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside the key: %v, %v", entries, err)
	}
	// What is garbled stays as it is.
	if err := os.WriteFile(path, []byte("garbled"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(path); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a garbled key: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "garbled" {
		t.Errorf("it is now %q, %v", text, err)
	}
}

func TestHostKeyIsOnTheMedium(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "ssh", "host_ed25519")
	var synced []string
	if _, err := makeHostKey(path, func(folder string) error {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("synced too soon: %v", err)
		}
		synced = append(synced, folder)
		return syncFolder(folder)
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Dir(path), folder}; !slices.Equal(synced, want) {
		t.Errorf("synced %q, want %q", synced, want)
	}
	broken := errors.New("input/output error")
	if key, err := makeHostKey(path, func(string) error { return broken }); key != nil || !errors.Is(err, broken) {
		t.Errorf("a key that may be gone is given: %v, %v", key, err)
	}
}
