package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/entroos/entroos/runtime/oci"
)

// document is a JSON object that tests write by hand.
type document map[string]any

func (d document) with(key string, value any) document {
	changed := maps.Clone(d)
	changed[key] = value
	return changed
}

// handmade is a layout in the making: its files by name.
type handmade map[string][]byte

// blob adds a blob, and gives a descriptor of it.
func (h handmade) blob(mediaType string, content []byte) document {
	digest := fmt.Sprintf("%x", sha256.Sum256(content))
	h["blobs/sha256/"+digest] = content
	return document{"mediaType": mediaType, "digest": "sha256:" + digest, "size": len(content)}
}

func (h handmade) document(mediaType string, d any) document {
	raw, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return h.blob(mediaType, raw)
}

func (h handmade) index(manifests ...document) {
	raw, err := json.Marshal(document{"schemaVersion": 2, "manifests": manifests})
	if err != nil {
		panic(err)
	}
	h["index.json"] = raw
}

func (h handmade) tar(t testing.TB) []byte {
	t.Helper()
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(h)) {
		entries = append(entries, file(name, string(h[name])))
	}
	return tarOf(t, entries...)
}

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// parts are an image's.
type parts struct {
	layout   handmade
	layer    document // its descriptor
	config   document
	manifest document
}

// makeParts gives a sound image's parts, the manifest with config and layer.
func makeParts(t testing.TB) parts {
	t.Helper()
	raw := tarOf(t, file("a", "content"))
	p := parts{layout: make(handmade)}
	p.layer = p.layout.blob(typeLayer, raw)
	p.config = document{
		"os": "linux", "architecture": "amd64",
		"rootfs": document{"type": "layers", "diff_ids": []any{p.layer["digest"]}},
	}
	p.manifest = document{
		"schemaVersion": 2, "mediaType": typeManifest, "layers": []document{p.layer},
		"config": p.layout.document(typeConfig, p.config),
	}
	return p
}

// archive has the manifest, with changes, in the index, as a descriptor that is
// changed too.
func (p parts) archive(t testing.TB, manifest document, change ...func(descriptor document)) []byte {
	t.Helper()
	d := p.layout.document(typeManifest, manifest)
	for _, c := range change {
		c(d)
	}
	p.layout.index(d)
	return p.layout.tar(t)
}

func (p parts) configured(config document) document {
	return p.manifest.with("config", p.layout.document(typeConfig, config))
}

