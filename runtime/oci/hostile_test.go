package oci_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
)

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
	if !errors.Is(err, oci.ErrDigest) {
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
			if !errors.Is(err, oci.ErrNoSpace) && !errors.Is(err, oci.ErrTooLarge) {
				t.Errorf("%v", err)
			}
			nothingLeft(t, s, filepath.Join(dir, "images"))
		})
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(small), ""); err != nil {
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
