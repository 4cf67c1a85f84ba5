package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/space"
)

func open(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// list gives what is in a folder, with all that Copy copies.
func list(t *testing.T, dir string, shift uint32) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		content := ""
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(raw)
		case info.Mode()&fs.ModeSymlink != 0:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		value := make([]byte, 100)
		n, err := unix.Lgetxattr(path, "user.x", value)
		if err != nil {
			n = 0
		}
		name, err := filepath.Rel(dir, path)
		links := s.Nlink
		if d.IsDir() {
			links = 0
		}
		all = append(all, fmt.Sprintf("%s %v %d:%d %d %q %q %d", name, info.Mode(), s.Uid-shift, s.Gid-shift, info.ModTime().Unix(), content, value[:n], links))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCopy(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("other owners take root")
	}
	const shift = 1 << 20
	from, to := t.TempDir(), t.TempDir()
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(from, name) }
	must(
		os.MkdirAll(at("a/b/c"), 0o755), os.WriteFile(at("a/file"), []byte("content"), 0o640), os.Link(at("a/file"), at("a/b/hard")),
		os.Symlink("/etc/passwd", at("a/link")), os.Link(at("a/link"), at("linked")), unix.Mkfifo(at("a/fifo"), 0o622),
		unix.Mknod(at("a/device"), unix.S_IFCHR|0o666, 0), os.WriteFile(at("suid"), []byte("x"), 0o755), os.WriteFile(at("empty"), nil, 0),
	)
	if err := unix.Setxattr(at("a/file"), "user.x", []byte("y"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	for i, name := range []string{"a/file", "a/b", "suid", ".", "a/link"} {
		must(os.Lchown(at(name), shift+i*10, shift+i*20))
	}
	for _, name := range []string{"a", "a/b/c", "a/fifo", "linked", "empty"} {
		must(os.Lchown(at(name), shift, shift))
	}
	must(os.Chmod(at("suid"), 0o4755|fs.ModeSetuid), os.Chmod(from, 0o1777|fs.ModeSticky))
	old := time.Unix(1_000_000_000, 0)
	for _, name := range []string{"a/file", "a/b/c", "a/b", "a", "suid", "empty", "."} {
		must(os.Chtimes(at(name), old, old))
	}
	must(unix.Unlink(at("a/device")))
	must(os.Chtimes(at("a"), old, old))
	want := list(t, from, shift)
	must(unix.Mknod(at("a/device"), unix.S_IFCHR|0o666, 0)) // is left out
	must(os.Chtimes(at("a"), old, old))

	room, err := space.NewRoom(to)
	must(err)
	must(Copy(open(t, to), open(t, from), func(id uint32) (uint32, error) { return id - shift, nil }, room))
	if got := list(t, to, 0); !slices.Equal(got, want) {
		t.Errorf("the copy is\n%q\nnot\n%q", got, want)
	}
}

func TestCopyRefuses(t *testing.T) {
	same := func(id uint32) (uint32, error) { return id, nil }
	from := t.TempDir()
	nest(t, from, 350)
	room, err := space.NewRoom(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := Copy(open(t, t.TempDir()), open(t, from), same, room); !errors.Is(err, ErrTooDeep) {
		t.Error(err)
	}
	foreign := errors.New("foreign")
	if err := Copy(open(t, t.TempDir()), open(t, from), func(uint32) (uint32, error) { return 0, foreign }, room); !errors.Is(err, foreign) {
		t.Error(err)
	}
	if err := Remove(filepath.Join(from, "folder")); err != nil {
		t.Error(err)
	}
	// A file that is larger than what is left.
	if err := os.Truncate(filepath.Join(from, "file"), 1<<43); err != nil {
		t.Skip("this file system has no such file: ", err)
	}
	if err := Copy(open(t, t.TempDir()), open(t, from), same, room); !errors.Is(err, space.ErrFull) {
		t.Error(err)
	}
}