func TestArchivesThatAreRefused(t *testing.T) {
	tr := newTrial(t)
	set := func(key string, value any) func(document) { return func(d document) { d[key] = value } }
	for what, refused := range map[string]struct {
		reason error
		make   func(t testing.TB, p parts) []byte
	}{
		"size of the manifest": {oci.ErrMalformed, func(t testing.TB, p parts) []byte { return p.archive(t, p.manifest, set("size", 5)) }},
		"negative size":        {oci.ErrMalformed, func(t testing.TB, p parts) []byte { return p.archive(t, p.manifest, set("size", -1)) }},
		"size that is no number": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("size", "many"))
		}},
		"size of a layer": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layer.with("size", 1<<40)}))
		}},
		"digest of another layer": {oci.ErrDigest, func(t testing.TB, p parts) []byte {
			other := tarOf(t, file("a", "another"))
			p.layout["blobs/sha256/"+strings.TrimPrefix(p.layer["digest"].(string), "sha256:")] = other
			return p.archive(t, p.manifest.with("layers", []document{p.layer.with("size", len(other))}))
		}},
		"digest of the config": {oci.ErrDigest, func(t testing.TB, p parts) []byte {
			raw, err := json.Marshal(p.config.with("author", "x"))
			if err != nil {
				t.Fatal(err)
			}
			config := p.manifest["config"].(document)
			p.layout["blobs/sha256/"+strings.TrimPrefix(config["digest"].(string), "sha256:")] = raw
			return p.archive(t, p.manifest.with("config", config.with("size", len(raw))))
		}},
		"another digest's name": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("digest", "sha512:"+strings.Repeat("0", 128)))
		}},
		"digest that is a path": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("digest", "sha256:"+strings.Repeat("../", 21)+"x"))
		}},
		"type of the config": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			config := p.manifest["config"].(document)
			return p.archive(t, p.manifest.with("config", config.with("mediaType", "application/vnd.evil\x1b[2J+json")))
		}},
		"type of a layer": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layer.with("mediaType", typeLayer+"+xz")}))
		}},
		"encrypted layer": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layer.with("mediaType", typeLayer+"+gzip+encrypted")}))
		}},
		"compression of a layer": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layer.with("mediaType", typeLayer+"+zstd")}))
		}},
		"plain layer that is packed": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layout.blob(typeLayer, gzipped(t, tarOf(t, file("a", "content"))))}))
		}},
		"layer packed with xz": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layout.blob(typeLayer, append([]byte("\xfd7zXZ\x00"), make([]byte, 600)...))}))
		}},
		"manifest that is an index": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("mediaType", typeIndex))
		}},
		"manifest of another type": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("mediaType", "application/vnd.docker.distribution.manifest.v2+json"))
		}},
		"both manifest and index": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("manifests", []document{}))
		}},
		"schema of old": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte { return p.archive(t, p.manifest.with("schemaVersion", 1)) }},
		"unknown type": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("mediaType", "application/vnd.evil+json"))
		}},
		"more layers than diff ids": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{p.layer, p.layer}))
		}},
		"fewer layers than diff ids": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", []document{}))
		}},
		"too many layers": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("rootfs", document{"diff_ids": slices.Repeat([]any{p.layer["digest"]}, 501)})).
				with("layers", slices.Repeat([]document{p.layer}, 501)))
		}},
		"diff id of another": {oci.ErrDigest, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("rootfs", document{"diff_ids": []string{"sha256:" + strings.Repeat("0", 64)}})))
		}},
		"diff id that is a path": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("rootfs", document{"diff_ids": []string{"sha256:" + strings.Repeat("../", 21) + "x"}})))
		}},
		"other platform than announced": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("architecture", "arm64")), set("platform", document{"os": "linux", "architecture": "amd64"}))
		}},
		"platform with control codes": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("architecture", "\x1b]0;evil\x07")))
		}},
		"missing blob": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			delete(p.layout, "blobs/sha256/"+strings.TrimPrefix(p.layer["digest"].(string), "sha256:"))
			return p.archive(t, p.manifest)
		}},
		"config of rubbish": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("config", p.layout.blob(typeConfig, []byte("{\"os\":{}}"))))
		}},
		"huge config": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.configured(p.config.with("author", strings.Repeat("x", 3<<20))))
		}},
		"huge manifest": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("annotations", document{"x": strings.Repeat("x", 1<<20)}))
		}},
		"many huge configs": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			config := p.layout.document(typeConfig, p.config.with("author", strings.Repeat("x", 2<<20-1000)))
			var manifests []document
			for i := range 20 { // one configuration, read for each of them
				manifests = append(manifests, p.layout.document(typeManifest, p.manifest.with("config", config).with("annotations", document{"n": fmt.Sprint(i)})))
			}
			p.layout.index(manifests...)
			return p.layout.tar(t)
		}},
		"many images": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			var manifests []document
			for i := range 200 {
				manifests = append(manifests, p.layout.document(typeManifest, p.manifest.with("annotations", document{"n": fmt.Sprint(i)})))
			}
			p.layout.index(manifests...)
			return p.layout.tar(t)
		}},
		"many manifests": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			d := p.layout.document(typeManifest, p.manifest)
			p.layout.index(slices.Repeat([]document{d}, 1001)...)
			return p.layout.tar(t)
		}},
		"nested indexes": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			d := p.layout.document(typeManifest, p.manifest)
			for range 6 {
				d = p.layout.document(typeIndex, document{"schemaVersion": 2, "manifests": []document{d}})
			}
			p.layout.index(d)
			return p.layout.tar(t)
		}},
		"indexes that multiply": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			d := p.layout.document(typeManifest, p.manifest)
			for range 3 {
				d = p.layout.document(typeIndex, document{"schemaVersion": 2, "manifests": slices.Repeat([]document{d}, 100)})
			}
			p.layout.index(d)
			return p.layout.tar(t)
		}},
		"millions of layers": {oci.ErrTooLarge, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest.with("layers", json.RawMessage("["+strings.Repeat("{},", 170_000)+"{}]")))
		}},
		"empty index": {oci.ErrUnsupported, func(t testing.TB, p parts) []byte {
			p.layout.index()
			return p.layout.tar(t)
		}},
		"index that is a manifest": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			p.archive(t, p.manifest)
			p.layout["index.json"] = bytes.Replace(p.layout["index.json"], []byte("{"), []byte(`{"layers":[],`), 1)
			return p.layout.tar(t)
		}},
		"bad name": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return p.archive(t, p.manifest, set("annotations", document{"org.opencontainers.image.ref.name": "../\x1b[2JX"}))
		}},
		"an entry twice": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			raw := p.archive(t, p.manifest)
			return append(raw[:len(raw)-1024], tarOf(t, file("./index.json", "{}"))...)
		}},
		"links in a circle": {oci.ErrMalformed, func(t testing.TB, _ parts) []byte {
			return tarOf(t, link(tar.TypeSymlink, "index.json", "x"), link(tar.TypeSymlink, "x", "index.json"))
		}},
		"a link out of the archive": {oci.ErrMalformed, func(t testing.TB, _ parts) []byte {
			return tarOf(t, link(tar.TypeSymlink, "index.json", "../../../../etc/passwd"))
		}},
		"a hard link out of the archive": {oci.ErrMalformed, func(t testing.TB, _ parts) []byte {
			return tarOf(t, link(tar.TypeLink, "manifest.json", "/etc/passwd"))
		}},
		"a device": {oci.ErrUnsupported, func(t testing.TB, _ parts) []byte {
			return tarOf(t, device("index.json", tar.TypeBlock))
		}},
		"a sparse file": {oci.ErrUnsupported, func(t testing.TB, _ parts) []byte {
			return rawTar(t, sparse("index.json", 1<<50))
		}},
		"an old sparse file": {oci.ErrUnsupported, func(t testing.TB, _ parts) []byte { return rawTar(t, oldSparse("index.json")) }},
		"a long name": {oci.ErrTooLarge, func(t testing.TB, _ parts) []byte {
			return tarOf(t, file(strings.Repeat("x/", 30<<10)+"x", ""))
		}},
		"a long link": {oci.ErrTooLarge, func(t testing.TB, _ parts) []byte {
			return tarOf(t, link(tar.TypeSymlink, "x", strings.Repeat("x/", 30<<10)))
		}},
		"very many entries": {oci.ErrTooLarge, func(t testing.TB, _ parts) []byte {
			var entries []entry
			for i := range 20_001 {
				entries = append(entries, file(fmt.Sprint(i), ""))
			}
			return tarOf(t, entries...)
		}},
		"docker with a wrong config's name": {oci.ErrDigest, func(t testing.TB, p parts) []byte {
			return dockerTar(t, p, strings.Repeat("0", 64)+".json", "layer.tar")
		}},
		"docker with too few layers": {oci.ErrMalformed, func(t testing.TB, p parts) []byte { return dockerTar(t, p, "config.json") }},
		"docker with paths out": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return dockerTar(t, p, "../../../etc/passwd", "layer.tar")
		}},
		"docker with a layer of another": {oci.ErrMalformed, func(t testing.TB, p parts) []byte { return dockerTar(t, p, "config.json", "config.json") }},
		"docker of rubbish":              {oci.ErrMalformed, func(t testing.TB, _ parts) []byte { return tarOf(t, file("manifest.json", "{}")) }},
		"docker with many images": {oci.ErrTooLarge, func(t testing.TB, _ parts) []byte {
			return tarOf(t, file("manifest.json", "["+strings.Repeat("{},", 1000)+"{}]"))
		}},
		"docker without images": {oci.ErrUnsupported, func(t testing.TB, _ parts) []byte { return tarOf(t, file("manifest.json", "[]")) }},
		"packed with bzip2":     {oci.ErrUnsupported, func(testing.TB, parts) []byte { return []byte("BZh91AY&SY rubbish") }},
		"a zip file":            {oci.ErrUnsupported, func(testing.TB, parts) []byte { return []byte("PK\x03\x04 rubbish") }},
		"gzip cut short": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			raw := gzipped(t, p.archive(t, p.manifest))
			return raw[:len(raw)-20]
		}},
		"gzip and rubbish": {oci.ErrMalformed, func(t testing.TB, p parts) []byte {
			return append(gzipped(t, p.archive(t, p.manifest)), "rubbish"...)
		}},
		"zstd with a large window": {oci.ErrTooLarge, func(testing.TB, parts) []byte {
			// A frame with a window of 256 MiB, and one block of three bytes.
			return []byte("\x28\xb5\x2f\xfd\x00\x90\x19\x00\x00abc")
		}},
		"zstd of rubbish": {oci.ErrMalformed, func(testing.TB, parts) []byte { return []byte("\x28\xb5\x2f\xfd rubbish") }},
	} {
		t.Run(what, func(t *testing.T) {
			tr.refuses(t, refused.make(t, makeParts(t)), refused.reason)
		})
	}
	// The parts themselves are sound.
	p := makeParts(t)
	importAll(t, newTrial(t).Store, p.archive(t, p.manifest))
	importAll(t, newTrial(t).Store, dockerTar(t, makeParts(t), "config.json", "layer.tar"))
}

