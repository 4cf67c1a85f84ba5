package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// platform is the one whose images run here.
var platform = v1.Platform{OS: "linux", Architecture: "amd64"}

// found is an image found in an archive, its manifest and configuration
// verified, its layers not yet looked at.
type found struct {
	names    []string // as the archive has them
	digest   v1.Hash  // of manifest
	manifest []byte
	configID v1.Hash
	config   *v1.ConfigFile
	raw      []byte // config as it stands
	layers   []layerSource
}

// images finds the images for this platform in the archive. A layer may have
// limit bytes.
func (a *imageArchive) images(ctx context.Context, limit int64) ([]found, error) {
	var images []found
	var err error
	switch {
	case a.has("index.json"):
		images, err = a.layoutImages()
	case a.has("manifest.json"):
		images, err = a.dockerImages(ctx, limit)
	default:
		err = errors.New("neither an OCI layout (index.json) nor a docker-archive (manifest.json)")
	}
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("the archive holds no image for %s", platform)
	}
	return images, nil
}

func (a *imageArchive) has(name string) bool {
	_, ok := a.open(name)
	return ok
}

func (a *imageArchive) layoutImages() ([]found, error) {
	raw, err := a.readJSON("index.json")
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	w := layoutWalk{archive: a, byDigest: make(map[v1.Hash]int)}
	if err := w.index(index, nil, 0); err != nil {
		return nil, err
	}
	if len(w.images) == 0 && w.others != nil {
		return nil, w.others
	}
	return w.images, nil
}

// layoutWalk goes through a layout's indexes.
type layoutWalk struct {
	archive  *imageArchive
	images   []found
	byDigest map[v1.Hash]int // place in images
	visits   int
	others   error // about an image that is not for this platform
}

