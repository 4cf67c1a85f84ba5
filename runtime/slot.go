package runtime

import (
	"fmt"
	"regexp"

	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/record"
	"go.etcd.io/bbolt"
)

// Each container has a slot from its first creation to its removal: from it
// follow its range of user and group ids on the box, and its address.
const (
	// idsPerContainer is how many user and group ids a container has.
	idsPerContainer = 1 << 16
	// firstID is the first slot's root, above all ids that people use.
	firstID = 1 << 20
	// maxSlots keeps ids below 2^31, which some programs take for negative.
	maxSlots = 32000
)

const _ = uint(network.MaxSlots - maxSlots) // each slot has an address

// containerRecord is what is kept of a container until it is removed.
type containerRecord struct {
	Slot  int
	Image string // digest, sha256:...
}

const containerBucket record.Bucket[containerRecord] = "runtime/containers"

// rootID is the box's user and group id of the container's root.
func (c containerRecord) rootID() uint32 { return firstID + uint32(c.Slot)*idsPerContainer }

var idPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$`)

// claim gives the container's record, and makes it with a slot of its own if
// there is none. While there is one, its image is not removed.
func (r *Runtime) claim(id, image string) (containerRecord, error) {
	var c containerRecord
	var ok bool
	err := record.View(r.db, func(tx *bbolt.Tx) (err error) {
		c, ok, err = containerBucket.Get(tx, id)
		return err
	})
	if err != nil {
		return c, err
	}
	if ok {
		if c.Image != image {
			return c, fmt.Errorf("container %s was made from image %s", id, c.Image)
		}
		return c, nil
	}
	err = record.Update(r.db, func(tx *bbolt.Tx) error {
		present, err := oci.Exists(tx, image)
		if err != nil {
			return err
		}
		if !present {
			return fmt.Errorf("image %s: %w", image, oci.ErrNotFound)
		}
		used := make(map[int]bool)
		err = containerBucket.Each(tx, func(_ string, other containerRecord) error {
			used[other.Slot] = true
			return nil
		})
		if err != nil {
			return err
		}
		c = containerRecord{Image: image}
		for used[c.Slot] {
			c.Slot++
		}
		if c.Slot >= maxSlots {
			return fmt.Errorf("there are %d containers already", maxSlots)
		}
		return containerBucket.Put(tx, id, c)
	})
	return c, err
}

// lookup gives the container's record, and whether there is one.
func (r *Runtime) lookup(id string) (c containerRecord, ok bool, err error) {
	err = record.View(r.db, func(tx *bbolt.Tx) (err error) {
		c, ok, err = containerBucket.Get(tx, id)
		return err
	})
	return c, ok, err
}
