package oci

import (
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/runtime/record"
	"github.com/entroos/entroos/runtime/tree"
)

// Remove takes a name off an image, or, given a digest, all its names. When
// the image has no name left, it is deleted with those of its layers that no
// other image has; unless, asked within the transaction, inUse fails, which is
// then returned and changes nothing.
func (s *Store) Remove(ctx context.Context, ref string, inUse func(tx *bbolt.Tx, digest string) error) error {
	// No import may find a layer recorded that is about to go.
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()

	var orphans []string
	err := record.Update(s.db, func(tx *bbolt.Tx) error {
		orphans = nil
		digest, name, err := lookup(tx, ref)
		if err != nil {
			return err
		}
		image, err := getImage(tx, digest)
		if err != nil {
			return err
		}
		if name != "" && len(image.References) > 1 {
			return referenceBucket.Delete(tx, name) // it keeps its other names
		}
		if err := inUse(tx, digest); err != nil {
			return err
		}
		orphans, err = deleteImage(tx, image)
		return err
	})
	if err != nil {
		return err
	}
	// A power cut here leaves directories without a record, for Recover.
	for _, id := range orphans {
		if err := tree.Remove(s.layerDir(id)); err != nil {
			return err
		}
	}
	return nil
}

// deleteImage deletes an image's records, and gives the layers that no other
// image has.
func deleteImage(tx *bbolt.Tx, image Image) (orphans []string, err error) {
	for _, name := range image.References {
		if err := referenceBucket.Delete(tx, name); err != nil {
			return nil, err
		}
	}
	if err := imageBucket.Delete(tx, image.Digest); err != nil {
		return nil, err
	}
	if orphans, err = orphanedLayers(tx, image.layers); err != nil {
		return nil, err
	}
	for _, id := range orphans {
		if err := layerBucket.Delete(tx, id); err != nil {
			return nil, err
		}
	}
	return orphans, nil
}

// orphanedLayers gives those of layers that no image has.
func orphanedLayers(tx *bbolt.Tx, layers []string) ([]string, error) {
	used := make(map[string]bool)
	err := imageBucket.Each(tx, func(_ string, r imageRecord) error {
		for _, id := range r.Layers {
			used[id] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var orphans []string
	for _, id := range uniqueLayers(layers) {
		if !used[id] {
			orphans = append(orphans, id)
		}
	}
	return orphans, nil
}

// ShortDigest gives the twelve digits by which people call an image.
func ShortDigest(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(12, len(hex))]
}
