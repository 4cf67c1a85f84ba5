// Package oci keeps container images: it imports OCI layouts and
// docker-archives with every digest verified, and keeps each layer unpacked
// once, ready to be stacked by overlayfs.
//
// On disk, below the store's directory:
//
//	layers/<id in hexadecimal>/   a layer's files, in overlayfs's form
//	staging/                      imports on their way; emptied by Recover
//
// Layers, images and names are records in three buckets of the database. A
// layer is there when its record is; the record is written last and deleted
// first.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/record"
)

const (
	imageBucket     record.Bucket[imageRecord] = "runtime/images"     // by digest
	layerBucket     record.Bucket[layerRecord] = "runtime/layers"     // by diff id or, if implied, chain id in hexadecimal
	referenceBucket record.Bucket[string]      = "runtime/references" // name to digest
)

// Store is the images of one box. Its methods may be called concurrently.
type Store struct {
	dir      string
	db       *bbolt.DB
	changing chan struct{} // holds one token while layers come or go
}

// imageRecord is what is kept of an image.
type imageRecord struct {
	ConfigDigest      string
	Manifest, Config  []byte
	Layers            []string // keys of layerBucket, the lowest first
	Size              int64
	Created, Imported time.Time
	Architecture, OS  string
}

// layerRecord is what is kept of a layer.
type layerRecord struct {
	Size   int64 // bytes of its files
	OnDisk int64 // bytes that they take
	Plain  int64 // bytes of its tar
	// Implied says that directories have their owners and modes from the layers
	// below, so that it is another one above others.
	Implied bool `json:",omitempty"`
	// Histogram of the tar's bytes; earlier versions did not count them.
	Histogram histogramRecord `json:",omitempty"`
}

// Image is an image in the store.
type Image struct {
	Digest       string   // of the manifest, sha256:...
	ConfigDigest string   // sha256:...
	References   []string // its names, sorted
	Size         int64    // bytes of its layers' files
	Created      time.Time
	Imported     time.Time
	Architecture string
	OS           string
	Entropy      Entropy
	layers       []string
}

var (
	// ErrNotFound is returned for an image that is not in the store.
	ErrNotFound = errors.New("no such image; `images` lists those there are, `import` brings one")
	// ErrInUse is returned for an image that cannot be removed.
	ErrInUse = errors.New("the image is in use")
)

