package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entroos/entroos/runtime/record"
	"go.etcd.io/bbolt"
)

// Import reads an image archive: an OCI layout or a docker-archive, as a tar
// stream that is plain or compressed with gzip or zstd. Every digest is
// verified. All its images for this platform become visible at once when all
// is on disk; when Import fails, none does and nothing is left behind. An
// image that carries no name is named fallback, when that is given. The images
// are in the archive's order.
func (s *Store) Import(ctx context.Context, r io.Reader, fallback string) ([]Image, error) {
	if fallback != "" {
		name, err := NormalizeReference(fallback)
		if err != nil {
			return nil, err
		}
		fallback = name
	}
	// One import at a time, so that each knows what space it has.
	select {
	case s.importing <- struct{}{}:
		defer func() { <-s.importing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	left, err := s.budget()
	if err != nil {
		return nil, err
	}
	a, err := spool(ctx, r, s.staging(), left.bytes)
	if err != nil {
		return nil, err
	}
	defer a.close()
	images, err := a.images(ctx, left.bytes)
	if err != nil {
		return nil, err
	}
	if err := nameImages(images, fallback); err != nil {
		return nil, err
	}
	in := &importing{store: s, archive: a, staged: make(map[string]stagedLayer)}
	if left, err := s.budget(); err != nil { // what the spool has left
		return nil, err
	} else {
		in.left = left
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
				return err
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
	left    budget
	staged  map[string]stagedLayer // by diff id, those that are new
}

// stagedLayer is an unpacked layer under a temporary name.
type stagedLayer struct {
	dir  string
	size int64
}

func (in *importing) run(ctx context.Context, images []found) (_ []Image, err error) {
	var placed []string
	defer func() {
		for _, l := range in.staged {
			err = errors.Join(err, os.RemoveAll(l.dir))
		}
		if err != nil {
			for _, dir := range placed {
				err = errors.Join(err, os.RemoveAll(dir))
			}
		}
	}()
	for _, image := range images {
		if err := in.stage(ctx, image); err != nil {
			return nil, err
		}
	}
	if len(in.staged) > 0 {
		if err := syncFileSystem(in.store.dir); err != nil {
			return nil, err
		}
		for id, l := range in.staged {
			to := in.store.layerDir(id)
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
	return in.commit(images)
}

// stage unpacks those of the image's layers that are not there, and verifies
// the others.
func (in *importing) stage(ctx context.Context, image found) error {
	var lowers []string
	for _, l := range image.layers {
		id := l.diffID.Hex
		dir := in.store.layerDir(id)
		if staged, ok := in.staged[id]; ok {
			dir = staged.dir
		}
		have, err := in.have(id)
		if err != nil {
			return err
		}
		if err := in.layer(ctx, l, have, lowers); err != nil {
			return err
		}
		if staged, ok := in.staged[id]; ok {
			dir = staged.dir
		}
		lowers = slices.Insert(lowers, 0, dir)
	}
	return nil
}

func (in *importing) have(id string) (ok bool, err error) {
	if _, ok := in.staged[id]; ok {
		return true, nil
	}
	err = record.View(in.store.db, func(tx *bbolt.Tx) error {
		_, ok, err = layerBucket.Get(tx, id)
		return err
	})
	return ok, err
}

func (in *importing) layer(ctx context.Context, l layerSource, have bool, lowers []string) error {
	if have {
		return in.archive.check(ctx, l, in.left)
	}
	dir, err := os.MkdirTemp(in.store.staging(), "layer-")
	if err != nil {
		return err
	}
	in.staged[l.diffID.Hex] = stagedLayer{dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := in.archive.unpack(ctx, l, dir, lowers, &in.left); err != nil {
		return err
	}
	size, err := directorySize(dir)
	if err != nil {
		return err
	}
	in.staged[l.diffID.Hex] = stagedLayer{dir: dir, size: size}
	return nil
}

// commit records layers, images and names in one transaction.
func (in *importing) commit(images []found) ([]Image, error) {
	now := time.Now()
	var committed []Image
	err := record.Update(in.store.db, func(tx *bbolt.Tx) error {
		committed = committed[:0]
		for id, l := range in.staged {
			if err := layerBucket.Put(tx, id, layerRecord{Size: l.size}); err != nil {
				return err
			}
		}
		for _, f := range images {
			ok, err := Exists(tx, f.digest.String())
			if err != nil {
				return err
			}
			if !ok {
				r, err := f.record(tx, now)
				if err != nil {
					return err
				}
				if err := imageBucket.Put(tx, f.digest.String(), r); err != nil {
					return err
				}
			}
			for _, name := range f.names {
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

func (f *found) record(tx *bbolt.Tx, now time.Time) (imageRecord, error) {
	r := imageRecord{
		ConfigDigest: f.configID.String(), Manifest: f.manifest, Config: f.raw,
		Created: f.config.Created.Time, Imported: now,
		Architecture: f.config.Architecture, OS: f.config.OS,
	}
	for _, l := range f.layers {
		r.Layers = append(r.Layers, l.diffID.Hex)
	}
	for _, id := range uniqueLayers(r.Layers) {
		l, ok, err := layerBucket.Get(tx, id)
		if err != nil {
			return r, err
		}
		if !ok {
			return r, fmt.Errorf("layer %s is not recorded", id)
		}
		r.Size += l.Size
	}
	return r, nil
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
