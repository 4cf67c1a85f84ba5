package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/entroos/entroos/runtime/oci"
)

// wantEntropy is what a second pass over the uncompressed layers gives, by the
// definition.
func wantEntropy(t testing.TB, layers ...v1.Layer) oci.Entropy {
	t.Helper()
	counts := make(map[byte]int)
	total := 0
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		for _, b := range raw {
			counts[b]++
		}
		total += len(raw)
	}
	h := 0.0
	for b := range 256 {
		if n := counts[byte(b)]; n > 0 {
			p := float64(n) / float64(total)
			h -= p * math.Log2(p)
		}
	}
	return oci.Entropy{Share: h / 8, Bits: h, Bytes: uint64(total), Known: true}
}

func checkEntropy(t testing.TB, what string, got, want oci.Entropy) {
	t.Helper()
	if math.Abs(got.Share-want.Share) > 1e-12 || math.Abs(got.Bits-want.Bits) > 1e-11 || got.Bytes != want.Bytes || got.Known != want.Known {
		t.Errorf("%s: %+v, not %+v", what, got, want)
	}
}

func randomBytes(n int, seed uint64) string {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	raw := make([]byte, n)
	source.Read(raw) // never fails
	return string(raw)
}

func TestEntropyOfKnownContent(t *testing.T) {
	for what, c := range map[string]struct {
		content  string
		min, max float64
	}{
		"one byte's value": {string(make([]byte, 1<<20)), 0, 0.001},
		"random":           {randomBytes(1<<20, 1), 0.995, 1},
		"text":             {string(bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), 30_000)), 0.5, 0.6},
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := newStore(t)
			l := layerOf(t, file("f", c.content))
			image := importAll(t, s, archiveOf(t, imageOf(t, l), "image"))[0]
			checkEntropy(t, what, image.Entropy, wantEntropy(t, l))
			if h, err := s.Histogram(image.Digest); err != nil || h.Total() != image.Entropy.Bytes {
				t.Errorf("histogram: %v, %v", h, err)
			}
			if image.Entropy.Share < c.min || image.Entropy.Share > c.max {
				t.Errorf("%v is not in [%v, %v]", image.Entropy.Share, c.min, c.max)
			}
		})
	}
}