func (w *layoutWalk) index(index *v1.IndexManifest, names []string, depth int) error {
	if depth > maxIndexDepth {
		return errors.New("image indexes are nested too deep")
	}
	for _, d := range index.Manifests {
		if w.visits++; w.visits > maxImages {
			return fmt.Errorf("the archive lists more than %d manifests", maxImages)
		}
		if d.Platform != nil && (d.Platform.OS != platform.OS || d.Platform.Architecture != platform.Architecture) {
			continue // another platform's, or an attestation
		}
		own := descriptorNames(d)
		if len(own) == 0 {
			own = names
		}
		switch {
		case d.MediaType.IsIndex():
			raw, err := w.archive.blob(d)
			if err != nil {
				return fmt.Errorf("image index: %w", err)
			}
			nested, err := v1.ParseIndexManifest(bytes.NewReader(raw))
			if err != nil {
				return fmt.Errorf("image index %s: %w", d.Digest, err)
			}
			if err := w.index(nested, own, depth+1); err != nil {
				return err
			}
		case d.MediaType.IsImage():
			if err := w.image(d, own); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *layoutWalk) image(d v1.Descriptor, names []string) error {
	if i, ok := w.byDigest[d.Digest]; ok {
		w.images[i].names = append(w.images[i].names, names...)
		return nil
	}
	image, err := w.archive.image(d)
	var other *platformError
	if errors.As(err, &other) && d.Platform == nil {
		w.others = err // found only by its configuration
		return nil
	}
	if err != nil {
		return err
	}
	image.names = slices.Clone(names)
	w.byDigest[d.Digest] = len(w.images)
	w.images = append(w.images, image)
	return nil
}

// descriptorNames gives the name that an index gives to an image. Docker and
// containerd put the whole name in an annotation of theirs, and only the tag
// in the standard one.
func descriptorNames(d v1.Descriptor) []string {
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if name := d.Annotations[key]; name != "" {
			return []string{name}
		}
	}
	return nil
}

// image reads and verifies the manifest that d describes, and the
// configuration that it names.
func (a *imageArchive) image(d v1.Descriptor) (found, error) {
	raw, err := a.blob(d)
	if err != nil {
		return found{}, fmt.Errorf("manifest: %w", err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return found{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if !manifest.Config.MediaType.IsConfig() {
		return found{}, fmt.Errorf("manifest %s: a configuration of type %q is not a container image's", d.Digest, manifest.Config.MediaType)
	}
	image := found{digest: d.Digest, manifest: raw, configID: manifest.Config.Digest}
	if image.raw, err = a.blob(manifest.Config); err != nil {
		return found{}, fmt.Errorf("manifest %s: configuration: %w", d.Digest, err)
	}
	if err := image.parseConfig(len(manifest.Layers)); err != nil {
		return found{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for i, l := range manifest.Layers {
		if !l.MediaType.IsLayer() && l.MediaType != types.OCILayerZStd {
			return found{}, fmt.Errorf("manifest %s: layer %s has the unknown type %q", d.Digest, l.Digest, l.MediaType)
		}
		if err := checkHash(l.Digest); err != nil {
			return found{}, fmt.Errorf("manifest %s: layer %d: %w", d.Digest, i, err)
		}
		image.layers = append(image.layers, layerSource{
			entry: blobName(l.Digest), digest: l.Digest, size: l.Size, diffID: image.config.RootFS.DiffIDs[i],
		})
	}
	return image, nil
}

// platformError is about an image that is for other machines.
type platformError struct{ os, architecture string }

func (e *platformError) Error() string {
	return fmt.Sprintf("the image is for %s/%s, and this is %s", e.os, e.architecture, platform)
}

// parseConfig checks the raw configuration against the number of layers.
func (f *found) parseConfig(layers int) error {
	config, err := v1.ParseConfigFile(bytes.NewReader(f.raw))
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		return &platformError{config.OS, config.Architecture}
	}
	if layers > maxLayers {
		return fmt.Errorf("%d layers, and at most %d can be stacked", layers, maxLayers)
	}
	if n := len(config.RootFS.DiffIDs); n != layers {
		return fmt.Errorf("%d layers, but the configuration has %d diff ids", layers, n)
	}
	for i, id := range config.RootFS.DiffIDs {
		if err := checkHash(id); err != nil {
			return fmt.Errorf("diff id %d: %w", i, err)
		}
	}
	f.config = config
	return nil
}

// blob reads a small blob of a layout and verifies it against d.
func (a *imageArchive) blob(d v1.Descriptor) ([]byte, error) {
	if err := checkHash(d.Digest); err != nil {
		return nil, err
	}
	raw, err := a.readJSON(blobName(d.Digest))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != d.Size {
		return nil, fmt.Errorf("%s has %d bytes where %d are announced", d.Digest, len(raw), d.Size)
	}
	if err := verify(raw, d.Digest); err != nil {
		return nil, err
	}
	return raw, nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func checkHash(h v1.Hash) error {
	if h.Algorithm != "sha256" || len(h.Hex) != 64 {
		return fmt.Errorf("digest %q: only sha256 is supported", h)
	}
	return nil
}

func verify(raw []byte, want v1.Hash) error {
	got, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: the content has the digest %s", want, got)
	}
	return nil
}

// dockerEntry is an element of a docker-archive's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerImages reads a docker-archive. It has no manifest with digests; the
// image's digest is that of the OCI manifest over its configuration and its
// layers without compression, which is the same wherever it is imported.
func (a *imageArchive) dockerImages(ctx context.Context, limit int64) ([]found, error) {
	raw, err := a.readJSON("manifest.json")
	if err != nil {
		return nil, err
	}
	var entries []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if len(entries) > maxImages {
		return nil, fmt.Errorf("the archive lists more than %d images", maxImages)
	}
	var images []found
	for _, e := range entries {
		image, err := a.dockerImage(ctx, e, limit)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

func (a *imageArchive) dockerImage(ctx context.Context, e dockerEntry, limit int64) (found, error) {
	image := found{names: e.RepoTags}
	var err error
	if image.raw, err = a.readJSON(path.Clean(e.Config)); err != nil {
		return found{}, err
	}
	if image.configID, _, err = v1.SHA256(bytes.NewReader(image.raw)); err != nil {
		return found{}, err
	}
	// The configuration's file is named by its digest.
	if want, err := v1.NewHash("sha256:" + strings.TrimSuffix(path.Base(e.Config), ".json")); err == nil && want != image.configID {
		return found{}, fmt.Errorf("configuration %s: the content has the digest %s", e.Config, image.configID)
	}
	if err := image.parseConfig(len(e.Layers)); err != nil {
		return found{}, fmt.Errorf("image %s: %w", e.Config, err)
	}
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(image.raw)), Digest: image.configID},
		Layers: []v1.Descriptor{},
	}
	for i, name := range e.Layers {
		l := layerSource{entry: path.Clean(name), diffID: image.config.RootFS.DiffIDs[i]}
		size, err := a.readLayer(ctx, l, limit, func(io.Reader) error { return nil })
		if err != nil {
			return found{}, err
		}
		image.layers = append(image.layers, l)
		manifest.Layers = append(manifest.Layers, v1.Descriptor{
			MediaType: types.OCIUncompressedLayer, Size: size, Digest: l.diffID,
		})
	}
	if image.manifest, err = json.Marshal(manifest); err != nil {
		return found{}, err
	}
	image.digest, _, err = v1.SHA256(bytes.NewReader(image.manifest))
	return image, err
}
