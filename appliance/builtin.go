package appliance

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/runtime/record"
)

// BuiltInImages is where the image's build puts OCI archives.
const BuiltInImages = "/usr/share/entroos/images"

// importedArchives has, by an archive's fingerprint, the images that its first
// import gave.
const importedArchives record.Bucket[[]archivedImage] = "appliance/built-in archives"

type archivedImage struct {
	Digest     string
	References []string
}

// absent says whether the image is to be imported again: it was removed, and
// not only replaced by another that has its names now.
func (i archivedImage) absent(have []*entroosv1.Image) bool {
	if slices.ContainsFunc(have, func(h *entroosv1.Image) bool { return h.GetDigest() == i.Digest }) {
		return false
	}
	return len(i.References) == 0 || slices.ContainsFunc(i.References, func(name string) bool {
		return !slices.ContainsFunc(have, func(h *entroosv1.Image) bool { return slices.Contains(h.GetReferences(), name) })
	})
}

// images is what the runtime does for built-in ones.
type images interface {
	Images() ([]*entroosv1.Image, error)
	Import(ctx context.Context, archive io.Reader, reference string) ([]*entroosv1.Image, error)
	RestoreImages(ctx context.Context, archive io.Reader, reference string) ([]*entroosv1.Image, error)
}

// importBuiltIn imports the archives in folder whose images are not there: at
// the first boot, after an update that brought others, and after they were
// removed. An archive that was imported before takes no name from another image:
// an operator has brought a newer one. Each archive that cannot be imported is an error, and is tried
// again at the next boot.
func importBuiltIn(ctx context.Context, engine images, db *bbolt.DB, folder string) []error {
	names, err := filepath.Glob(filepath.Join(folder, "*.tar"))
	if err != nil || len(names) == 0 {
		return nil // the pattern is good
	}
	if err := record.Update(db, importedArchives.Create); err != nil {
		return []error{fmt.Errorf("built-in images: %w", err)}
	}
	var failed []error
	for _, name := range names {
		if err := importArchive(ctx, engine, db, name); err != nil {
			failed = append(failed, fmt.Errorf("built-in image %s: %w", filepath.Base(name), err))
		}
	}
	return failed
}

func importArchive(ctx context.Context, engine images, db *bbolt.DB, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	print, err := fingerprint(f)
	if err != nil {
		return err
	}
	var known []archivedImage
	if err := record.View(db, func(tx *bbolt.Tx) error {
		known, _, err = importedArchives.Get(tx, print)
		return err
	}); err != nil {
		return err
	}
	have, err := engine.Images()
	if err != nil {
		return err
	}
	absent := func(i archivedImage) bool { return i.absent(have) }
	if len(known) > 0 && !slices.ContainsFunc(known, absent) {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	reference := strings.ToLower(strings.TrimSuffix(filepath.Base(name), ".tar"))
	if len(known) > 0 {
		_, err := engine.RestoreImages(ctx, f, reference)
		return err
	}
	imported, err := engine.Import(ctx, f, reference)
	if err != nil {
		return err
	}
	for _, i := range imported {
		known = append(known, archivedImage{i.GetDigest(), i.GetReferences()})
	}
	return record.Update(db, func(tx *bbolt.Tx) error { return importedArchives.Put(tx, print, known) })
}

// smallFile bounds the files of an archive that a fingerprint takes in whole.
const smallFile = 64 << 10

// fingerprint identifies an archive without reading its layers: by the names
// and sizes of all its files, and the content of the small ones, the indexes
// and configurations in which the digests of the others stand.
func fingerprint(f *os.File) (string, error) {
	sum := sha256.New()
	r := tar.NewReader(f) // seeks over what is not read
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		} else if err != nil {
			return "", fmt.Errorf("this is no plain tar: %w", err)
		}
		fmt.Fprintf(sum, "%q %d %d\n", h.Name, h.Typeflag, h.Size)
		if h.Size > smallFile {
			continue
		}
		if _, err := io.Copy(sum, r); err != nil {
			return "", err
		}
	}
}
