package appliance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// dataFolder lays out a data partition.
func dataFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, path := range []string{"entroos.db", "ledger/genesis.json", "images/layer/file", "logs/c/log", "volumes/v/kept", "lost+found/#1", "damaged-old/entroos.db"} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// files lists what is left, relative to the folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(folder, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestReset(t *testing.T) {
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	const kept = "damaged-20261123T010203Z/"
	for _, c := range []struct {
		keepVolumes bool
		want        []string
	}{
		{false, []string{"lost+found/#1"}},
		{true, []string{kept + "entroos.db", kept + "ledger/genesis.json", "lost+found/#1", "volumes/v/kept"}},
	} {
		folder := dataFolder(t)
		before := files(t, folder)
		if err := takeReset(folder); err != nil || !slices.Equal(files(t, folder), before) {
			t.Fatalf("nobody asked: %v, %q", err, files(t, folder))
		}
		if err := requestReset(folder, c.keepVolumes, now); err != nil {
			t.Fatal(err)
		}
		if got := files(t, folder); !slices.Equal(got, append([]string{".reset"}, before...)) {
			t.Fatalf("asking changed %q", got)
		}
		// Cut off in the middle, whatever was done: the next boot goes on.
		if c.keepVolumes {
			if err := setAside(folder, strings.TrimSuffix(kept, "/")); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := takeReset(folder); err != nil {
				t.Fatal(err)
			}
		}
		if got := files(t, folder); !slices.Equal(got, c.want) {
			t.Errorf("keep volumes %v: left are %q, want %q", c.keepVolumes, got, c.want)
		}
	}
}

func TestResetThatIsNotKnown(t *testing.T) {
	for _, text := range []string{"", "everything", "records", "records ../volumes", "records damaged-../../x", "all volumes"} {
		folder := dataFolder(t)
		before := files(t, folder)
		if err := os.WriteFile(filepath.Join(folder, ".reset"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := takeReset(folder); err == nil {
			t.Errorf("%q is obeyed", text)
		}
		if got := files(t, folder); !slices.Equal(got, append([]string{".reset"}, before...)) {
			t.Errorf("%q left %q", text, got)
		}
	}
}

func TestComplaint(t *testing.T) {
	const text = "e2fsck 1.47\n/dev/sda4: Inode 12 has a bad extent\n\n/dev/sda4: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n\t(i.e., without -a or -p options)\n"
	if got := complaint(text); got != "/dev/sda4: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY." {
		t.Errorf("%q", got)
	}
}
