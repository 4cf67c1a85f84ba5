package oci

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/equations"
	"github.com/entroos/entroos/runtime/record"
)

// Entropy is what is known of an image's bytes.
type Entropy struct {
	// Share is E_c, the normalised Shannon entropy of the bytes of the image's
	// uncompressed layers (equations 1, 2 and 9), in [0, 1]; a layer that the
	// image has twice counts twice.
	Share float64
	// Bits is H, the bytes' Shannon entropy, in bits per byte.
	Bits float64
	// Bytes is how many they are.
	Bytes uint64
	// Known says that they were measured. Those of an image that a version
	// imported which did not measure are not, until an import has all its layers
	// once more.
	Known bool
}

// histogramRecord is how often each byte value occurs in a layer's tar: 256
// unsigned varints. Empty, it was not counted.
type histogramRecord []byte

func newHistogramRecord(h *equations.Histogram) histogramRecord {
	var r histogramRecord
	for _, n := range h {
		r = binary.AppendUvarint(r, n)
	}
	return r
}

func (r histogramRecord) histogram() (*equations.Histogram, error) {
	h := new(equations.Histogram)
	for i := range h {
		n, size := binary.Uvarint(r)
		if size <= 0 {
			return nil, fmt.Errorf("a histogram without the count of byte %d", i)
		}
		h[i], r = n, r[size:]
	}
	if len(r) > 0 {
		return nil, fmt.Errorf("a histogram with %d bytes too many", len(r))
	}
	return h, nil
}

// imageEntropy is that of an image with these layers.
func imageEntropy(tx *bbolt.Tx, layers []string) (Entropy, error) {
	h, err := imageHistogram(tx, layers)
	if h == nil || err != nil {
		return Entropy{}, err
	}
	return Entropy{Share: equations.ContainerEntropy(h), Bits: equations.ShannonEntropy(h[:]), Bytes: h.Total(), Known: true}, nil
}

// imageHistogram is the sum of the layers' histograms; nil when the bytes of one
// were not counted.
func imageHistogram(tx *bbolt.Tx, layers []string) (*equations.Histogram, error) {
	sum := new(equations.Histogram)
	for _, key := range layers {
		r, _, err := layerBucket.Get(tx, key)
		if err != nil {
			return nil, err
		}
		if len(r.Histogram) == 0 {
			return nil, nil
		}
		h, err := r.Histogram.histogram()
		if err != nil {
			return nil, fmt.Errorf("record of layer %s: %w", key, err)
		}
		sum.Merge(h)
	}
	return sum, nil
}

// Histogram is how often each byte value occurs in the uncompressed layers of
// the image with that digest; nil when its Entropy is not known.
func (s *Store) Histogram(digest string) (h *equations.Histogram, err error) {
	err = record.View(s.db, func(tx *bbolt.Tx) error {
		r, ok, err := imageBucket.Get(tx, digest)
		if err == nil && !ok {
			err = fmt.Errorf("%s: %w", digest, ErrNotFound)
		}
		if err != nil {
			return err
		}
		h, err = imageHistogram(tx, r.Layers)
		return err
	})
	return h, err
}
