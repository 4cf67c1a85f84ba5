package oci

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/record"
	"github.com/entroos/entroos/runtime/tree"
)

// Prune removes all images for which inUse, asked within the transaction, gives
// no error that is ErrInUse, and what imports and removals that were cut short
// have left. It gives what it removed, and how many bytes of disk that took.
func (s *Store) Prune(ctx context.Context, inUse func(tx *bbolt.Tx, digest string) error) (removed []Image, freed int64, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, 0, err
	}
	defer s.unlock()
	err = record.Update(s.db, func(tx *bbolt.Tx) error {
		removed = nil
		images, err := allImages(tx)
		if err != nil {
			return err
		}
		for _, image := range images {
			err := inUse(tx, image.Digest)
			if errors.Is(err, ErrInUse) {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := deleteImage(tx, image); err != nil {
				return err
			}
			removed = append(removed, image)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	freed, err = s.sweep()
	return removed, freed, err
}

// sweep deletes the directories of layers without a record, and what is staged.
// Layers must not come or go meanwhile.
func (s *Store) sweep() (freed int64, err error) {
	recorded := make(map[string]bool)
	err = record.View(s.db, func(tx *bbolt.Tx) error {
		return layerBucket.Each(tx, func(id string, _ layerRecord) error {
			recorded[id] = true
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, dir := range []string{s.staging(), s.layers()} {
		entries, err := os.ReadDir(dir)
		failed = append(failed, err)
		for _, e := range entries {
			if dir == s.layers() && recorded[e.Name()] {
				continue
			}
			path := filepath.Join(dir, e.Name())
			// What cannot be measured can be removed all the same.
			_, onDisk, err := folderSize(path)
			if err != nil {
				onDisk = 0
			}
			if err := tree.Remove(path); err != nil {
				failed = append(failed, err)
				continue
			}
			freed += onDisk
		}
	}
	return freed, errors.Join(failed...)
}
