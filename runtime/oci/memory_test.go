package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxImportMemory is the most that a process that imports may have in memory,
// in KiB, this program included: a box has 512 MiB.
const maxImportMemory = 128 << 10

// TestMemory imports what is large, and what would be in memory, in a process
// of its own.
func TestMemory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("unpacking layers takes root")
	}
	for what, make := range map[string]func(t testing.TB, archive io.Writer){
		"a large image":          largeImage,
		"attributes of a MiB":    manyAttributes,
		"a history of a million": longHistory,
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "archive")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			make(t, f)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], dir, "import", name)
			// A box in need of memory collects more eagerly than this.
			cmd.Env = append(os.Environ(), helperEnv+"=1", "GOGC=100")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			var peak int
			if _, err := fmt.Sscanf(string(out), "%d kB", &peak); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			t.Logf("%s: %d MiB", what, peak>>10)
			if peak > maxImportMemory {
				t.Errorf("%d MiB in memory", peak>>10)
			}
		})
	}
}

// layerTo writes an archive of one layer, packed, whose tar write writes.
func layerTo(t testing.TB, archive io.Writer, write func(w io.Writer)) {
	t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	write(io.MultiWriter(z, h))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	p := makeParts(t)
	manifest := p.configured(p.config.with("rootfs", document{"diff_ids": []string{fmt.Sprintf("sha256:%x", h.Sum(nil))}})).
		with("layers", []document{p.layout.blob(typeLayer+"+gzip", packed.Bytes())})
	if _, err := archive.Write(p.archive(t, manifest)); err != nil {
		t.Fatal(err)
	}
}

func largeImage(t testing.TB, archive io.Writer) {
	layerTo(t, archive, func(w io.Writer) {
		tw := tar.NewWriter(w)
		block := make([]byte, 1<<20)
		random := rand.NewChaCha8([32]byte{})
		for i := range 64 {
			if _, err := random.Read(block[:len(block)/2]); err != nil { // half of it can be packed
				t.Fatal(err)
			}
			if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d/f%d", i%7, i), Mode: 0o644, Size: 1 << 20}); err != nil {
				t.Fatal(err)
			}
			if _, err := tw.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// manyAttributes has folders with PAX records of nearly a MiB, 150 MiB in
// all, which are nothing once packed.
func manyAttributes(t testing.TB, archive io.Writer) {
	long := strings.Repeat("x", 1<<20-1000)
	layerTo(t, archive, func(w io.Writer) {
		for i := range 150 {
			raw := tarOf(t, folder(fmt.Sprint("d", i)).with("comment", long))
			if _, err := w.Write(raw[:len(raw)-1024]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
	})
}

// longHistory has many images whose configurations are many times larger when
// they are parsed.
func longHistory(t testing.TB, archive io.Writer) {
	p := makeParts(t)
	var manifests []document
	for i := range 7 {
		config := p.config.with("history", json.RawMessage("["+strings.Repeat("{},", 650_000)+"{}]")).with("author", fmt.Sprint(i))
		manifests = append(manifests, p.layout.document(typeManifest, p.configured(config)))
	}
	p.layout.index(manifests...)
	if _, err := archive.Write(p.layout.tar(t)); err != nil {
		t.Fatal(err)
	}
}
