package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// dockerEntry is an element of a docker-archive's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerImages reads a docker-archive.
func (a *imageArchive) dockerImages() ([]found, error) {
	raw, err := a.document("manifest.json", maxManifest)
	if err != nil {
		return nil, err
	}
	var entries []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, malformed(fmt.Errorf("manifest.json: %w", err))
	}
	if len(entries) > maxImages {
		return nil, fmt.Errorf("%w: more than %d images", ErrTooLarge, maxImages)
	}
	var images []found
	for _, e := range entries {
		image, err := a.dockerImage(e)
		if err != nil {
			return nil, fmt.Errorf("image %.300q: %w", e.Config, err)
		}
		images = append(images, image)
	}
	return images, nil
}

func (a *imageArchive) dockerImage(e dockerEntry) (found, error) {
	image := found{names: e.RepoTags}
	var err error
	if image.raw, err = a.document(path.Clean(e.Config), maxDocument); err != nil {
		return found{}, err
	}
	if image.configID, _, err = v1.SHA256(bytes.NewReader(image.raw)); err != nil {
		return found{}, err
	}
	// The configuration's file is named by its digest.
	if want, err := v1.NewHash("sha256:" + strings.TrimSuffix(path.Base(e.Config), ".json")); err == nil && want != image.configID {
		return found{}, fmt.Errorf("configuration: %w: the content's is %s", ErrDigest, image.configID)
	}
	if err := image.parseConfig(len(e.Layers)); err != nil {
		return found{}, err
	}
	for i, name := range e.Layers {
		image.layers = append(image.layers, layerSource{entry: path.Clean(name), diffID: image.config.RootFS.DiffIDs[i]})
	}
	return image, nil
}

// seal gives a docker-archive's image its manifest, once the sizes of its
// layers are known. The format has no manifest with digests; the image's digest
// is that of the OCI manifest over its configuration and its layers without
// compression, which is the same wherever it is imported.
func (f *found) seal(size func(diffID v1.Hash) int64) error {
	if f.manifest != nil {
		return nil
	}
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(f.raw)), Digest: f.configID},
		Layers: []v1.Descriptor{},
	}
	for _, l := range f.layers {
		manifest.Layers = append(manifest.Layers, v1.Descriptor{
			MediaType: types.OCIUncompressedLayer, Size: size(l.diffID), Digest: l.diffID,
		})
	}
	var err error
	if f.manifest, err = json.Marshal(manifest); err != nil {
		return err
	}
	f.digest, _, err = v1.SHA256(bytes.NewReader(f.manifest))
	return err
}
