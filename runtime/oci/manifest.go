package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// platform is the one whose images run here.
var platform = v1.Platform{OS: "linux", Architecture: "amd64"}

// found is an image found in an archive, its manifest and configuration
// verified, its layers not yet looked at.
type found struct {
	names    []string // as the archive has them
	digest   v1.Hash  // of manifest; a docker-archive's is not known yet
	manifest []byte
	configID v1.Hash
	config   imageConfig
	raw      []byte // config as it stands
	layers   []layerSource
}

// images finds the images for this platform in the archive.
func (a *imageArchive) images() ([]found, error) {
	var images []found
	var err error
	switch {
	case a.has("index.json"):
		images, err = a.layoutImages()
	case a.has("manifest.json"):
		images, err = a.dockerImages()
	default:
		err = fmt.Errorf("%w: neither an OCI layout (index.json) nor a docker-archive (manifest.json)", ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: no image for %s", ErrUnsupported, platform)
	}
	return images, nil
}

func (a *imageArchive) has(name string) bool {
	_, err := a.open(name)
	return err == nil
}

func (a *imageArchive) layoutImages() ([]found, error) {
	raw, err := a.document("index.json", maxManifest)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(raw, "")
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
	others   error // about what is no image for this platform
}

func (w *layoutWalk) index(index *v1.IndexManifest, names []string, depth int) error {
	if depth > maxIndexDepth {
		return fmt.Errorf("%w: image indexes nested deeper than %d", ErrTooLarge, maxIndexDepth)
	}
	for _, d := range index.Manifests {
		if w.visits++; w.visits > maxManifests {
			return fmt.Errorf("%w: more than %d manifests", ErrTooLarge, maxManifests)
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
			raw, err := w.archive.blob(d, maxManifest)
			if err != nil {
				return fmt.Errorf("image index: %w", err)
			}
			nested, err := parseIndex(raw, d.MediaType)
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
		default:
			// The specification wants those left out that are not known.
			w.others = fmt.Errorf("%s: %w: a manifest of type %.300q", d.Digest, ErrUnsupported, string(d.MediaType))
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
	if len(w.images) == maxImages {
		return fmt.Errorf("%w: more than %d images", ErrTooLarge, maxImages)
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
	raw, err := a.blob(d, maxManifest)
	if err != nil {
		return found{}, fmt.Errorf("manifest: %w", err)
	}
	image := found{digest: d.Digest, manifest: raw}
	if err := a.readManifest(&image, d.MediaType); err != nil {
		return found{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return image, nil
}

func (a *imageArchive) readManifest(image *found, mediaType types.MediaType) error {
	manifest, err := parseManifest(image.manifest, mediaType)
	if err != nil {
		return err
	}
	if !manifest.Config.MediaType.IsConfig() {
		return fmt.Errorf("%w: a configuration of type %.300q is no container image's", ErrUnsupported, string(manifest.Config.MediaType))
	}
	image.configID = manifest.Config.Digest
	if image.raw, err = a.blob(manifest.Config, maxDocument); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := image.parseConfig(len(manifest.Layers)); err != nil {
		return err
	}
	for i, l := range manifest.Layers {
		packed, ok := layerCompressions[l.MediaType]
		if !ok {
			return fmt.Errorf("layer %d: %w: type %.300q", i, ErrUnsupported, string(l.MediaType))
		}
		if err := checkHash(l.Digest); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		image.layers = append(image.layers, layerSource{
			entry: blobName(l.Digest), digest: l.Digest, size: l.Size, compression: packed, diffID: image.config.RootFS.DiffIDs[i],
		})
	}
	return nil
}

// parseIndex reads an image index that was described as of a type.
func parseIndex(raw []byte, described types.MediaType) (*v1.IndexManifest, error) {
	if err := checkForm(raw, described, "manifests"); err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	return index, malformed(err)
}

func parseManifest(raw []byte, described types.MediaType) (*v1.Manifest, error) {
	if err := checkForm(raw, described, "layers"); err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	return manifest, malformed(err)
}

// checkForm refuses what could be read as a manifest by one and as an index by
// another: with both lists, or with a type of its own that is not the one it
// was described by.
func checkForm(raw []byte, described types.MediaType, list string) error {
	var form struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		// To be counted, before each takes memory.
		Layers    []struct{} `json:"layers"`
		Manifests []struct{} `json:"manifests"`
		FSLayers  []struct{} `json:"fsLayers"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return malformed(err)
	}
	if form.SchemaVersion != 2 || form.FSLayers != nil {
		return fmt.Errorf("%w: schema version %d", ErrUnsupported, form.SchemaVersion)
	}
	if described != "" && form.MediaType != "" && form.MediaType != described {
		return fmt.Errorf("%w: it says to be of type %.300q, and was described as %.300q", ErrMalformed, string(form.MediaType), string(described))
	}
	if len(form.Layers) > maxLayers || len(form.Manifests) > maxManifests {
		return fmt.Errorf("%w: %d layers, %d manifests", ErrTooLarge, len(form.Layers), len(form.Manifests))
	}
	if form.Layers != nil && form.Manifests != nil || list == "layers" && form.Manifests != nil || list == "manifests" && form.Layers != nil {
		return fmt.Errorf("%w: it is both a manifest and an index", ErrMalformed)
	}
	return nil
}

// platformError is about an image that is for other machines.
type platformError struct{ os, architecture string }

func (e *platformError) Error() string {
	return fmt.Sprintf("the image is for %.100q, and this is %q", e.os+"/"+e.architecture, platform.String())
}

func (e *platformError) Is(target error) bool { return target == ErrUnsupported }

// parseConfig checks the raw configuration against the number of layers.
func (f *found) parseConfig(layers int) error {
	config, err := parseImageConfig(f.raw)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		return &platformError{config.OS, config.Architecture}
	}
	if layers > maxLayers {
		return fmt.Errorf("%w: %d layers, and at most %d can be stacked", ErrTooLarge, layers, maxLayers)
	}
	if n := len(config.RootFS.DiffIDs); n != layers {
		return fmt.Errorf("%w: %d layers, but the configuration has %d diff ids", ErrMalformed, layers, n)
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
func (a *imageArchive) blob(d v1.Descriptor, limit int64) ([]byte, error) {
	if err := checkHash(d.Digest); err != nil {
		return nil, err
	}
	raw, err := a.document(blobName(d.Digest), limit)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != d.Size {
		return nil, fmt.Errorf("%s: %w: %d bytes, where %d are announced", d.Digest, ErrMalformed, len(raw), d.Size)
	}
	if err := verify(raw, d.Digest); err != nil {
		return nil, err
	}
	return raw, nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func checkHash(h v1.Hash) error {
	if h.Algorithm != "sha256" || len(h.Hex) != 64 {
		return fmt.Errorf("%w: the digest %.300q is no SHA-256", ErrUnsupported, h.String())
	}
	return nil
}

func verify(raw []byte, want v1.Hash) error {
	got, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: %w: the content's is %s", want, ErrDigest, got)
	}
	return nil
}
