package nko

import (
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/nko/noise"
	"github.com/entroos/entroos/runtime/record"
)

// bucketNoise: "reference" -> noise.Reference.
var bucketNoise = record.Bucket[noise.Reference]("nko/noise")

const keyReference = "reference"

var _ noise.References = (*Store)(nil)

// NoiseReference gives what the noise source's health tests are made for, and
// whether that is known yet.
func (s *Store) NoiseReference() (ref noise.Reference, ok bool, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		ref, ok, err = bucketNoise.Get(tx, keyReference)
		return err
	})
	return ref, ok, err
}

// SetNoiseReference keeps it.
func (s *Store) SetNoiseReference(ref noise.Reference) error {
	return s.update(func(tx *bbolt.Tx) error { return bucketNoise.Put(tx, keyReference, ref) })
}