// dockerTar is a docker-archive of the parts' image.
func dockerTar(t testing.TB, p parts, config string, layers ...string) []byte {
	t.Helper()
	manifest, err := json.Marshal([]document{{"Config": config, "RepoTags": []string{"x:1"}, "Layers": layers}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(p.config)
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{file("layer.tar", string(tarOf(t, file("a", "content")))), file("manifest.json", string(manifest))}
	for _, name := range []string{"config.json", strings.Repeat("0", 64) + ".json"} {
		entries = append(entries, file(name, string(raw)))
	}
	return tarOf(t, entries...)
}

// TestConcatenatedGzip has one tar in several gzip members, as pigz and
// estargz write them.
func TestConcatenatedGzip(t *testing.T) {
	p := makeParts(t)
	raw := p.archive(t, p.manifest)
	var packed []byte
	for part := range slices.Chunk(raw, 700) {
		packed = append(packed, gzipped(t, part)...)
	}
	importAll(t, newTrial(t).Store, packed)
	// A member may be empty, and very many are.
	var b bytes.Buffer
	if err := gzip.NewWriter(&b).Close(); err != nil {
		t.Fatal(err)
	}
	importAll(t, newTrial(t).Store, append(bytes.Repeat(b.Bytes(), 10_000), packed...))
}
