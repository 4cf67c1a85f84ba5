package oci_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/oci"
)

// fuzzStore is a store for all inputs, which each of them leaves as it was.
type fuzzStore struct {
	*oci.Store
	dir     string
	outside string // a folder that nothing may change
}

func newFuzzStore(f *testing.F) *fuzzStore {
	f.Helper()
	if os.Getuid() != 0 {
		f.Skip("unpacking layers takes root")
	}
	dir := f.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	s, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		f.Fatal(err)
	}
	return &fuzzStore{Store: s, dir: filepath.Join(dir, "images"), outside: dir}
}

// try imports the archive. It has to be imported whole, or to be refused by
// name, and nothing else may have changed.
func (s *fuzzStore) try(t *testing.T, archive []byte) {
	_, err := s.Import(t.Context(), bytes.NewReader(archive), "fallback")
	if err != nil && !slices.ContainsFunc([]error{
		oci.ErrMalformed, oci.ErrDigest, oci.ErrUnsafe, oci.ErrTooLarge, oci.ErrUnsupported, oci.ErrNoSpace,
	}, func(known error) bool { return errors.Is(err, known) }) {
		t.Errorf("refused, but not by name: %v", err)
	}
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		t.Errorf("the error would play with a terminal: %q", err)
	}
	images, err := s.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if _, err := s.Config(image.Digest); err != nil {
			t.Error(err)
		}
		if _, _, err := oci.Layers(s.Lowers(image)).Lookup("etc/passwd"); err == nil {
			_, _ = oci.Layers(s.Lowers(image)).ReadFile("etc/passwd", 100) // it must not panic
		}
		if err := s.Remove(t.Context(), image.Digest, func(*bbolt.Tx, string) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	nothingLeft(t, s.Store, s.dir)
	if entries, err := os.ReadDir(s.outside); err != nil || len(entries) != 2 {
		t.Errorf("outside of the store there are %v, %v", entries, err)
	}
}

func FuzzImport(f *testing.F) {
	s := newFuzzStore(f)
	p := makeParts(f)
	sound := p.archive(f, p.manifest)
	for _, raw := range [][]byte{
		{},
		[]byte("x"), sound, gzipped(f, sound), dockerTar(f, makeParts(f), "config.json", "layer.tar"), tarOf(f),
		zstdPacked(f, sound), rawTar(f, sparse("index.json", 1<<40)), rawTar(f, oldSparse("index.json")),
		tarOf(f, link(tar.TypeSymlink, "index.json", "../x"), link(tar.TypeLink, "x", "index.json")),
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { s.try(t, raw) })
}

func FuzzLayer(f *testing.F) {
	s := newFuzzStore(f)
	for _, entries := range [][]entry{
		{},
		{folder("etc/"), file("etc/passwd", "root:x:0:0::/:/bin/sh\n")},
		{link(tar.TypeSymlink, "etc", "/x"), file("etc/passwd", "x")},
		{link(tar.TypeSymlink, "a", "../../.."), file("a/b/c", "x"), link(tar.TypeLink, "d", "a/b/c")},
		{file(".wh.a", ""), folder("a/"), file("a/.wh..wh..opq", ""), file("a/b", "")},
		{file("a", "1").with(attribute+"user.x", "y", attribute+"security.capability", "z")},
		{device("dev/x", tar.TypeChar), {tar.Header{Name: "f", Typeflag: tar.TypeFifo}, ""}},
		{sparse("s", 100), oldSparse("o")},
		{folder("a/"), file("a/b", "1"), link(tar.TypeSymlink, "a", "b"), file("a", "2"), folder("a/")},
	} {
		f.Add(rawTar(f, entries...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s.try(t, archiveOf(t, imageOf(t, layerOf(t, folder("etc/"), file("etc/passwd", "lower")), layerFrom(t, raw)), "x"))
	})
}

// FuzzManifests has documents in a layout that are what their digests say.
func FuzzManifests(f *testing.F) {
	s := newFuzzStore(f)
	p := makeParts(f)
	index := func(d document) []byte {
		h := make(handmade)
		h.index(d)
		return h["index.json"]
	}
	raw := func(d document) []byte {
		b, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(index(p.layout.document(typeManifest, p.manifest)), raw(p.manifest), raw(p.config))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"MANIFEST"}]}`), raw(p.manifest), []byte(`{"os":"linux","architecture":"amd64"}`))
	f.Add([]byte(`{}`), []byte(`[]`), []byte(`null`))
	f.Fuzz(func(t *testing.T, index, manifest, config []byte) {
		p := makeParts(t)
		c := p.layout.blob(typeConfig, config)
		// The manifest names the configuration, if it can.
		if old, err := json.Marshal(p.manifest["config"].(document)["digest"]); err == nil {
			manifest = bytes.ReplaceAll(manifest, old, []byte(`"`+c["digest"].(string)+`"`))
		}
		m := p.layout.blob(typeManifest, manifest)
		p.layout["index.json"] = index
		s.try(t, p.layout.tar(t))
		p.layout.index(m)
		s.try(t, p.layout.tar(t))
		p.layout.index(m.with("mediaType", typeIndex))
		s.try(t, p.layout.tar(t))
	})
}

func FuzzDocker(f *testing.F) {
	s := newFuzzStore(f)
	p := makeParts(f)
	config, err := json.Marshal(p.config)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]`), config)
	f.Add([]byte(`[{"Config":"../config.json","RepoTags":null,"Layers":["./layer.tar","config.json"]}]`), config)
	f.Add([]byte(`{}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		s.try(t, tarOf(t, file("manifest.json", string(manifest)), file("config.json", string(config)),
			file("layer.tar", string(tarOf(t, file("a", "content"))))))
	})
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"", "x", "docker.io/library/x:1", "localhost/x", "host:5000/a/b:tag", "x@sha256:" + strings.Repeat("0", 64), "a\x1bb", " x ", "X"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := oci.NormalizeReference(s)
		if err != nil {
			if !errors.Is(err, oci.ErrName) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("%q", err)
			}
			return
		}
		if again, err := oci.NormalizeReference(name); err != nil || again != name {
			t.Fatalf("%q is %q, which is %q, %v", s, name, again, err)
		}
	})
}
