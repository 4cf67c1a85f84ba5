package oci_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
)

// usedSpace is what a file system of its own has in use.
func usedSpace(t *testing.T, dir string) (bytes, files uint64) {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return (s.Blocks - s.Bfree) * uint64(s.Bsize), s.Files - s.Ffree
}

// TestSpaceComesBack has images come and go on a file system of their own.
func TestSpaceComesBack(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skip("mounting: ", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, nil) // elsewhere: it only grows
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		t.Fatal(err)
	}
	bytes0, files0 := usedSpace(t, dir)
	free := func(*bbolt.Tx, string) error { return nil }
	shared := layerOf(t, folder("a/"), file("a/shared", strings.Repeat("x", 3<<20)))
	own := func(name string) []byte {
		return archiveOf(t, imageOf(t, shared, layerOf(t, file("own", strings.Repeat(name, 1<<20)))), name)
	}
	one := importAll(t, s, own("a"))[0]
	bytes1, _ := usedSpace(t, dir)
	if one.Size != 4<<20 || bytes1-bytes0 < 4<<20 || bytes1-bytes0 > 4<<20+100<<10 {
		t.Errorf("an image of %d bytes takes %d", one.Size, bytes1-bytes0)
	}
	two := importAll(t, s, own("b"))[0]
	if bytes2, _ := usedSpace(t, dir); two.Size != 4<<20 || bytes2-bytes1 > 1<<20+100<<10 {
		t.Errorf("one of %d bytes that shares 3 MiB takes %d more", two.Size, bytes2-bytes1)
	}
	if err := s.Remove(t.Context(), "a", free); err != nil {
		t.Fatal(err)
	}
	bytes3, _ := usedSpace(t, dir)
	if bytes1 > bytes3+100<<10 || bytes3 > bytes1+100<<10 {
		t.Errorf("with one of two left, %d bytes are in use; with one there were %d", bytes3, bytes1)
	}

	// One is used, what is left of others is found.
	importAll(t, s, own("c"))
	inUse := func(_ *bbolt.Tx, digest string) error {
		if digest == two.Digest {
			return fmt.Errorf("image: %w", oci.ErrInUse)
		}
		return nil
	}
	for _, left := range []string{"staging/layer-1", "layers/" + strings.Repeat("0", 64)} {
		if err := os.MkdirAll(filepath.Join(dir, "images", left, "deep"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "images", left, "deep", "file"), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := usedSpace(t, dir)
	removed, freed, err := s.Prune(t.Context(), inUse)
	after, _ := usedSpace(t, dir)
	if err != nil || len(removed) != 1 || removed[0].References[0] != "c:latest" {
		t.Errorf("%+v, %v", removed, err)
	}
	if uint64(freed) != before-after || freed < 3<<20 {
		t.Errorf("%d bytes are said to be free, and %d are", freed, before-after)
	}
	if _, err := s.Get("b"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Prune(t.Context(), free); err != nil {
		t.Error(err)
	}
	if bytes4, files4 := usedSpace(t, dir); bytes4 != bytes0 || files4 != files0 {
		t.Errorf("%d bytes and %d files are left of nothing", bytes4-bytes0, files4-files0)
	}
	fail := errors.New("the database is gone")
	importAll(t, s, own("d"))
	if _, _, err := s.Prune(t.Context(), func(*bbolt.Tx, string) error { return fail }); !errors.Is(err, fail) {
		t.Error(err)
	}
	if _, err := s.Get("d"); err != nil {
		t.Errorf("a prune that failed has removed something: %v", err)
	}
}

// TestImportsThatEnd has clients go away.
func TestImportsThatEnd(t *testing.T) {
	tr := newTrial(t)
	raw := archiveOf(t, imageOf(t, layerOf(t, file("a", strings.Repeat("x", 1<<20)))), "x")
	gone := errors.New("the client is gone")
	if _, err := tr.Import(t.Context(), io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(gone)), ""); !errors.Is(err, gone) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	half := &callAt{Reader: bytes.NewReader(raw), at: len(raw) / 2, call: cancel}
	if _, err := tr.Import(ctx, half, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if after := tr.state(); !slices.Equal(after, tr.before) {
		t.Errorf("something is left: %v", after)
	}
	// One that does not go on keeps nobody waiting.
	reader, writer := io.Pipe()
	stuck := make(chan error, 1)
	go func() {
		_, err := tr.Import(t.Context(), reader, "")
		stuck <- err
	}()
	if _, err := writer.Write(raw[:100]); err != nil {
		t.Fatal(err)
	}
	importAll(t, tr.Store, raw)
	if err := tr.Remove(t.Context(), "x", func(*bbolt.Tx, string) error { return nil }); err != nil {
		t.Error(err)
	}
	writer.CloseWithError(gone)
	if err := <-stuck; !errors.Is(err, gone) {
		t.Error(err)
	}
}

type callAt struct {
	io.Reader
	at   int
	call func()
}

func (c *callAt) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p[:min(len(p), 10_000)])
	if c.at -= n; c.at < 0 {
		c.call()
	}
	return n, err
}

// TestLostLayer has the disk lose a layer: the same import brings it back.
func TestLostLayer(t *testing.T) {
	tr := newTrial(t)
	raw := archiveOf(t, imageOf(t, layerOf(t, file("a", "1"))), "x")
	image := importAll(t, tr.Store, raw)[0]
	if err := os.RemoveAll(tr.Lowers(image)[0]); err != nil {
		t.Fatal(err)
	}
	image = importAll(t, tr.Store, raw)[0]
	if got, err := oci.Layers(tr.Lowers(image)).ReadFile("a", 10); err != nil || string(got) != "1" {
		t.Errorf("%q, %v", got, err)
	}
}
