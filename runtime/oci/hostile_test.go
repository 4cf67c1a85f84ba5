package oci_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/space"
)

// nothingLeft checks that a refused import changed nothing.
func nothingLeft(t testing.TB, s *oci.Store, dir string) {
	t.Helper()
	if images, err := s.Images(); err != nil || len(images) > 0 {
		t.Errorf("images are left: %+v, %v", images, err)
	}
	for _, sub := range []string{"layers", "staging"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v, %v", sub, entries, err)
		}
	}
}

func fixChecksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	for i := 153; i >= 148; i-- {
		header[i] = byte('0' + sum&7)
		sum >>= 3
	}
	header[154], header[155] = 0, ' '
}

func TestNotAnArchive(t *testing.T) {
	truncated := archiveOf(t, imageOf(t, layerOf(t, file("a", strings.Repeat("x", 10000)))), "x")
	for what, raw := range map[string][]byte{
		"nothing": {}, "text": []byte("hello, this is no image at all"), "empty tar": tarOf(t), "other tar": tarOf(t, file("readme", "x")),
		"broken gzip": gzipped(t, tarOf(t, file("x", "y")))[:20], "truncated": truncated[:len(truncated)/3],
		"zeros": make([]byte, 1<<20),
	} {
		t.Run(what, func(t *testing.T) {
			s, dir := newStore(t)
			_, err := s.Import(t.Context(), bytes.NewReader(raw), "x")
			if err == nil {
				t.Fatal("it was imported")
			}
			t.Log(err)
			nothingLeft(t, s, dir)
		})
	}
}

// TestBombs has little space on the disk, and archives that would fill it.
func TestBombs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=100m"); err != nil {
		t.Skip("mounting: ", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		t.Fatal(err)
	}
	const typeGzip = typeLayer + "+gzip"
	pack := func(plain ...io.Reader) (packed []byte, diffID string) {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(h, w), io.MultiReader(plain...)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes(), fmt.Sprintf("sha256:%x", h.Sum(nil))
	}
	archive := func(plain ...io.Reader) []byte {
		p := makeParts(t)
		packed, diffID := pack(plain...)
		manifest := p.configured(p.config.with("rootfs", document{"diff_ids": []string{diffID}})).
			with("layers", []document{p.layout.blob(typeGzip, packed)})
		return p.archive(t, manifest)
	}
	// zeros is a file of zeros in a tar, without its end.
	zeros := func(name string, size int64) io.Reader {
		header := tarOf(t, file(name, ""))[:512]
		copy(header[124:135], fmt.Sprintf("%011o", size))
		fixChecksum(header)
		return io.MultiReader(bytes.NewReader(header), io.LimitReader(nothing{}, size))
	}
	end := bytes.NewReader(make([]byte, 1024))
	var many []io.Reader
	for i := range 8 {
		many = append(many, zeros(fmt.Sprint("zeros", i), 8<<20))
	}
	var small []entry // each takes a block, which is more than it says
	for i := range 12_000 {
		small = append(small, file(fmt.Sprint("small", i), "x"))
	}
	onion, _ := pack(bytes.NewReader(makeParts(t).archive(t, makeParts(t).manifest)), io.LimitReader(nothing{}, 80<<20))
	for what, bomb := range map[string]struct {
		reason  error
		archive []byte
	}{
		"a file of zeros":        {oci.ErrNoSpace, archive(zeros("zeros", 64<<20), end)},
		"many files of zeros":    {oci.ErrNoSpace, archive(many...)},
		"very many small files":  {oci.ErrNoSpace, archive(bytes.NewReader(tarOf(t, small...)))},
		"zeros behind the tar":   {oci.ErrTooLarge, archive(bytes.NewReader(tarOf(t, file("a", "x"))), io.LimitReader(nothing{}, 32<<20))},
		"an archive in an onion": {oci.ErrNoSpace, onion},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.Import(t.Context(), bytes.NewReader(bomb.archive), "")
			if !errors.Is(err, bomb.reason) {
				t.Errorf("%v, which is not: %v", err, bomb.reason)
			}
			nothingLeft(t, s, filepath.Join(dir, "images"))
			if free, err := space.Available(dir); err != nil || free.Bytes < 30<<20 {
				t.Errorf("%d bytes are free, %v", free.Bytes, err)
			}
		})
	}
	sound := makeParts(t)
	importAll(t, s, sound.archive(t, sound.manifest))
}

// nothing reads as zeros without an end.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
