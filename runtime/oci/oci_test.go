package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/oci"
)

// newStore makes an empty store. Layers have owners and whiteouts, which take
// root to write.
func newStore(t testing.TB) (*oci.Store, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking layers takes root")
	}
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, "images")
}

// entry is a file in a layer.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}, content}
}

func folder(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func link(kind byte, name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777}, ""}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(t testing.TB, entries ...entry) v1.Layer {
	t.Helper()
	return layerFrom(t, tarOf(t, entries...))
}

func layerFrom(t testing.TB, raw []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Cmd = []string{"/hello"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
}

// ociArchive is a layout as a tar, as podman and buildah write it.
func ociArchive(t testing.TB, index v1.ImageIndex) []byte {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	return tarFolder(t, dir)
}

func tarFolder(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func named(image v1.Image, ref string) mutate.IndexAddendum {
	a := mutate.IndexAddendum{Add: image}
	if ref != "" {
		a.Annotations = map[string]string{"org.opencontainers.image.ref.name": ref}
	}
	return a
}

func archiveOf(t testing.TB, image v1.Image, ref string) []byte {
	t.Helper()
	return ociArchive(t, mutate.AppendManifests(empty.Index, named(image, ref)))
}

func importAll(t testing.TB, s *oci.Store, archive []byte) []oci.Image {
	t.Helper()
	images, err := s.Import(t.Context(), bytes.NewReader(archive), "")
	if err != nil {
		t.Fatal(err)
	}
	return images
}

func digestOf(t testing.TB, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdPacked(t testing.TB, raw []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(raw, nil)
}

func TestImportFormats(t *testing.T) {
	image := imageOf(t, layerOf(t, folder("etc/"), file("etc/motd", "hi\n")))
	plain := archiveOf(t, image, "localhost/web:1.2")
	tag, err := name.NewTag("web:1.2")
	if err != nil {
		t.Fatal(err)
	}
	var docker bytes.Buffer
	if err := tarball.Write(tag, image, &docker); err != nil {
		t.Fatal(err)
	}
	for what, archive := range map[string][]byte{
		"oci": plain, "oci.gz": gzipped(t, plain), "oci.zst": zstdPacked(t, plain),
		"docker": docker.Bytes(), "docker.gz": gzipped(t, docker.Bytes()),
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := newStore(t)
			images := importAll(t, s, archive)
			if len(images) != 1 || strings.Join(images[0].References, " ") != "web:1.2" {
				t.Fatalf("%+v", images)
			}
			if strings.HasPrefix(what, "oci") && images[0].Digest != digestOf(t, image) {
				t.Errorf("digest %s, not %s", images[0].Digest, digestOf(t, image))
			}
			for _, ref := range []string{
				"web:1.2", "localhost/web:1.2", "docker.io/library/web:1.2", images[0].Digest, images[0].Digest[:15],
				strings.TrimPrefix(images[0].Digest, "sha256:")[:12], images[0].ConfigDigest,
			} {
				if got, err := s.Get(ref); err != nil || got.Digest != images[0].Digest {
					t.Errorf("Get(%s): %s, %v", ref, got.Digest, err)
				}
			}
			for _, ref := range []string{"web", "web:2", "other:1.2", "sha256:ffff", ""} {
				if _, err := s.Get(ref); err == nil {
					t.Errorf("Get(%s) finds something", ref)
				}
			}
			motd, err := oci.Layers(s.Lowers(images[0])).ReadFile("/etc/motd", 100)
			if err != nil || string(motd) != "hi\n" {
				t.Errorf("motd %q, %v", motd, err)
			}
			if images[0].Size != 3 {
				t.Errorf("size %d", images[0].Size)
			}
			// Again, it changes nothing.
			if again := importAll(t, s, archive); len(again) != 1 || !again[0].Imported.Equal(images[0].Imported) {
				t.Errorf("%+v", again)
			}
		})
	}
}

func TestNames(t *testing.T) {
	s, _ := newStore(t)
	first, second := imageOf(t, layerOf(t, file("a", "1"))), imageOf(t, layerOf(t, file("a", "2")))
	if images, err := s.Import(t.Context(), bytes.NewReader(archiveOf(t, first, "")), "given"); err != nil || images[0].References[0] != "given:latest" {
		t.Fatalf("%+v, %v", images, err)
	}
	// A name moves to the image that is imported last.
	if _, err := s.Import(t.Context(), bytes.NewReader(archiveOf(t, second, "given")), "unused"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("given"); err != nil || got.Digest != digestOf(t, second) {
		t.Errorf("given is %s, %v", got.Digest, err)
	}
	if got, err := s.Get(digestOf(t, first)); err != nil || len(got.References) != 0 {
		t.Errorf("the first has the names %v, %v", got.References, err)
	}
	if images, err := s.Images(); err != nil || len(images) != 2 {
		t.Errorf("%d images, %v", len(images), err)
	}
	for _, bad := range []string{"UPPER", "a b", "x@sha256:" + strings.Repeat("0", 64), "../x"} {
		if _, err := s.Import(t.Context(), bytes.NewReader(archiveOf(t, first, "")), bad); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
}

func TestPlatforms(t *testing.T) {
	s, _ := newStore(t)
	amd, arm := imageOf(t, layerOf(t, file("arch", "amd64"))), imageOf(t, layerOf(t, file("arch", "arm64")))
	config, err := arm.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = "arm64"
	if arm, err = mutate.ConfigFile(arm, config); err != nil {
		t.Fatal(err)
	}
	armEntry, amdEntry := mutate.IndexAddendum{Add: arm}, mutate.IndexAddendum{Add: amd}
	armEntry.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
	amdEntry.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	both := mutate.AppendManifests(empty.Index, armEntry, amdEntry)
	outer := mutate.IndexAddendum{Add: both}
	outer.Annotations = map[string]string{"org.opencontainers.image.ref.name": "multi"}
	images := importAll(t, s, ociArchive(t, mutate.AppendManifests(empty.Index, outer)))
	if len(images) != 1 || images[0].Digest != digestOf(t, amd) || images[0].References[0] != "multi:latest" {
		t.Errorf("%+v", images)
	}
	_, err = s.Import(t.Context(), bytes.NewReader(archiveOf(t, arm, "arm")), "")
	if err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("another machine's image: %v", err)
	}
}

func TestOverlayForm(t *testing.T) {
	s, _ := newStore(t)
	images := importAll(t, s, archiveOf(t, imageOf(t,
		layerOf(t, folder("etc/"), file("etc/gone", "1"), file("etc/stays", "1"), folder("opt/"), file("opt/old", "1"), link(tar.TypeSymlink, "abs", "/etc/stays")),
		layerOf(t, file("etc/.wh.gone", ""), folder("opt/"), file("opt/.wh..wh..opq", ""), file("opt/new", "2"), link(tar.TypeLink, "opt/hard", "opt/new"), file("etc/.wh.stays", ""), file("etc/stays", "2")),
	), "x"))
	layers := oci.Layers(s.Lowers(images[0]))
	for name, want := range map[string]string{"etc/stays": "2", "opt/new": "2", "opt/hard": "2", "abs": "2", "opt/../abs": "2", "../../abs": "2"} {
		if got, err := layers.ReadFile(name, 10); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"etc/gone", "opt/old", "opt/.wh..wh..opq", "etc/.wh.gone", "nothing"} {
		if _, _, err := layers.Lookup(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

func TestRemove(t *testing.T) {
	s, dir := newStore(t)
	shared := layerOf(t, file("shared", "1"))
	importAll(t, s, archiveOf(t, imageOf(t, shared, layerOf(t, file("a", "1"))), "a"))
	importAll(t, s, archiveOf(t, imageOf(t, shared, layerOf(t, file("b", "1"))), "b"))
	free := func(*bbolt.Tx, string) error { return nil }
	layers := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, "layers"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if layers() != 3 {
		t.Errorf("%d layers", layers())
	}
	if err := s.Remove(t.Context(), "a", func(*bbolt.Tx, string) error { return oci.ErrInUse }); !errors.Is(err, oci.ErrInUse) {
		t.Error(err)
	}
	if _, err := s.Get("a"); err != nil {
		t.Errorf("a refused removal changed something: %v", err)
	}
	if err := s.Remove(t.Context(), "a", free); err != nil || layers() != 2 {
		t.Errorf("%v, %d layers", err, layers())
	}
	if err := s.Remove(t.Context(), "a", free); !errors.Is(err, oci.ErrNotFound) {
		t.Error(err)
	}
	b, err := s.Get("b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oci.Layers(s.Lowers(b)).ReadFile("shared", 10); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), b.Digest, free); err != nil || layers() != 0 {
		t.Errorf("%v, %d layers", err, layers())
	}
}

func TestRecover(t *testing.T) {
	s, dir := newStore(t)
	images := importAll(t, s, archiveOf(t, imageOf(t, layerOf(t, file("a", "1"))), "x"))
	for _, stale := range []string{"staging/layer-1/deep", "layers/" + strings.Repeat("0", 64) + "/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, stale), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"staging", "layers"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if want := map[string]int{"staging": 0, "layers": 1}[sub]; err != nil || len(entries) != want {
			t.Errorf("%s holds %v, %v", sub, entries, err)
		}
	}
	if _, err := oci.Layers(s.Lowers(images[0])).ReadFile("a", 10); err != nil {
		t.Error(err)
	}
}
