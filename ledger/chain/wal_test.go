package chain

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWALSweep(t *testing.T) {
	dir := t.TempDir()
	head := filepath.Join(dir, "wal")
	left := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	touch := func(names ...string) {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := newWALSweeper(head, slog.New(slog.DiscardHandler))
	touch("wal", "wal.000", "wal.001", "wal.CORRUPTED", "wal.notes")
	for _, step := range []struct {
		height int64
		left   string
	}{
		{10, "wal wal.000 wal.001 wal.CORRUPTED wal.notes"},
		{11, "wal wal.000 wal.001 wal.CORRUPTED wal.notes"},
		{12, "wal wal.notes"},
	} {
		w.sweep(step.height)
		if got := left(); got != step.left {
			t.Errorf("at height %d: %s, want %s", step.height, got, step.left)
		}
	}
	touch("wal.002")
	w.sweep(12)
	w.sweep(13)
	if got := left(); got != "wal wal.002 wal.notes" {
		t.Errorf("got %s", got)
	}
}