func TestEntropyOfSharedLayers(t *testing.T) {
	s, _ := newStore(t)
	shared := layerOf(t, folder("bin/"), file("bin/sh", randomBytes(300_000, 2)))
	a, b := layerOf(t, file("a", randomBytes(1000, 3))), layerOf(t, file("b", string(make([]byte, 500_000))))
	first := importAll(t, s, archiveOf(t, imageOf(t, shared, a), "first"))[0]
	second := importAll(t, s, archiveOf(t, imageOf(t, shared, b, b), "second"))[0]
	checkEntropy(t, "first", first.Entropy, wantEntropy(t, shared, a))
	checkEntropy(t, "second", second.Entropy, wantEntropy(t, shared, b, b))
	if err := s.Remove(t.Context(), "first", func(*bbolt.Tx, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	left, err := s.Get("second")
	if err != nil {
		t.Fatal(err)
	}
	checkEntropy(t, "second, alone", left.Entropy, second.Entropy)
}

// forgetHistograms makes the layers' records those of a version that did not
// count, and gives how many were counted.
func forgetHistograms(t testing.TB, s *oci.Store) int {
	t.Helper()
	n := 0
	err := oci.Database(s).Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("runtime/layers"))
		return bucket.ForEach(func(key, raw []byte) error {
			var fields map[string]any
			if err := json.Unmarshal(raw, &fields); err != nil {
				return err
			}
			if _, ok := fields["Histogram"]; ok {
				n++
			}
			delete(fields, "Histogram")
			raw, err := json.Marshal(fields)
			if err != nil {
				return err
			}
			return bucket.Put(slices.Clone(key), raw)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEntropyOfEarlierVersions(t *testing.T) {
	s, _ := newStore(t)
	shared, own, other := layerOf(t, file("f", randomBytes(9000, 4))), layerOf(t, file("g", "own")), layerOf(t, file("h", "other"))
	old, fresh := archiveOf(t, imageOf(t, shared, own), "old"), archiveOf(t, imageOf(t, shared, other), "fresh")
	want := importAll(t, s, old)[0].Entropy
	if n := forgetHistograms(t, s); n != 2 {
		t.Fatalf("%d layers", n)
	}
	entropy := func(name string) oci.Entropy {
		image, err := s.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		return image.Entropy
	}
	checkEntropy(t, "not measured", entropy("old"), oci.Entropy{})
	importAll(t, s, fresh)
	checkEntropy(t, "an image that shares an uncounted layer", entropy("fresh"), wantEntropy(t, shared, other))
	checkEntropy(t, "one of two layers counted", entropy("old"), oci.Entropy{})
	importAll(t, s, old)
	checkEntropy(t, "imported again", entropy("old"), want)
}

// cutReader ends a stream's reading, as a client that leaves does.
type cutReader struct {
	r    io.Reader
	left int
	cut  context.CancelFunc
}

func (c *cutReader) Read(p []byte) (int, error) {
	if len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	if c.left -= n; c.left == 0 {
		c.cut()
	}
	return n, err
}

func TestEntropyAfterCutImport(t *testing.T) {
	s, dir := newStore(t)
	l := layerOf(t, file("f", randomBytes(400_000, 5)))
	archive := archiveOf(t, imageOf(t, l), "image")
	for _, at := range []int{1, len(archive) / 2, len(archive)} { // the last one cuts the unpacking
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := s.Import(ctx, &cutReader{bytes.NewReader(archive), at, cancel}, ""); !errors.Is(err, context.Canceled) {
			t.Fatalf("cut at %d: %v", at, err)
		}
		cancel()
	}
	damaged := bytes.Clone(archive)
	damaged[len(damaged)/2] ^= 1
	if _, err := s.Import(t.Context(), bytes.NewReader(damaged), ""); err == nil {
		t.Fatal("a damaged archive was taken")
	}
	if n := len(folderContents(t, filepath.Join(dir, "layers"))); n != 1 {
		t.Fatalf("%d entries are left of the layers", n-1)
	}
	if n := forgetHistograms(t, s); n != 0 {
		t.Fatalf("%d layers are recorded", n)
	}
	checkEntropy(t, "imported then", importAll(t, s, archive)[0].Entropy, wantEntropy(t, l))
}

// TestEntropyIsThatOfASecondPass imports images that share layers at random,
// with records missing at random.
func TestEntropyIsThatOfASecondPass(t *testing.T) {
	s, _ := newStore(t)
	rapid.Check(t, func(rt *rapid.T) {
		layers := make([]v1.Layer, rapid.IntRange(1, 4).Draw(rt, "layers"))
		for i := range layers {
			content := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "content")
			content = bytes.Repeat(content, rapid.SampledFrom([]int{1, 1, 100}).Draw(rt, "times"))
			layers[i] = layerOf(t, file(fmt.Sprint(i), string(content)))
		}
		for range rapid.IntRange(1, 3).Draw(rt, "images") {
			of := rapid.SliceOfN(rapid.SampledFrom(layers), 1, 5).Draw(rt, "image")
			archive := archiveOf(t, imageOf(t, of...), "")
			switch rapid.SampledFrom([]string{"plain", "gzip", "zstd"}).Draw(rt, "packed") {
			case "gzip":
				archive = gzipped(t, archive)
			case "zstd":
				archive = zstdPacked(t, archive)
			}
			checkEntropy(t, "image", importAll(t, s, archive)[0].Entropy, wantEntropy(t, of...))
			if rapid.Bool().Draw(rt, "forget") {
				forgetHistograms(t, s)
			}
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// BenchmarkImport imports an image of 64 MiB, in one layer that gzip has made
// half as small, and removes it again.
func BenchmarkImport(b *testing.B) {
	s, _ := newStore(b)
	const size = 64 << 20
	content := []byte(randomBytes(size, 6))
	for i := range content {
		content[i] &= 15
	}
	archive := archiveOf(b, imageOf(b, layerOf(b, file("f", string(content)))), "image")
	b.SetBytes(size)
	for b.Loop() {
		if _, err := s.Import(b.Context(), bytes.NewReader(archive), ""); err != nil {
			b.Fatal(err)
		}
		if err := s.Remove(b.Context(), "image", func(*bbolt.Tx, string) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