// Open opens the store in dir, which is made if it is not there.
func Open(dir string, db *bbolt.DB) (*Store, error) {
	s := &Store{dir: dir, db: db, changing: make(chan struct{}, 1)}
	// Layers' files keep the owners and modes that images give them, setuid
	// programs included: no user of the box itself has business there.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, d := range []string{s.layers(), s.staging()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	err := record.Update(db, func(tx *bbolt.Tx) error {
		return errors.Join(imageBucket.Create(tx), layerBucket.Create(tx), referenceBucket.Create(tx))
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// LayersDir is the folder of all layers.
func (s *Store) LayersDir() string { return s.layers() }

func (s *Store) layers() string  { return filepath.Join(s.dir, "layers") }
func (s *Store) staging() string { return filepath.Join(s.dir, "staging") }

// lock waits for the right to add and delete layers.
func (s *Store) lock(ctx context.Context) error {
	select {
	case s.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlock() { <-s.changing }

// layer gives what is kept of a layer whose directory is there: one that the
// disk has lost is unpacked again.
func (s *Store) layer(key string) (r layerRecord, ok bool, err error) {
	err = record.View(s.db, func(tx *bbolt.Tx) error {
		r, ok, err = layerBucket.Get(tx, key)
		return err
	})
	if err != nil || !ok {
		return r, false, err
	}
	_, err = os.Stat(s.layerDir(key))
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	return r, err == nil, err
}

// Recover removes what imports and removals that were cut short have left. No
// other method may be running.
func (s *Store) Recover() error {
	_, err := s.sweep()
	return err
}

// Images gives all images, the latest import first.
func (s *Store) Images() ([]Image, error) {
	var images []Image
	err := record.View(s.db, func(tx *bbolt.Tx) (err error) {
		images, err = allImages(tx)
		return err
	})
	slices.SortStableFunc(images, func(a, b Image) int { return b.Imported.Compare(a.Imported) })
	return images, err
}

func allImages(tx *bbolt.Tx) ([]Image, error) {
	var digests []string
	if err := imageBucket.Each(tx, func(digest string, _ imageRecord) error {
		digests = append(digests, digest)
		return nil
	}); err != nil {
		return nil, err
	}
	images := make([]Image, len(digests))
	for i, d := range digests {
		var err error
		if images[i], err = getImage(tx, d); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// Get gives the image that ref means: a name, with or without its tag; or the
// digest of its manifest or of its configuration, or a beginning of one that
// no other image has.
func (s *Store) Get(ref string) (Image, error) {
	var image Image
	err := record.View(s.db, func(tx *bbolt.Tx) error {
		digest, _, err := lookup(tx, ref)
		if err != nil {
			return err
		}
		image, err = getImage(tx, digest)
		return err
	})
	return image, err
}

// Config is what the image says about how it is to be run.
func (s *Store) Config(digest string) (v1.Config, error) {
	var config imageConfig
	err := record.View(s.db, func(tx *bbolt.Tx) error {
		r, ok, err := imageBucket.Get(tx, digest)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s: %w", digest, ErrNotFound)
		}
		config, err = parseImageConfig(r.Config)
		return err
	})
	return config.Config, err
}

// Lowers gives the directories of the image's layers, the topmost first, as
// overlayfs wants them.
func (s *Store) Lowers(image Image) []string {
	var dirs []string
	for _, id := range slices.Backward(uniqueLayers(image.layers)) {
		dir := s.layerDir(id)
		dirs = append(dirs, dir)
		if isOpaque(dir) { // which overlayfs does not see at the root
			break
		}
	}
	return dirs
}

// Exists says, within a transaction, whether an image is in the store.
func Exists(tx *bbolt.Tx, digest string) (bool, error) {
	_, ok, err := imageBucket.Get(tx, digest)
	return ok, err
}

// lookup gives the digest that ref means, and the name, if it was one.
func lookup(tx *bbolt.Tx, ref string) (digest, name string, err error) {
	if strings.ContainsFunc(ref, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", "", fmt.Errorf("%w: %.300q", ErrName, ref)
	}
	var nameErr error
	if !strings.HasPrefix(ref, "sha256:") {
		if name, nameErr = NormalizeReference(ref); nameErr == nil {
			digest, ok, err := referenceBucket.Get(tx, name)
			if err != nil || ok {
				return digest, name, err
			}
		}
	}
	prefix, ok := parseDigestPrefix(ref)
	if !ok {
		if nameErr != nil {
			return "", "", nameErr
		}
		return "", "", fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	matches := make(map[string]bool)
	err = imageBucket.Each(tx, func(d string, r imageRecord) error {
		if strings.HasPrefix(d, "sha256:"+prefix) || strings.HasPrefix(r.ConfigDigest, "sha256:"+prefix) {
			digest = d
			matches[d] = true
		}
		return nil
	})
	switch {
	case err != nil:
		return "", "", err
	case len(matches) == 0:
		return "", "", fmt.Errorf("%s: %w", ref, ErrNotFound)
	case len(matches) > 1:
		return "", "", fmt.Errorf("%s: %w", ref, ErrAmbiguous)
	}
	return digest, "", nil
}

func getImage(tx *bbolt.Tx, digest string) (Image, error) {
	r, ok, err := imageBucket.Get(tx, digest)
	if err != nil {
		return Image{}, err
	}
	if !ok {
		return Image{}, fmt.Errorf("%s: %w", digest, ErrNotFound)
	}
	image := Image{
		Digest: digest, ConfigDigest: r.ConfigDigest, Size: r.Size, Created: r.Created, Imported: r.Imported,
		Architecture: r.Architecture, OS: r.OS, layers: r.Layers,
	}
	if image.Entropy, err = imageEntropy(tx, r.Layers); err != nil {
		return Image{}, err
	}
	err = referenceBucket.Each(tx, func(name, d string) error {
		if d == digest {
			image.References = append(image.References, name)
		}
		return nil
	})
	return image, err
}
