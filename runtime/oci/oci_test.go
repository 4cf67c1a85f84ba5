package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
)

// newStore makes an empty store. Layers have owners and whiteouts, which take
// root to write.
func newStore(t *testing.T) (*oci.Store, string) {
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

func tarOf(t *testing.T, entries ...entry) []byte {
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

func layerOf(t *testing.T, entries ...entry) v1.Layer {
	t.Helper()
	return layerFrom(t, tarOf(t, entries...))
}

func layerFrom(t *testing.T, raw []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t *testing.T, layers ...v1.Layer) v1.Image {
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
func ociArchive(t *testing.T, index v1.ImageIndex) []byte {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	return tarFolder(t, dir)
}

func tarFolder(t *testing.T, dir string) []byte {
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

func archiveOf(t *testing.T, image v1.Image, ref string) []byte {
	t.Helper()
	return ociArchive(t, mutate.AppendManifests(empty.Index, named(image, ref)))
}

func importAll(t *testing.T, s *oci.Store, archive []byte) []oci.Image {
	t.Helper()
	images, err := s.Import(t.Context(), bytes.NewReader(archive), "")
	if err != nil {
		t.Fatal(err)
	}
	return images
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func gzipped(t *testing.T, raw []byte) []byte {
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

func zstdPacked(t *testing.T, raw []byte) []byte {
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
	if err := s.Remove("a", func(*bbolt.Tx, string) error { return oci.ErrInUse }); !errors.Is(err, oci.ErrInUse) {
		t.Error(err)
	}
	if _, err := s.Get("a"); err != nil {
		t.Errorf("a refused removal changed something: %v", err)
	}
	if err := s.Remove("a", free); err != nil || layers() != 2 {
		t.Errorf("%v, %d layers", err, layers())
	}
	if err := s.Remove("a", free); !errors.Is(err, oci.ErrNotFound) {
		t.Error(err)
	}
	b, err := s.Get("b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oci.Layers(s.Lowers(b)).ReadFile("shared", 10); err != nil {
		t.Error(err)
	}
	if err := s.Remove(b.Digest, free); err != nil || layers() != 0 {
		t.Errorf("%v, %d layers", err, layers())
	}
}

// nothingLeft checks that a refused import changed nothing.
func nothingLeft(t *testing.T, s *oci.Store, dir string) {
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

func TestHostileLayers(t *testing.T) {
	device := entry{tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8}, ""}
	for what, layer := range map[string][]entry{
		"traversal":            {file("../../evil", "x")},
		"traversal inside":     {file("a/../../evil", "x")},
		"hard link outside":    {link(tar.TypeLink, "evil", "../../../etc/passwd")},
		"device node":          {device},
		"whiteout of parent":   {file("a/.wh...", "")},
		"bad type":             {{tar.Header{Name: "x", Typeflag: '7', Size: 1}, "x"}},
		"hard link to nothing": {link(tar.TypeLink, "evil", "missing")},
	} {
		t.Run(what, func(t *testing.T) {
			s, dir := newStore(t)
			_, err := s.Import(t.Context(), bytes.NewReader(archiveOf(t, imageOf(t, layerOf(t, layer...)), "x")), "")
			if err == nil {
				t.Fatal("it was imported")
			}
			t.Log(err)
			nothingLeft(t, s, dir)
		})
	}
	t.Run("through symbolic links", func(t *testing.T) {
		outside := t.TempDir()
		s, _ := newStore(t)
		images := importAll(t, s, archiveOf(t, imageOf(t, layerOf(t,
			link(tar.TypeSymlink, "out", outside), file("out/evil", "x"),
			link(tar.TypeSymlink, "up", "../../../.."), file("up/evil", "x"),
			link(tar.TypeSymlink, "file", filepath.Join(outside, "evil")), file("file", "x"),
		)), "x"))
		if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
			t.Errorf("outside of the layer there are now %v, %v", entries, err)
		}
		// What is there is within the layer.
		if _, err := oci.Layers(s.Lowers(images[0])).ReadFile("evil", 10); err != nil {
			t.Error(err)
		}
	})
	t.Run("devices below dev", func(t *testing.T) {
		s, _ := newStore(t)
		device.Name = "dev/sda"
		images := importAll(t, s, archiveOf(t, imageOf(t, layerOf(t, folder("dev/"), device, file("a", "1"))), "x"))
		if _, _, err := oci.Layers(s.Lowers(images[0])).Lookup("dev/sda"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a device node was made: %v", err)
		}
	})
	t.Run("sparse giant", func(t *testing.T) {
		s, dir := newStore(t)
		// An old GNU sparse header: 1 PiB, of which nothing is stored.
		raw := tarOf(t, entry{tar.Header{Name: "giant", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatGNU}, ""})
		raw[156] = 'S'
		copy(raw[483:495], []byte{0x80, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0})
		fixChecksum(raw[:512])
		_, err := s.Import(t.Context(), bytes.NewReader(archiveOf(t, imageOf(t, layerFrom(t, raw)), "x")), "")
		if err == nil {
			t.Fatal("it was imported")
		}
		t.Log(err)
		nothingLeft(t, s, dir)
	})
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

// edit changes a layout and gives its archive.
func edit(t *testing.T, image v1.Image, change func(dir string)) []byte {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, named(image, "x"))); err != nil {
		t.Fatal(err)
	}
	change(dir)
	return tarFolder(t, dir)
}

func TestLyingArchives(t *testing.T) {
	image := imageOf(t, layerOf(t, file("a", "content")))
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", h.Algorithm, h.Hex) }
	flip := func(name string) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(name, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	manifestDigest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(dir string){
		"manifest changed": func(dir string) { flip(blob(dir, manifestDigest)) },
		"config changed":   func(dir string) { flip(blob(dir, manifest.Config.Digest)) },
		"layer changed":    func(dir string) { flip(blob(dir, manifest.Layers[0].Digest)) },
		"layer longer": func(dir string) {
			f, err := os.OpenFile(blob(dir, manifest.Layers[0].Digest), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("more"); err != nil {
				t.Fatal(err)
			}
			f.Close()
		},
		"layer missing": func(dir string) {
			if err := os.Remove(blob(dir, manifest.Layers[0].Digest)); err != nil {
				t.Fatal(err)
			}
		},
		"no index": func(dir string) {
			if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
				t.Fatal(err)
			}
		},
		"index of rubbish": func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"index to elsewhere": func(dir string) {
			rewrite(t, filepath.Join(dir, "index.json"), manifestDigest.Hex, strings.Repeat("../", 21)+"x")
		},
		"unknown digest": func(dir string) {
			rewrite(t, filepath.Join(dir, "index.json"), "sha256:"+manifestDigest.Hex, "sha512:"+manifestDigest.Hex+manifestDigest.Hex)
		},
	} {
		t.Run(what, func(t *testing.T) {
			s, dir := newStore(t)
			_, err := s.Import(t.Context(), bytes.NewReader(edit(t, image, change)), "")
			if err == nil {
				t.Fatal("it was imported")
			}
			t.Log(err)
			nothingLeft(t, s, dir)
		})
	}
}

func rewrite(t *testing.T, name, old, replacement string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(raw, []byte(old), []byte(replacement)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLyingDiffID has a configuration name another content than its layer's.
func TestLyingDiffID(t *testing.T) {
	honest := imageOf(t, layerOf(t, file("a", "honest")))
	config, err := honest.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	lie := config.DeepCopy()
	sum := sha256.Sum256([]byte("another"))
	lie.RootFS.DiffIDs = []v1.Hash{{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	manifest, err := honest.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(lie)
	if err != nil {
		t.Fatal(err)
	}
	manifest = manifest.DeepCopy()
	if manifest.Config.Digest, manifest.Config.Size, err = v1.SHA256(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	rawManifest, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	manifestDigest, size, err := v1.SHA256(bytes.NewReader(rawManifest))
	if err != nil {
		t.Fatal(err)
	}
	archive := edit(t, honest, func(dir string) {
		index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{{MediaType: types.OCIManifestSchema1, Digest: manifestDigest, Size: size}}})
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			"index.json": index, "blobs/sha256/" + manifestDigest.Hex: rawManifest, "blobs/sha256/" + manifest.Config.Digest.Hex: raw,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	s, dir := newStore(t)
	_, err = s.Import(t.Context(), bytes.NewReader(archive), "")
	if err == nil || !strings.Contains(err.Error(), "the content has the digest") {
		t.Errorf("a layer that is not what the configuration says: %v", err)
	}
	nothingLeft(t, s, dir)
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
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
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
	zeros := strings.Repeat("\x00", 256<<20)
	bomb := imageOf(t, layerOf(t, file("zeros", zeros)))
	many := make([]entry, 0, 8)
	for i := range 8 {
		many = append(many, file(fmt.Sprint("zeros", i), zeros[:24<<20]))
	}
	behindEnd := append(tarOf(t, file("a", "x")), zeros...)
	small := archiveOf(t, imageOf(t, layerOf(t, file("a", "x"))), "small")
	for what, archive := range map[string][]byte{
		"a layer of zeros":       archiveOf(t, bomb, "x"),
		"many files of zeros":    archiveOf(t, imageOf(t, layerOf(t, many...)), "x"),
		"zeros behind the tar":   archiveOf(t, imageOf(t, layerFrom(t, behindEnd)), "x"),
		"an archive in an onion": gzipped(t, append(archiveOf(t, bomb, "x"), zeros...)),
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.Import(t.Context(), bytes.NewReader(archive), "")
			if !errors.Is(err, oci.ErrNoSpace) {
				t.Errorf("%v", err)
			}
			nothingLeft(t, s, filepath.Join(dir, "images"))
		})
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(small), ""); err != nil {
		t.Error(err)
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

func FuzzImport(f *testing.F) {
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, _ := newStore(t)
		_, _ = s.Import(t.Context(), bytes.NewReader(raw), "") // it must not panic
	})
}
