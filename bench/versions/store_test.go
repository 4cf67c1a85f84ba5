package versions

import (
	"bytes"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/entroos/entroos/morphzip/store"
)

// BenchmarkStore puts every file of the versions into a store, and reports which
// part of the size of versions 2 to 10 they take there. What it gets back of the
// last version is compared.
func BenchmarkStore(b *testing.B) {
	roots := makeVersions(b)
	for b.Loop() {
		s, err := store.Open(filepath.Join(b.TempDir(), "store"), store.Options{Warn: func(err error) { b.Error(err) }})
		check(b, err)
		var size, first uint64
		for v, root := range roots {
			before := s.Blobs()
			putFiles(b, s, root)
			after := s.Blobs()
			b.Logf("version %2d: %d bytes, %d stored", v+1, sizeOf(b, root), after.Stored-before.Stored)
			if v == 0 {
				first = after.Stored
				continue
			}
			size += uint64(sizeOf(b, root))
		}
		b.ReportMetric(float64(s.Blobs().Stored-first)/float64(size), "store-ratio")
		compareFiles(b, s, roots[len(roots)-1])
		check(b, s.Close())
	}
}

// eachFile visits the regular files below a folder.
func eachFile(b *testing.B, root string, visit func(*os.File)) {
	check(b, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		visit(file)
		return nil
	}))
}

func putFiles(b *testing.B, s *store.Store, root string) {
	eachFile(b, root, func(file *os.File) {
		_, err := s.Put(b.Context(), file)
		check(b, err)
	})
}

func compareFiles(b *testing.B, s *store.Store, root string) {
	eachFile(b, root, func(file *os.File) {
		want, err := io.ReadAll(file)
		check(b, err)
		blob, _, err := s.Get(b.Context(), sha256.Sum256(want))
		check(b, err)
		got, err := io.ReadAll(blob)
		check(b, err)
		check(b, blob.Close())
		if !bytes.Equal(got, want) {
			b.Errorf("%s came back otherwise", file.Name())
		}
	})
}
