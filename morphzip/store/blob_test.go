package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

func put(t *testing.T, s *Store, data []byte) Digest {
	t.Helper()
	d, err := s.Put(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if d != sha256.Sum256(data) {
		t.Fatalf("%d bytes are %s", len(data), d)
	}
	return d
}

func get(s *Store, d Digest) ([]byte, error) {
	r, size, err := s.Get(context.Background(), d)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err == nil && int64(len(data)) != size {
		err = errors.New("another size")
	}
	return data, errors.Join(err, r.Close())
}

func checkBlob(t *testing.T, s *Store, data []byte) {
	t.Helper()
	got, err := get(s, sha256.Sum256(data))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("a blob of %d bytes came back as %d, %v", len(data), len(got), err)
	}
}

func random(seed int64, n int) []byte {
	data := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(data)
	return data
}

// edit gives data with a few bytes inserted in so many places.
func edit(data []byte, seed int64, places int) []byte {
	r := rand.New(rand.NewSource(seed))
	edited := bytes.Clone(data)
	for range places {
		at := r.Intn(len(edited))
		edited = append(edited[:at:at], append([]byte{byte(r.Int()), byte(r.Int()), byte(r.Int())}, edited[at:]...)...)
	}
	return edited
}

func TestBlobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	blobs := [][]byte{{}, {7}, []byte("some text\n"), random(1, 5000), make([]byte, 3<<20), random(2, 1<<20)}
	for range 2 { // the second time changes nothing
		for _, b := range blobs {
			put(t, s, b)
		}
	}
	info := s.Blobs()
	if info.Count != len(blobs) || info.Stored > 1<<20+1<<17 {
		t.Errorf("%+v", info)
	}
	check := func(s *Store) {
		t.Helper()
		for _, b := range blobs {
			checkBlob(t, s, b)
		}
		if got := s.Blobs(); got != info {
			t.Errorf("%+v, not %+v", got, info)
		}
	}
	check(s)
	checkFacts(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	check(s)
	if _, err := get(s, Digest{1}); !errors.Is(err, ErrNoBlob) {
		t.Error(err)
	}
	for _, b := range blobs {
		if err := s.Delete(sha256.Sum256(b)); err != nil {
			t.Fatal(err)
		}
		if _, err := get(s, sha256.Sum256(b)); !errors.Is(err, ErrNoBlob) {
			t.Error(err)
		}
	}
	checkEmpty(t, s)
	if names, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".spool*")); err != nil || len(names) > 0 {
		t.Errorf("left are %v, %v", names, err)
	}
}

// checkEmpty checks that nothing is left of blobs.
func checkEmpty(t interface{ Errorf(string, ...any) }, s *Store) {
	if got := s.Blobs(); got != (BlobInfo{}) {
		t.Errorf("left is %+v", got)
	}
	if err := s.view(func(tx *bbolt.Tx) error {
		for _, name := range blobBuckets {
			if k, _ := tx.Bucket(name).Cursor().First(); k != nil {
				t.Errorf("%s has %x", name, k)
			}
		}
		return nil
	}); err != nil {
		t.Errorf("%v", err)
	}
}

func TestDeduplication(t *testing.T) {
	s := openNew(t)
	first := random(1, 2<<20)
	put(t, s, first)
	before := s.Blobs()
	second := append(append(bytes.Clone(first[1<<20:]), random(2, 100<<10)...), first[:1<<20]...)
	put(t, s, second)
	after := s.Blobs()
	if more := after.Stored - before.Stored; more > 700<<10 {
		t.Errorf("%d bytes more for 100 KiB that are new", more)
	}
	checkBlob(t, s, first)
	checkBlob(t, s, second)
	checkFacts(t, s)
}

// TestVersions puts successive versions, deletes some, and gets the others.
func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	versions := [][]byte{random(1, 300<<10)}
	put(t, s, versions[0])
	for i := range 11 {
		before := s.Blobs().Stored
		versions = append(versions, edit(versions[i], int64(i), 20))
		put(t, s, versions[i+1])
		if more := s.Blobs().Stored - before; more > 2<<10 {
			t.Errorf("version %d takes %d bytes", i+2, more)
		}
	}
	for _, v := range versions {
		checkBlob(t, s, v)
	}
	for _, i := range []int{0, 3, 4, 11} {
		if err := s.Delete(sha256.Sum256(versions[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	for i, v := range versions {
		if i == 0 || i == 3 || i == 4 || i == 11 {
			if _, err := get(s, sha256.Sum256(v)); !errors.Is(err, ErrNoBlob) {
				t.Error(err)
			}
			continue
		}
		checkBlob(t, s, v)
	}
	put(t, s, versions[3]) // which others are made from: it is there again
	checkBlob(t, s, versions[3])
	for _, v := range versions {
		if err := s.Delete(sha256.Sum256(v)); err != nil {
			t.Fatal(err)
		}
	}
	checkEmpty(t, s)
}

// TestBlobsModel compares with a map.
func TestBlobsModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	rapid.Check(t, func(t *rapid.T) {
		defer os.Remove(path)
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.writing.Lock()
		s.db.NoSync = true
		s.writing.Unlock()
		model := map[int][]byte{}
		draw := rapid.IntRange(0, 5)
		base := random(1, 20<<10)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := draw.Draw(t, "blob")
				model[i] = edit(base, int64(i/2), 1+50*(i%2))
				if _, err := s.Put(context.Background(), bytes.NewReader(model[i])); err != nil {
					t.Fatal(err)
				}
			},
			"delete": func(t *rapid.T) {
				i := draw.Draw(t, "blob")
				data := edit(base, int64(i/2), 1+50*(i%2))
				delete(model, i)
				if err := s.Delete(sha256.Sum256(data)); err != nil {
					t.Fatal(err)
				}
			},
			"get": func(t *rapid.T) {
				i := draw.Draw(t, "blob")
				data := edit(base, int64(i/2), 1+50*(i%2))
				got, err := get(s, sha256.Sum256(data))
				want, ok := model[i]
				if ok && (err != nil || !bytes.Equal(got, want)) || !ok && !errors.Is(err, ErrNoBlob) {
					t.Fatalf("blob %d: %d bytes, %v", i, len(got), err)
				}
			},
		})
		for _, data := range model {
			if err := s.Delete(sha256.Sum256(data)); err != nil {
				t.Fatal(err)
			}
		}
		checkEmpty(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// failing is a reader that fails in the end.
type failing struct{ r io.Reader }

var errFailing = errors.New("failing")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = errFailing
	}
	return n, err
}

func TestPutFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	if _, err := s.Put(t.Context(), failing{bytes.NewReader(random(1, 1<<20))}); !errors.Is(err, errFailing) {
		t.Error(err)
	}
	checkEmpty(t, s)
	// As a power cut in the middle leaves it.
	file, err := s.spool(bytes.NewReader(random(1, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := s.putChunks(t.Context(), file, true); err != nil {
		t.Fatal(err)
	}
	if s.Blobs().Stored == 0 {
		t.Error("nothing was stored")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	checkEmpty(t, s)
}

func TestDamagedBlob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	data := random(1, 100<<10)
	d := put(t, s, data)
	other := put(t, s, random(2, 100<<10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	garble(t, path, bucketFrames, func(n int) int { return n / 2 })
	s = open(t, path, Options{})
	if _, err := get(s, d); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	if _, err := get(s, other); err != nil {
		t.Error(err)
	}
}
