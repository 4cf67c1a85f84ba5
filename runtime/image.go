package runtime

import (
	"context"
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/oci"
)

// Import reads an image archive, an OCI layout or a docker-archive as a tar
// stream, plain or compressed with gzip or zstd, verifies every digest, and
// gives the images in it. All of them appear at once, or none. An image that
// carries no name gets ref, when that is not empty.
func (r *Runtime) Import(ctx context.Context, archive io.Reader, ref string) ([]*entroosv1.Image, error) {
	images, err := r.images.Import(ctx, archive, ref)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return imageMessages(images), nil
}

// RestoreImages is Import for an archive that was imported before: a name that
// means another image by now goes on to mean that one.
func (r *Runtime) RestoreImages(ctx context.Context, archive io.Reader, ref string) ([]*entroosv1.Image, error) {
	images, err := r.images.Restore(ctx, archive, ref)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return imageMessages(images), nil
}

// Images gives all images, the latest import first.
func (r *Runtime) Images() ([]*entroosv1.Image, error) {
	images, err := r.images.Images()
	return imageMessages(images), err
}

// Image gives the one that ref means: name[:tag], a digest, or the beginning
// of a digest that no other image has. Its error is oci.ErrNotFound or
// oci.ErrAmbiguous, or the database's.
func (r *Runtime) Image(ref string) (*entroosv1.Image, error) {
	image, err := r.images.Get(ref)
	if err != nil {
		return nil, err
	}
	return imageMessage(image), nil
}

// ImageHistogram is how often each byte value occurs in the uncompressed layers
// of the image with that digest; nil when an earlier version imported it and did
// not count them.
func (r *Runtime) ImageHistogram(digest string) (*equations.Histogram, error) {
	return r.images.Histogram(digest)
}

// RemoveImage takes the name off the image, or all its names when ref is a
// digest. An image without names is deleted with the layers that no other has.
// While a container has it, its last name stays: oci.ErrInUse.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	return r.images.Remove(ctx, ref, imageInUse)
}

// PruneImages deletes the images that no container has, and what imports and
// removals that were cut short have left. It gives the images, and how many
// bytes of the data partition all that took.
func (r *Runtime) PruneImages(ctx context.Context) (removed []*entroosv1.Image, freed uint64, err error) {
	images, bytes, err := r.images.Prune(ctx, imageInUse)
	return imageMessages(images), uint64(bytes), err
}

// imageInUse is oci.ErrInUse when a container has the image.
func imageInUse(tx *bbolt.Tx, digest string) error {
	return containerBucket.Each(tx, func(id string, c containerRecord) error {
		if c.Image == digest {
			return fmt.Errorf("image %s: %w by container %s", oci.ShortDigest(digest), oci.ErrInUse, id[:min(12, len(id))])
		}
		return nil
	})
}

func imageMessages(images []oci.Image) []*entroosv1.Image {
	messages := make([]*entroosv1.Image, len(images))
	for i, image := range images {
		messages[i] = imageMessage(image)
	}
	return messages
}

func imageMessage(image oci.Image) *entroosv1.Image {
	m := &entroosv1.Image{
		Digest: image.Digest, ConfigDigest: image.ConfigDigest, References: image.References,
		SizeBytes: uint64(image.Size), ImportedUnixNano: image.Imported.UnixNano(),
		Architecture: image.Architecture, Os: image.OS,
	}
	if !image.Created.IsZero() {
		m.CreatedUnixNano = image.Created.UnixNano()
	}
	if image.Entropy.Known {
		m.Entropy, m.EntropyBytes, m.EntropyBits = &image.Entropy.Share, image.Entropy.Bytes, image.Entropy.Bits
	}
	return m
}
