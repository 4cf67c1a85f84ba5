package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/record"
	"github.com/entroos/entroos/runtime/space"
	"github.com/entroos/entroos/runtime/tree"
)

// Import reads an image archive: an OCI layout or a docker-archive, as a tar
// stream that is plain or compressed with gzip or zstd. Every digest is
// verified. All its images for this platform become visible at once when all
// is on disk; when Import fails, none does and nothing is left behind. An
// image that carries no name is named fallback, when that is given. The images
// are in the archive's order.
func (s *Store) Import(ctx context.Context, r io.Reader, fallback string) ([]Image, error) {
	return s.importNamed(ctx, r, fallback, false)
}

// Restore is Import for an archive that was imported before: a name that means
// another image by now goes on to mean that one.
func (s *Store) Restore(ctx context.Context, r io.Reader, fallback string) ([]Image, error) {
	return s.importNamed(ctx, r, fallback, true)
}

func (s *Store) importNamed(ctx context.Context, r io.Reader, fallback string, keepNames bool) ([]Image, error) {
	if fallback != "" {
		name, err := NormalizeReference(fallback)
		if err != nil {
			return nil, err
		}
		fallback = name
	}
	images, err := s.importArchive(ctx, r, fallback, keepNames)
	return images, printable(space.Explain(err))
}

func (s *Store) importArchive(ctx context.Context, r io.Reader, fallback string, keepNames bool) ([]Image, error) {
	left, err := space.NewRoom(s.dir)
	if err != nil {
		return nil, err
	}
	// A client that does not go on sending keeps nobody else waiting.
	a, err := spool(ctx, r, s.staging(), left)
	if err != nil {
		return nil, err
	}
	defer a.close()
	images, err := a.images()
	if err != nil {
		return nil, err
	}
	if err := nameImages(images, fallback); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	if err := left.Look(); err != nil {
		return nil, err
	}
	in := &importing{
		store: s, archive: a, left: left, staged: make(map[string]stagedLayer), layers: make(map[string]layerRecord),
		counted: make(map[string]bool), checked: make(map[layerSource]bool), keepNames: keepNames,
	}
	return in.run(ctx, images)
}

