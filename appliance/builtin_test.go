package appliance

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.etcd.io/bbolt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/oci"
)

// storedImages has the runtime's image store do what built-in images need, and
// counts the imports.
type storedImages struct {
	*oci.Store
	imports int
}

func (s *storedImages) Images() ([]*entroosv1.Image, error) {
	images, err := s.Store.Images()
	return protoImages(images), err
}

func (s *storedImages) Import(ctx context.Context, archive io.Reader, reference string) ([]*entroosv1.Image, error) {
	s.imports++
	images, err := s.Store.Import(ctx, archive, reference)
	return protoImages(images), err
}

func (s *storedImages) RestoreImages(ctx context.Context, archive io.Reader, reference string) ([]*entroosv1.Image, error) {
	s.imports++
	images, err := s.Restore(ctx, archive, reference)
	return protoImages(images), err
}

func protoImages(images []oci.Image) []*entroosv1.Image {
	var all []*entroosv1.Image
	for _, i := range images {
		all = append(all, &entroosv1.Image{Digest: i.Digest, References: i.References})
	}
	return all
}

func TestBuiltInImages(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := oci.Open(filepath.Join(dir, "images"), db)
	if err != nil {
		t.Fatal(err)
	}
	engine := &storedImages{Store: store}
	folder := filepath.Join(dir, "built-in")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	check := func(imports, images int) {
		t.Helper()
		if err := importBuiltIn(t.Context(), engine, db, folder); err != nil {
			t.Error(err)
		}
		have, err := engine.Images()
		if err != nil || len(have) != images || engine.imports != imports {
			t.Errorf("%d images after %d imports, want %d after %d; %v", len(have), engine.imports, images, imports, err)
		}
	}
	check(0, 0) // none is built in
	archive := func(file string, references ...string) {
		t.Helper()
		image, err := random.Image(200_000, 2)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", "amd64"
		if image, err = mutate.ConfigFile(image, config); err != nil {
			t.Fatal(err)
		}
		named := make(map[name.Reference]v1.Image)
		for _, reference := range references {
			ref, err := name.ParseReference(reference)
			if err != nil {
				t.Fatal(err)
			}
			named[ref] = image
		}
		if err := tarball.MultiRefWriteToFile(filepath.Join(folder, file), named); err != nil {
			t.Fatal(err)
		}
	}
	// byHand has an operator import another image.
	byHand := func(reference string) {
		t.Helper()
		archive("operator.tar", reference)
		f, err := os.Open(filepath.Join(folder, "operator.tar"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := engine.Import(t.Context(), f, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
	archive("One.tar", "one:1")
	check(1, 1)
	check(1, 1) // a boot later
	archive("two.tar", "two:1")
	check(2, 2)
	archive("two.tar", "two:2") // an update brought another
	check(3, 3)
	if err := store.Remove(t.Context(), "one:1", func(*bbolt.Tx, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	check(4, 3) // what was removed is there again

	// An operator's newer import keeps the name, whether the built-in one is
	// still there or pruned.
	meaning := func(reference string) string {
		t.Helper()
		image, err := store.Get(reference)
		if err != nil {
			t.Fatal(err)
		}
		return image.Digest
	}
	builtIn := meaning("one:1")
	byHand("one:1")
	replaced := meaning("one:1")
	check(5, 4)
	if err := store.Remove(t.Context(), builtIn, func(*bbolt.Tx, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	check(5, 3)
	if got := meaning("one:1"); got != replaced || got == builtIn {
		t.Errorf("the name means %s, not %s; built in is %s", got, replaced, builtIn)
	}
	// An archive of another version may have the name.
	archive("One.tar", "one:1")
	check(6, 4)
	if meaning("one:1") == replaced {
		t.Error("an update's image does not have its name")
	}
	// Of two names an operator has taken one.
	archive("both.tar", "both:1", "both:2")
	check(7, 5)
	builtIn = meaning("both:1")
	byHand("both:1")
	replaced = meaning("both:1")
	if err := store.Remove(t.Context(), builtIn, func(*bbolt.Tx, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	check(9, 6)
	if meaning("both:1") != replaced || meaning("both:2") != builtIn {
		t.Errorf("the names mean %s and %s", meaning("both:1"), meaning("both:2"))
	}
	check(9, 6)

	writeFile(t, filepath.Join(folder, "bad.tar"), "no archive")
	failed := importBuiltIn(t.Context(), engine, db, folder)
	if len(failed) != 1 || !strings.HasPrefix(failed[0].Error(), "built-in image bad.tar: ") {
		t.Errorf("%v", failed)
	}
}
