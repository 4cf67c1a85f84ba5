package logfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// contents is all that the log holds.
func contents(t *testing.T, l *Log) string {
	t.Helper()
	var got strings.Builder
	if err := l.Read(t.Context(), -1, false, func(e Entry) error {
		got.Write(e.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func append1(l *Log, text string) error { return l.Append(time.Now(), Stdout, []byte(text)) }

func mustOpen(t *testing.T, dir string, bound int64) *Log {
	t.Helper()
	l, err := Open(dir, bound)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestFullDisk has the disk refuse two entries.
func TestFullDisk(t *testing.T) {
	l := mustOpen(t, t.TempDir(), 1<<20)
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := append1(l, "begun, "); err != nil {
		t.Fatal(err)
	}
	file := l.file
	l.file = full
	for range 2 {
		if err := append1(l, "12345"); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	l.file = file
	for range 2 {
		if err := append1(l, "more\n"); err != nil {
			t.Fatal(err)
		}
	}
	gap := "[10 bytes of output are missing here: they could not be logged]\n"
	if got, want := contents(t, l), "begun, \n"+gap+"more\nmore\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	// What is lost last is told at the end.
	l.file = full
	if err := append1(l, "the last 0"); err == nil {
		t.Fatal("a full disk took it")
	}
	l.file = file
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := contents(t, l); !strings.HasSuffix(got, "more\n"+gap) {
		t.Errorf("at its end %q", got)
	}
}

// TestRotationFails has each step of a rotation fail once.
func TestRotationFails(t *testing.T) {
	entry := strings.Repeat("x", 99) + "\n" // of which four fill half of the log
	for name, step := range map[string]struct {
		fail func(l *Log) (mend func() error, err error)
		lost bool
	}{
		"first rename": {func(l *Log) (func() error, error) {
			obstacle := filepath.Join(l.dir, previousName, "obstacle")
			return func() error { return os.RemoveAll(filepath.Dir(obstacle)) }, os.MkdirAll(obstacle, 0o700)
		}, true},
		"second rename": {func(l *Log) (func() error, error) {
			// As it is when current could not be replaced.
			err := os.Rename(filepath.Join(l.dir, currentName), filepath.Join(l.dir, previousName))
			return func() error { return nil }, err
		}, false},
		"close": {func(l *Log) (func() error, error) {
			return func() error { return nil }, l.file.Close()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := mustOpen(t, t.TempDir(), 1000)
			for range 4 {
				if err := append1(l, entry); err != nil {
					t.Fatal(err)
				}
			}
			mend, err := step.fail(l)
			if err != nil {
				t.Fatal(err)
			}
			if err := append1(l, entry); (err != nil) != step.lost {
				t.Fatal(err)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			if err := append1(l, "after\n"); err != nil {
				t.Fatal(err)
			}
			gap := ""
			want := strings.Repeat(entry, 5)
			if step.lost {
				gap = "[100 bytes of output are missing here: they could not be logged]\n"
				want = strings.Repeat(entry, 4)
			}
			if got := contents(t, l); got != want+gap+"after\n" {
				t.Errorf("it holds %q", got)
			}
			if err := l.Close(); (err != nil) != (name == "close") {
				t.Error(err)
			}
			if names, err := filepath.Glob(filepath.Join(l.dir, nextPattern)); err != nil || len(names) > 0 {
				t.Errorf("left are %v, %v", names, err)
			}
		})
	}
}

func TestUnfinishedRotationIsRemoved(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "next-123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, dir, 1000)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("files %v, %v", entries, err)
	}
}