// nameImages normalises the names that the archive gives, and gives fallback
// to the first image that has none.
func nameImages(images []found, fallback string) error {
	for i := range images {
		var names []string
		for _, raw := range images[i].names {
			name, err := NormalizeReference(raw)
			if err != nil {
				return malformed(err)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) == 0 && fallback != "" {
			names, fallback = []string{fallback}, ""
		}
		images[i].names = names
	}
	return nil
}

// importing is one import on its way.
type importing struct {
	store   *Store
	archive *imageArchive
	left    *space.Room
	staged  map[string]stagedLayer // by key, those that are new
	layers  map[string]layerRecord // by key, those that were there
	counted map[string]bool        // those of layers whose bytes were not counted before
	checked map[layerSource]bool   // those whose digests were verified

	keepNames bool // names that are taken stay where they are
}

// stagedLayer is an unpacked layer under a temporary name.
type stagedLayer struct {
	dir string
	layerRecord
}

func (in *importing) run(ctx context.Context, images []found) (_ []Image, err error) {
	var placed []string
	defer func() {
		for _, l := range in.staged {
			err = errors.Join(err, tree.Remove(l.dir))
		}
		if err != nil {
			for _, dir := range placed {
				err = errors.Join(err, tree.Remove(dir))
			}
		}
	}()
	records := make([]imageRecord, len(images))
	for i := range images {
		if records[i], err = in.stage(ctx, &images[i]); err != nil {
			return nil, err
		}
	}
	if len(in.staged) > 0 {
		if err := syncFileSystem(in.store.dir); err != nil {
			return nil, err
		}
		for id, l := range in.staged {
			to := in.store.layerDir(id)
			// What is there has no record: an import was cut short.
			if err := tree.Remove(to); err != nil {
				return nil, err
			}
			if err := os.Rename(l.dir, to); err != nil {
				return nil, err
			}
			placed = append(placed, to)
		}
		if err := syncDirectory(in.store.layers()); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return in.commit(images, records)
}

// stage unpacks those of the image's layers that are not there, and verifies
// the others.
func (in *importing) stage(ctx context.Context, image *found) (imageRecord, error) {
	r := imageRecord{
		ConfigDigest: image.configID.String(), Config: image.raw, Created: image.config.Created.Time, Imported: time.Now(),
		Architecture: image.config.Architecture, OS: image.config.OS,
	}
	var lowers []string
	chain := ""
	sizes := make(map[v1.Hash]int64)
	for _, l := range image.layers {
		chain = chainKey(chain, l.diffID.Hex)
		key, err := in.layer(ctx, l, chain, lowers)
		if err != nil {
			return r, err
		}
		dir := in.store.layerDir(key)
		if staged, ok := in.staged[key]; ok {
			dir = staged.dir
		}
		lowers = slices.Insert(lowers, 0, dir)
		r.Layers = append(r.Layers, key)
		sizes[l.diffID] = in.record(key).Plain
	}
	for _, key := range uniqueLayers(r.Layers) {
		r.Size += in.record(key).Size
	}
	err := image.seal(func(diffID v1.Hash) int64 { return sizes[diffID] })
	r.Manifest = image.manifest
	return r, err
}

// chainKey is the key of a layer that is what it is only above the layers that
// make the chain below, as the OCI image specification computes a chain's id.
func chainKey(below, diffID string) string {
	if below == "" {
		return diffID
	}
	sum := sha256.Sum256([]byte("sha256:" + below + " sha256:" + diffID))
	return hex.EncodeToString(sum[:])
}

func (in *importing) record(key string) layerRecord {
	if staged, ok := in.staged[key]; ok {
		return staged.layerRecord
	}
	return in.layers[key]
}

// layer gives the key of a layer's directory, of one that is there already, or
// of a new one.
func (in *importing) layer(ctx context.Context, l layerSource, chain string, lowers []string) (key string, err error) {
	key, ok, err := in.find(chain, l.diffID.Hex)
	if err != nil {
		return "", err
	}
	if ok {
		return key, in.check(ctx, l, key)
	}
	dir, err := os.MkdirTemp(in.store.staging(), "layer-")
	if err != nil {
		return "", err
	}
	in.staged[chain] = stagedLayer{dir: dir} // to be removed when this fails
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	staged := stagedLayer{dir: dir}
	counts, implied, err := in.archive.unpack(ctx, l, dir, lowers, in.left)
	if err != nil {
		return "", err
	}
	staged.Plain, staged.Implied, staged.Histogram = int64(counts.Total()), implied, newHistogramRecord(counts)
	if staged.Size, staged.OnDisk, err = folderSize(dir); err != nil {
		return "", err
	}
	if key = chain; !staged.Implied {
		key = l.diffID.Hex
	}
	delete(in.staged, chain)
	in.staged[key] = staged
	in.checked[l] = true
	return key, nil
}

// check verifies a layer of the archive that was there before, once, and counts
// its bytes if an earlier version has not.
func (in *importing) check(ctx context.Context, l layerSource, key string) error {
	r := in.record(key)
	var counts *equations.Histogram
	if len(r.Histogram) == 0 {
		counts = new(equations.Histogram)
	}
	if in.checked[l] && counts == nil {
		return nil
	}
	if err := in.archive.check(ctx, l, r.Plain, counts); err != nil {
		return err
	}
	in.checked[l] = true
	if counts != nil {
		r.Histogram = newHistogramRecord(counts)
		in.layers[key], in.counted[key] = r, true
	}
	return nil
}

// find looks for a layer: for one that was unpacked above the same layers, or
// for one that is the same above any.
func (in *importing) find(chain, diffID string) (key string, ok bool, err error) {
	for _, key := range []string{chain, diffID} {
		r, ok := in.layers[key]
		if staged, isStaged := in.staged[key]; isStaged {
			r, ok = staged.layerRecord, true
		}
		if !ok {
			if r, ok, err = in.store.layer(key); err != nil {
				return "", false, err
			}
		}
		if ok && (key == chain || !r.Implied) {
			if _, staged := in.staged[key]; !staged {
				in.layers[key] = r
			}
			return key, true, nil
		}
	}
	return "", false, nil
}

// commit records layers, images and names in one transaction.
func (in *importing) commit(images []found, records []imageRecord) ([]Image, error) {
	var committed []Image
	err := record.Update(in.store.db, func(tx *bbolt.Tx) error {
		committed = committed[:0]
		for id, l := range in.staged {
			if err := layerBucket.Put(tx, id, l.layerRecord); err != nil {
				return err
			}
		}
		for id := range in.counted {
			if err := layerBucket.Put(tx, id, in.layers[id]); err != nil {
				return err
			}
		}
		for i, f := range images {
			ok, err := Exists(tx, f.digest.String())
			if err != nil {
				return err
			}
			if !ok {
				if err := imageBucket.Put(tx, f.digest.String(), records[i]); err != nil {
					return err
				}
			}
			for _, name := range f.names {
				_, taken, err := referenceBucket.Get(tx, name)
				if err != nil {
					return err
				}
				if taken && in.keepNames {
					continue
				}
				if err := referenceBucket.Put(tx, name, f.digest.String()); err != nil {
					return err
				}
			}
		}
		for _, f := range images {
			image, err := getImage(tx, f.digest.String())
			if err != nil {
				return err
			}
			committed = append(committed, image)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	clear(in.staged)
	return committed, nil
}

// uniqueLayers leaves out all but the topmost of layers that occur more than
// once, which changes nothing: it puts back all that those between took away,
// and takes away all that the lower one did. Layers are the lowest first.
func uniqueLayers(layers []string) []string {
	var unique []string
	for i, id := range layers {
		if !slices.Contains(layers[i+1:], id) {
			unique = append(unique, id)
		}
	}
	return unique
}

func (s *Store) layerDir(id string) string { return filepath.Join(s.layers(), id) }
