package oci

import (
	"os"
	"strings"

	"github.com/entroos/entroos/runtime/record"
	"go.etcd.io/bbolt"
)

// Remove takes a name off an image, or, given a digest, all its names. When
// the image has no name left, it is deleted with those of its layers that no
// other image has; unless, asked within the transaction, inUse fails, which is
// then returned and changes nothing.
func (s *Store) Remove(ref string, inUse func(tx *bbolt.Tx, digest string) error) error {
	// No import may find a layer recorded that is about to go.
	s.importing <- struct{}{}
	defer func() { <-s.importing }()

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
		for _, r := range image.References {
			if name == "" || name == r {
				if err := referenceBucket.Delete(tx, r); err != nil {
					return err
				}
			}
		}
		if name != "" && len(image.References) > 1 {
			return nil // it keeps its other names
		}
		if err := inUse(tx, digest); err != nil {
			return err
		}
		if err := imageBucket.Delete(tx, digest); err != nil {
			return err
		}
		if orphans, err = orphanedLayers(tx, image.layers); err != nil {
			return err
		}
		for _, id := range orphans {
			if err := layerBucket.Delete(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A power cut here leaves directories without a record, for Recover.
	for _, id := range orphans {
		if err := os.RemoveAll(s.layerDir(id)); err != nil {
			return err
		}
	}
	return nil
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
