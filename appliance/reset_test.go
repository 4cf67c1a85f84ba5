package appliance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/appliance/blockdev"
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
		{true, []string{kept + "entroos.db", kept + "ledger/genesis.json", "damaged-old/entroos.db", "lost+found/#1", "volumes/v/kept"}},
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

// TestResetOnABadDisk has a box start, with new records, on a disk that deletes
// nothing, and on one where the boot before had only set the evidence aside.
func TestResetOnABadDisk(t *testing.T) {
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	const kept = "damaged-20261123T010203Z"
	begin := func(t *testing.T) (folder string, restart func()) {
		folder = dataFolder(t)
		if err := requestReset(folder, true, now); err != nil {
			t.Fatal(err)
		}
		return folder, func() {
			for _, path := range []string{"entroos.db", "ledger/genesis.json"} {
				path = filepath.Join(folder, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("new"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	evidence := func(t *testing.T, folder string) {
		t.Helper()
		for _, name := range []string{"entroos.db", "ledger/genesis.json"} {
			if text, err := os.ReadFile(filepath.Join(folder, kept, name)); err != nil || string(text) == "new" {
				t.Errorf("the evidence %s is %q, %v", name, text, err)
			}
		}
	}
	t.Run("set aside only", func(t *testing.T) {
		folder, restart := begin(t)
		if err := setAside(folder, kept); err != nil {
			t.Fatal(err)
		}
		restart()
		if err := takeReset(folder); err != nil {
			t.Fatal(err)
		}
		evidence(t, folder)
	})
	t.Run("deletes nothing", func(t *testing.T) {
		folder, restart := begin(t)
		// A mount point cannot be removed, but its parent can be renamed.
		stuck := filepath.Join(folder, "images", "layer")
		if err := unix.Mount("tmpfs", stuck, "tmpfs", 0, ""); err != nil {
			t.Skipf("mounting takes root: %v", err)
		}
		mounted := func() string {
			found, err := filepath.Glob(filepath.Join(folder, trashPrefix+"*", "images", "layer"))
			if err != nil || len(found) != 1 {
				return stuck
			}
			return found[0]
		}
		unmount := func() error { return unix.Unmount(mounted(), unix.MNT_DETACH) }
		t.Cleanup(func() { _ = unmount() }) // when the test has failed before
		if err := takeReset(folder); err != nil {
			t.Fatal(err)
		}
		restart()
		if err := takeReset(folder); err != nil {
			t.Fatal(err)
		}
		evidence(t, folder)
		if text, err := os.ReadFile(filepath.Join(folder, "entroos.db")); err != nil || string(text) != "new" {
			t.Errorf("the next boot began anew again: %q, %v", text, err)
		}
		if mounted() == stuck {
			t.Fatal("nothing was in the way of deleting")
		}
		if err := unmount(); err != nil {
			t.Fatal(err)
		}
		if err := takeReset(folder); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(folder, trashPrefix+"*")); err != nil || len(left) > 0 {
			t.Errorf("left are %q, %v", left, err)
		}
	})
}

// cutDisk is a disk in memory that loses its power after so many bytes.
type cutDisk struct {
	content []byte
	left    int
}

var errPowerCut = errors.New("the power is cut")

func (d *cutDisk) WriteAt(p []byte, at int64) (int, error) {
	n := copy(d.content[at:], p[:min(len(p), d.left)])
	d.left -= n
	if n < len(p) {
		return n, errPowerCut
	}
	return n, nil
}

func (d *cutDisk) ReadAt(p []byte, at int64) (int, error) { return copy(p, d.content[at:]), nil }
func (d *cutDisk) Zero(int64, int64) error                { return errors.ErrUnsupported }
func (d *cutDisk) Sync() error                            { return nil }
func (d *cutDisk) Forget() error                          { return nil }

// TestDataIsMadeHeadLast cuts the power at any point: there is no beginning of a
// file system, neither of the old one nor of the new one, before all else is new.
func TestDataIsMadeHeadLast(t *testing.T) {
	const size = 4 << 20
	old, content := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)
	rapid.Check(t, func(t *rapid.T) {
		d := &cutDisk{content: bytes.Clone(old), left: rapid.IntRange(4096, size+headSize).Draw(t, "bytes until the cut")}
		cut := d.left < size+headSize
		var changed []int64
		err := putData(context.Background(), d, blockdev.Part{
			Name: "it", Size: size, Content: bytes.NewReader(content),
			Change: func(offset int64, _ []byte) error { changed = append(changed, offset); return nil },
		})
		if errors.Is(err, errPowerCut) != cut || !cut && err != nil {
			t.Fatal(err)
		}
		if d.content[1024] == 1 || d.content[1024] == 2 && !bytes.Equal(d.content[headSize:], content[headSize:]) {
			t.Fatalf("it begins with %d, and what follows is not that file system", d.content[1024])
		}
		if !cut && (!bytes.Equal(d.content, content) || !slices.Equal(changed, []int64{1 << 20, 2 << 20, 3 << 20, 0})) {
			t.Fatalf("not whole, or changed at %v", changed)
		}
	})
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
